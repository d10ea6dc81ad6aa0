/// What an engine process asks of `serve` (the head of a request frame).
///
/// An engine process dials the control socket with the token from its environment, says `hello`, gets its task,
/// and from then on both ends may send requests on the same connection. When `serve` goes away, the process goes on
/// working, dials again with the same token, says `hello` again and repeats what was not acknowledged.
public enum EngineRequest: Codable, Sendable {
    /// The first message. Reply: `EngineTask`.
    case hello(Hello)
    /// Something happened in a job; kept for good. Reply: `Acknowledged`. Safe to repeat: the key is unique in the job.
    case event(JobEvent)
    /// The state of a job's progress, for bars; only the newest is kept. Reply: `Acknowledged`.
    case progress(JobProgress)
    /// A point of a job that can answer as a model; its bundle lies in the job's folder. Reply: `Acknowledged`. Safe to
    /// repeat: the step is unique in the job.
    case checkpoint(TunedCheckpoint)
    /// The job is done; its results lie in the job's folder. Reply: `Acknowledged`, after which the process ends.
    case finish(JobResult)
    /// The job cannot go on. Reply: `Acknowledged`, after which the process ends.
    case fail(MartletError)
    /// The job has stopped at a checkpoint because it was asked to. Reply: `Acknowledged`.
    case paused
    /// A replica did a real forward pass and can answer. Reply: `Acknowledged`.
    case ready(ReplicaReady)
    /// Questions of a training job's graders. Reply: `ModelAnswers`, however long the models take; other messages go on
    /// meanwhile. A `cancel` with its id ends it.
    case ask(ModelQuestions)

    public struct Hello: Codable, Sendable {
        public var token: String
        public var pid: Int32
        /// Whether the process has its task already and only lost the connection.
        public var isReturning: Bool
        public init(token: String, pid: Int32, isReturning: Bool) {
            self.token = token
            self.pid = pid
            self.isReturning = isReturning
        }
    }
}

/// What `serve` asks of an engine process.
public enum PlatformRequest: Codable, Sendable {
    /// Answer this inference. Body: the client's bytes as they came. Reply: `InferenceReply`, body: the answer's bytes.
    case infer(InferenceRequest)
    /// Go on with this text. Parts: `GenerationEvent`s, the last of them, `done`, as the reply. A cancelled one is
    /// answered too: with `done` that counts what was computed, or with a failure.
    case generate(GenerationRequest)
    /// Reply: `EmbeddingReply`, body: float32 little-endian [inputs, width].
    case embed(EmbeddingRequest)
    /// Reply: `TokenizeReply`.
    case tokenize(TokenizeRequest)
    /// Reply: `DetokenizeReply`.
    case detokenize([Int])
    /// Write a checkpoint and stop. Reply: `Acknowledged` at once; the job says `paused` when it has.
    case pause
    /// Stop now, keep what is there. Reply: `Acknowledged`; the process ends.
    case cancel
    /// Finish what was accepted, then end. Reply: `Acknowledged`.
    case drain
    /// Answer from the compute thread, so that a stuck one shows. Reply: `Acknowledged`.
    case ping
}

public struct Acknowledged: Codable, Sendable {
    public init() {}
}

/// What a process is to do; the reply to `hello`.
public enum EngineTask: Codable, Sendable {
    case train(TrainTask)
    case evaluate(EvaluateTask)
    /// Read a dataset and describe it: `data add`.
    case profile(ProfileTask)
    /// Read a language model from files of other tools and write a bundle: `models import`.
    case importModel(ImportTask)
    case serve(ServeTask)
}

/// The process's part of the machine.
public struct MachineShare: Codable, Sendable, Equatable {
    public var threads: Int
    /// `cpu` or `cuda:N`.
    public var device: String
    public init(threads: Int, device: String = "cpu") {
        self.threads = threads
        self.device = device
    }
}

/// A dataset laid out as a folder that the process can read.
public struct DatasetMount: Codable, Sendable, Equatable {
    /// As the recipe names it.
    public var reference: String
    /// `name@version`.
    public var resolved: String
    public var contentHash: String
    public var path: String
    public init(reference: String, resolved: String, contentHash: String, path: String) {
        self.reference = reference
        self.resolved = resolved
        self.contentHash = contentHash
        self.path = path
    }
}

public struct TrainTask: Codable, Sendable {
    public var jobID: String
    /// The recipe as written, to be read by `RecipeReader`.
    public var recipe: JSON
    public var datasets: [DatasetMount]
    /// The recipe's `base`, where it has one.
    public var base: BaseModel?
    /// The job's folder: `checkpoints/`, `cache/`, `bundle/` are made in it by the worker.
    public var directory: String
    public var share: MachineShare
    public init(
        jobID: String, recipe: JSON, datasets: [DatasetMount], base: BaseModel? = nil, directory: String,
        share: MachineShare
    ) {
        self.jobID = jobID
        self.recipe = recipe
        self.datasets = datasets
        self.base = base
        self.directory = directory
        self.share = share
    }

    private enum CodingKeys: String, CodingKey { case jobID, recipe, datasets, base, directory, share }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        jobID = try container.decode(String.self, forKey: .jobID)
        recipe = try JSON.inOrder(container.decode(JSON.self, forKey: .recipe))
        datasets = try container.decode([DatasetMount].self, forKey: .datasets)
        base = try container.decodeIfPresent(BaseModel.self, forKey: .base)
        directory = try container.decode(String.self, forKey: .directory)
        share = try container.decode(MachineShare.self, forKey: .share)
    }

    /// The recipe travels as text: the order of its inputs is the order of their weights, and a general coder loses it.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(jobID, forKey: .jobID)
        try container.encode(recipe.asText, forKey: .recipe)
        try container.encode(datasets, forKey: .datasets)
        try container.encodeIfPresent(base, forKey: .base)
        try container.encode(directory, forKey: .directory)
        try container.encode(share, forKey: .share)
    }
}

extension JSON {
    /// An object as its text, which keeps the order of keys where a general coder does not.
    package var asText: JSON { object == nil ? self : .string(serialized()) }

    /// What `asText` gave; an object that was stored as one is left as it is.
    package static func inOrder(_ value: JSON) throws -> JSON {
        guard let text = value.string else { return value }
        return try JSONParser.parse(text, limits: .trusted)
    }
}

/// A registered language model that is trained further.
public struct BaseModel: Codable, Sendable, Equatable {
    /// `name@version`.
    public var reference: String
    public var contentHash: String
    /// The folder of its bundle.
    public var path: String
    /// Where the model is an adapter: its own reference and folder; the other fields are its base's.
    public var adapterReference: String?
    public var adapterPath: String?
    public init(
        reference: String, contentHash: String, path: String, adapterReference: String? = nil,
        adapterPath: String? = nil
    ) {
        self.reference = reference
        self.contentHash = contentHash
        self.path = path
        self.adapterReference = adapterReference
        self.adapterPath = adapterPath
    }
}

public struct EvaluateTask: Codable, Sendable {
    public var jobID: String
    /// The folder of the model's bundle.
    public var bundle: String
    public var dataset: DatasetMount
    public var directory: String
    public var share: MachineShare
    public init(jobID: String, bundle: String, dataset: DatasetMount, directory: String, share: MachineShare) {
        self.jobID = jobID
        self.bundle = bundle
        self.dataset = dataset
        self.directory = directory
        self.share = share
    }
}

public struct ProfileTask: Codable, Sendable {
    public var jobID: String
    public var dataset: DatasetMount
    public var directory: String
    public init(jobID: String, dataset: DatasetMount, directory: String) {
        self.jobID = jobID
        self.dataset = dataset
        self.directory = directory
    }
}

public struct ImportTask: Codable, Sendable {
    public var jobID: String
    /// The name that the model gets.
    public var name: String
    /// The folder with the files as they were sent.
    public var source: String
    /// The model that an adapter is for.
    public var base: BaseModel?
    /// The job's folder: `bundle/` is made in it.
    public var directory: String
    public var share: MachineShare
    public init(
        jobID: String, name: String, source: String, base: BaseModel? = nil, directory: String, share: MachineShare
    ) {
        self.jobID = jobID
        self.name = name
        self.source = source
        self.base = base
        self.directory = directory
        self.share = share
    }
}

public struct ServeTask: Codable, Sendable {
    /// The name and version that answers carry.
    public var model: String
    public var version: Int
    public var bundle: String
    public var share: MachineShare
    /// The most rows that one forward pass takes.
    public var maxBatch: Int
    /// The most requests that wait; one more is refused with 503.
    public var queueLimit: Int
    /// What a language model is served with.
    public var language: LanguageServing
    public init(
        model: String, version: Int, bundle: String, share: MachineShare, maxBatch: Int = 64,
        queueLimit: Int = 1024, language: LanguageServing = LanguageServing()
    ) {
        self.model = model
        self.version = version
        self.bundle = bundle
        self.share = share
        self.maxBatch = maxBatch
        self.queueLimit = queueLimit
        self.language = language
    }
}

/// Bounds of a language model's scheduler and cache.
public struct LanguageServing: Codable, Sendable, Equatable {
    /// Sequences that are computed side by side; the others wait.
    public var maxSequences: Int
    /// Bytes of keys and values; 0 lets the engine choose by the model and the machine.
    public var cacheBytes: Int
    /// Tokens of prompts that wait; more are refused with 503.
    public var queuedTokenLimit: Int
    /// `auto` by what the processor does well, or a weight format's name.
    public var precision: String
    /// Bytes of the adapters that are kept in memory beside the model; 0 lets the engine choose by the model.
    public var adapterBytes: Int
    /// Most adapters that are kept in memory.
    public var maxAdapters: Int
    public init(
        maxSequences: Int = 32, cacheBytes: Int = 0, queuedTokenLimit: Int = 1 << 20, precision: String = "auto",
        adapterBytes: Int = 0, maxAdapters: Int = 64
    ) {
        self.maxSequences = maxSequences
        self.cacheBytes = cacheBytes
        self.queuedTokenLimit = queuedTokenLimit
        self.precision = precision
        self.adapterBytes = adapterBytes
        self.maxAdapters = maxAdapters
    }
}

/// An entry of a job's history.
public struct JobEvent: Codable, Sendable, Equatable {
    /// Unique in the job and the same when a resumed job reaches the same point again: `epoch-3`, `checkpoint-1200`.
    public var key: String
    /// `message`, `data`, `metrics`, `checkpoint`, `warning`.
    public var type: String
    public var level: String
    public var message: String
    public var data: JSON
    public init(key: String, type: String, level: String = "info", message: String, data: JSON = .null) {
        self.key = key
        self.type = type
        self.level = level
        self.message = message
        self.data = data
    }
}

/// Files that a worker leaves in its job's folder for the platform to give out.
public enum JobFile {
    /// The rows that could not be used: a JSON object a line with `file`, `line`, `column`, `value` and `reason`.
    public static let badRows = "bad-rows.jsonl"
}

/// Where a job is, for a progress bar.
public struct JobProgress: Codable, Sendable, Equatable {
    /// `preparing`, `training`, `evaluating`, `publishing`.
    public var phase: String
    public var step: Int
    public var totalSteps: Int
    public var epoch: Int
    public var totalEpochs: Int
    public var loss: Double?
    /// The first metric of the first output on the training rows: its name and value.
    public var metric: String?
    public var metricValue: Double?
    /// `images`, `rows` or `tokens` a second.
    public var unit: String
    public var perSecond: Double
    public var secondsLeft: Double?
    public init(
        phase: String, step: Int = 0, totalSteps: Int = 0, epoch: Int = 0, totalEpochs: Int = 0, loss: Double? = nil,
        metric: String? = nil, metricValue: Double? = nil, unit: String = "rows", perSecond: Double = 0,
        secondsLeft: Double? = nil
    ) {
        self.phase = phase
        self.step = step
        self.totalSteps = totalSteps
        self.epoch = epoch
        self.totalEpochs = totalEpochs
        self.loss = loss
        self.metric = metric
        self.metricValue = metricValue
        self.unit = unit
        self.perSecond = perSecond
        self.secondsLeft = secondsLeft
    }
}

/// What a job leaves: for training a bundle folder, for evaluation and profiling a report.
public struct JobResult: Codable, Sendable {
    /// Relative to the job's folder; nil where no model was made.
    public var bundle: String?
    public var card: ModelCard?
    public var report: JSON
    public var usage: JobUsage
    public init(bundle: String? = nil, card: ModelCard? = nil, report: JSON = .null, usage: JobUsage) {
        self.bundle = bundle
        self.card = card
        self.report = report
        self.usage = usage
    }
}

/// A point of a fine-tuning job that is registered as a model of its own.
public struct TunedCheckpoint: Codable, Sendable, Equatable {
    /// Optimizer steps done.
    public var step: Int
    /// The bundle's folder, relative to the job's.
    public var bundle: String
    /// `train_loss`, `train_mean_token_accuracy`, `valid_loss`, `valid_mean_token_accuracy`, `full_valid_loss`, …
    public var metrics: [String: Double]
    public init(step: Int, bundle: String, metrics: [String: Double]) {
        self.step = step
        self.bundle = bundle
        self.metrics = metrics
    }
}

/// What a job used, for the ledger.
public struct JobUsage: Codable, Sendable, Equatable {
    public var cpuSeconds: Double
    public var rows: Int
    /// Of a fine-tuning job: tokens that went through training, all epochs counted.
    public var trainedTokens: Int?
    public init(cpuSeconds: Double, rows: Int, trainedTokens: Int? = nil) {
        self.cpuSeconds = cpuSeconds
        self.rows = rows
        self.trainedTokens = trainedTokens
    }
}

public struct ReplicaReady: Codable, Sendable {
    public var signature: Signature
    public var loadSeconds: Double
    public var residentBytes: Int
    /// A language model's weight format and the like, as `models show` tells it: `precision`, `logit_error`.
    public var serving: [String: String]?
    public init(signature: Signature, loadSeconds: Double, residentBytes: Int, serving: [String: String]? = nil) {
        self.signature = signature
        self.loadSeconds = loadSeconds
        self.residentBytes = residentBytes
        self.serving = serving
    }
}

public struct InferenceRequest: Codable, Sendable {
    public enum API: String, Codable, Sendable {
        /// `{"rows":[{column: value}]}` → `{"predictions":[…]}`.
        case predict
        /// Open Inference Protocol, JSON or binary tensors by `headerLength`.
        case openInference = "open_inference"
        /// The body is one image or audio file.
        case file
    }
    public var api: API
    /// The name that the client asked, which its answer carries; nil is the model's own.
    public var model: String?
    /// `Inference-Header-Content-Length`, where the client sent it.
    public var headerLength: Int?
    /// Microseconds from the request's arrival after which nobody waits for the answer.
    public var deadlineMicroseconds: Int?
    public init(api: API, model: String? = nil, headerLength: Int? = nil, deadlineMicroseconds: Int? = nil) {
        self.api = api
        self.model = model
        self.headerLength = headerLength
        self.deadlineMicroseconds = deadlineMicroseconds
    }
}

public struct InferenceReply: Codable, Sendable {
    public var contentType: String
    /// Where the answer has binary tensors.
    public var headerLength: Int?
    public var rows: Int
    public var queueMicroseconds: Int
    public var computeMicroseconds: Int
    public init(
        contentType: String = "application/json", headerLength: Int? = nil, rows: Int, queueMicroseconds: Int,
        computeMicroseconds: Int
    ) {
        self.contentType = contentType
        self.headerLength = headerLength
        self.rows = rows
        self.queueMicroseconds = queueMicroseconds
        self.computeMicroseconds = computeMicroseconds
    }
}

extension InferenceReply {
    /// What `JSONEncoder.wire` would give, without it: this is on the path of every request.
    public var head: [UInt8] {
        var json = "{\"computeMicroseconds\":\(computeMicroseconds),\"contentType\":"
        JSON.quote(contentType, to: &json)
        if let headerLength { json += ",\"headerLength\":\(headerLength)" }
        json += ",\"queueMicroseconds\":\(queueMicroseconds),\"rows\":\(rows)}"
        return Array(json.utf8)
    }
}

/// How an engine process learns where to dial, from its environment.
public enum EngineEnvironment {
    public static let socket = "MARTLET_CONTROL_SOCKET"
    public static let token = "MARTLET_ENGINE_TOKEN"
}

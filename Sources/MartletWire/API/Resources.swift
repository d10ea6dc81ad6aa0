import Foundation

/// A page of a list, as the native API gives it.
public struct Page<Item: Codable & Sendable>: Codable, Sendable {
    public var object = "list"
    public var data: [Item]
    public var hasMore: Bool
    public init(data: [Item], hasMore: Bool = false) {
        self.data = data
        self.hasMore = hasMore
    }
    enum CodingKeys: String, CodingKey { case object, data, hasMore = "has_more" }
}

/// Who may do what, from most to least.
public enum Role: String, Codable, Sendable, CaseIterable {
    /// Everything, keys, projects and deletion included.
    case admin
    /// Data, jobs, models, deployments and inference of the key's project.
    case developer
    /// Inference only.
    case inference
    /// Reads usage and audit only.
    case auditor
}

public struct ProjectInfo: Codable, Sendable, Equatable {
    public var id: String
    public var name: String
    public var createdAt: Date
    public init(id: String, name: String, createdAt: Date) {
        self.id = id
        self.name = name
        self.createdAt = createdAt
    }
    enum CodingKeys: String, CodingKey { case id, name, createdAt = "created_at" }
}

public struct KeyInfo: Codable, Sendable, Equatable {
    public var id: String
    public var name: String
    public var project: String
    public var role: Role
    /// The first characters, to tell keys apart.
    public var prefix: String
    public var createdAt: Date
    public var expiresAt: Date?
    public var revokedAt: Date?
    /// The key itself: in the answer to its creation, and never again.
    public var secret: String?
    public init(
        id: String, name: String, project: String, role: Role, prefix: String, createdAt: Date, expiresAt: Date? = nil,
        revokedAt: Date? = nil, secret: String? = nil
    ) {
        self.id = id
        self.name = name
        self.project = project
        self.role = role
        self.prefix = prefix
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
        self.secret = secret
    }
    enum CodingKeys: String, CodingKey {
        case id, name, project, role, prefix, createdAt = "created_at", expiresAt = "expires_at"
        case revokedAt = "revoked_at", secret
    }
}

/// A file of a dataset or bundle: where it stands in the folder and what it holds.
public struct TreeFile: Codable, Sendable, Equatable, Hashable {
    /// Relative, with `/`, without `..`.
    public var path: String
    public var hash: String
    public var byteCount: Int
    public init(path: String, hash: String, byteCount: Int) {
        self.path = path
        self.hash = hash
        self.byteCount = byteCount
    }
    enum CodingKeys: String, CodingKey { case path, hash, byteCount = "bytes" }
}

public struct DatasetInfo: Codable, Sendable, Equatable {
    public var name: String
    public var version: Int
    /// SHA-256 of the sorted list of files.
    public var contentHash: String
    public var files: [TreeFile]
    public var byteCount: Int
    public var createdAt: Date
    /// The job that reads and describes it, and its result once there.
    public var profileJob: String?
    public var profile: JSON?
    public init(
        name: String, version: Int, contentHash: String, files: [TreeFile], byteCount: Int, createdAt: Date,
        profileJob: String? = nil, profile: JSON? = nil
    ) {
        self.name = name
        self.version = version
        self.contentHash = contentHash
        self.files = files
        self.byteCount = byteCount
        self.createdAt = createdAt
        self.profileJob = profileJob
        self.profile = profile
    }
    enum CodingKeys: String, CodingKey {
        case name, version, contentHash = "content_hash", files, byteCount = "bytes", createdAt = "created_at"
        case profileJob = "profile_job", profile
    }
}

public enum JobKind: String, Codable, Sendable, CaseIterable {
    case train, fineTune = "fine_tune", evaluate, optimize, batch, `import`
}

public enum JobState: String, Codable, Sendable, CaseIterable {
    case queued, running, pausing, paused, succeeded, failed, cancelled
    public var isFinal: Bool { self == .succeeded || self == .failed || self == .cancelled }
}

public struct JobInfo: Codable, Sendable, Equatable {
    public var id: String
    public var kind: JobKind
    public var name: String
    public var state: JobState
    public var createdAt: Date
    public var startedAt: Date?
    public var finishedAt: Date?
    /// How often a worker was started for it.
    public var attempts: Int
    public var progress: JobProgress?
    public var error: MartletError?
    /// `name@version` of the model that it made.
    public var model: String?
    /// The deployment that it made.
    public var deployment: String?
    public var recipe: JSON?
    public var result: JSON?
    public init(id: String, kind: JobKind, name: String, state: JobState, createdAt: Date, attempts: Int = 0) {
        self.id = id
        self.kind = kind
        self.name = name
        self.state = state
        self.createdAt = createdAt
        self.attempts = attempts
    }
    enum CodingKeys: String, CodingKey {
        case id, kind, name, state, createdAt = "created_at", startedAt = "started_at", finishedAt = "finished_at"
        case attempts, progress, error, model, deployment, recipe, result
    }
}

/// A `JobEvent` with its place in the job's history.
public struct JobEventInfo: Codable, Sendable, Equatable {
    public var sequence: Int
    public var createdAt: Date
    public var event: JobEvent
    public init(sequence: Int, createdAt: Date, event: JobEvent) {
        self.sequence = sequence
        self.createdAt = createdAt
        self.event = event
    }
    enum CodingKeys: String, CodingKey { case sequence, createdAt = "created_at", event }
}

/// `POST /api/v1/jobs`.
public struct JobRequest: Codable, Sendable {
    public var kind: JobKind
    public var name: String?
    /// train: the recipe.
    public var recipe: JSON?
    /// evaluate: `name@version` of the model and of the dataset.
    public var model: String?
    public var dataset: String?
    public var device: String?
    /// fine_tune: the request in OpenAI's form that it was made from: `suffix`, `metadata`, `training_file`, …
    public var tuning: JSON?
    public init(
        kind: JobKind, name: String? = nil, recipe: JSON? = nil, model: String? = nil, dataset: String? = nil,
        device: String? = nil, tuning: JSON? = nil
    ) {
        self.kind = kind
        self.name = name
        self.recipe = recipe
        self.model = model
        self.dataset = dataset
        self.device = device
        self.tuning = tuning
    }
}

public struct ModelInfo: Codable, Sendable, Equatable {
    public var name: String
    public var version: Int
    public var contentHash: String
    public var createdAt: Date
    public var jobID: String?
    public var files: [TreeFile]
    public var byteCount: Int
    public var card: ModelCard
    public var signature: Signature
    /// How a language model was served last: `precision` and the like; nil where it was not loaded yet.
    public var serving: [String: String]?
    /// Its `ft:…` ids; nil where it has none.
    public var aliases: [String]?
    public init(
        name: String, version: Int, contentHash: String, createdAt: Date, jobID: String?, files: [TreeFile],
        byteCount: Int, card: ModelCard, signature: Signature
    ) {
        self.name = name
        self.version = version
        self.contentHash = contentHash
        self.createdAt = createdAt
        self.jobID = jobID
        self.files = files
        self.byteCount = byteCount
        self.card = card
        self.signature = signature
    }
    enum CodingKeys: String, CodingKey {
        case name, version, contentHash = "content_hash", createdAt = "created_at", jobID = "job", files
        case byteCount = "bytes", card, signature, serving, aliases
    }
}

public struct ReplicaInfo: Codable, Sendable, Equatable {
    public enum State: String, Codable, Sendable { case starting, ready, draining, failed }
    public var id: String
    public var state: State
    public var pid: Int32?
    public var restarts: Int
    public var error: String?
    public init(id: String, state: State, pid: Int32?, restarts: Int, error: String? = nil) {
        self.id = id
        self.state = state
        self.pid = pid
        self.restarts = restarts
        self.error = error
    }
}

public struct DeploymentInfo: Codable, Sendable, Equatable {
    public var name: String
    /// `name@version` that answers now.
    public var model: String
    /// What a rollback returns to.
    public var previousModel: String?
    /// The version that is being loaded to take over, and what went wrong with the last one that could not.
    public var nextModel: String?
    public var error: String?
    public var replicas: Int
    public var ready: Bool
    public var replicaStates: [ReplicaInfo]
    /// What a model has to pass before it takes over, while that is not decided.
    public var gate: GateInfo?
    public var createdAt: Date
    public var updatedAt: Date
    public init(name: String, model: String, replicas: Int, ready: Bool, createdAt: Date, updatedAt: Date) {
        self.name = name
        self.model = model
        self.replicas = replicas
        self.ready = ready
        self.replicaStates = []
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
    enum CodingKeys: String, CodingKey {
        case name, model, previousModel = "previous_model", nextModel = "next_model", error, replicas, ready, gate
        case replicaStates = "replica_states", createdAt = "created_at", updatedAt = "updated_at"
    }
}

/// A gate that is not decided: the run of an eval that a model must pass.
public struct GateInfo: Codable, Sendable, Equatable {
    /// `name@version` of what is judged.
    public var model: String
    public var eval: String
    public var run: String
    public init(model: String, eval: String, run: String) {
        self.model = model
        self.eval = eval
        self.run = run
    }
}

/// `POST /api/v1/deployments`.
public struct DeploymentRequest: Codable, Sendable {
    public var model: String
    public var name: String?
    public var replicas: Int?
    /// An eval, by id or name, that the model must pass before it takes over.
    public var gate: String?
    public init(model: String, name: String? = nil, replicas: Int? = nil, gate: String? = nil) {
        self.model = model
        self.name = name
        self.replicas = replicas
        self.gate = gate
    }
}

/// What one key used of one thing in one hour.
public struct UsageRow: Codable, Sendable, Equatable {
    public var hour: Date
    public var project: String
    public var key: String
    /// `inference`, `training`, `storage`.
    public var kind: String
    public var resource: String
    public var requests: Int
    public var rows: Int
    public var cpuSeconds: Double
    /// Of language models; what was read from a cache is part of the prompt.
    public var promptTokens: Int
    public var completionTokens: Int
    public init(
        hour: Date, project: String, key: String, kind: String, resource: String, requests: Int, rows: Int,
        cpuSeconds: Double, promptTokens: Int = 0, completionTokens: Int = 0
    ) {
        self.hour = hour
        self.project = project
        self.key = key
        self.kind = kind
        self.resource = resource
        self.requests = requests
        self.rows = rows
        self.cpuSeconds = cpuSeconds
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
    }
    enum CodingKeys: String, CodingKey {
        case hour, project, key, kind, resource, requests, rows, cpuSeconds = "cpu_seconds"
        case promptTokens = "prompt_tokens", completionTokens = "completion_tokens"
    }
}

/// An entry of the hash-chained audit log.
public struct AuditRow: Codable, Sendable, Equatable {
    public var sequence: Int
    public var time: Date
    public var project: String
    public var key: String
    public var action: String
    public var resource: String
    public var outcome: String
    public var previousHash: String
    public var hash: String
    public init(
        sequence: Int, time: Date, project: String, key: String, action: String, resource: String, outcome: String,
        previousHash: String, hash: String
    ) {
        self.sequence = sequence
        self.time = time
        self.project = project
        self.key = key
        self.action = action
        self.resource = resource
        self.outcome = outcome
        self.previousHash = previousHash
        self.hash = hash
    }
    enum CodingKeys: String, CodingKey {
        case sequence, time, project, key, action, resource, outcome, previousHash = "previous_hash", hash
    }
}

/// What `martlet gc` found, by project and kind.
public struct GarbageReport: Codable, Sendable, Equatable {
    public struct Row: Codable, Sendable, Equatable {
        public var project: String
        /// `dataset`, `model`, `checkpoint`, `cache`, `unreferenced`.
        public var kind: String
        public var count: Int
        public var byteCount: Int
        public init(project: String, kind: String, count: Int, byteCount: Int) {
            self.project = project
            self.kind = kind
            self.count = count
            self.byteCount = byteCount
        }
        enum CodingKeys: String, CodingKey { case project, kind, count, byteCount = "bytes" }
    }
    public var rows: [Row]
    public var removedCount: Int
    public var removedBytes: Int
    public var isDryRun: Bool
    public init(rows: [Row], removedCount: Int, removedBytes: Int, isDryRun: Bool) {
        self.rows = rows
        self.removedCount = removedCount
        self.removedBytes = removedBytes
        self.isDryRun = isDryRun
    }
    enum CodingKeys: String, CodingKey {
        case rows, removedCount = "removed", removedBytes = "removed_bytes", isDryRun = "dry_run"
    }
}

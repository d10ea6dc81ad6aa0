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
    /// The recipe as written, to be read by `RecipeReader`; the order of its inputs is the order of their weights.
    @VerbatimJSON public var recipe: JSON
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
    /// The folder of its base's, where it is an adapter.
    public var base: String?
    /// How a language model's weights lie, as in `ServeTask`.
    public var precision: String
    public var dataset: DatasetMount
    public var directory: String
    public var share: MachineShare
    public init(
        jobID: String, bundle: String, base: String? = nil, precision: String = "auto", dataset: DatasetMount,
        directory: String, share: MachineShare
    ) {
        self.jobID = jobID
        self.precision = precision
        self.bundle = bundle
        self.base = base
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

/// `signature.json` of a model bundle: what goes in and what comes out, typed.
public struct Signature: Codable, Sendable, Equatable {
    /// One tensor of the Open Inference Protocol. Values are raw: the saved preprocessing runs inside.
    public struct TensorSpec: Codable, Sendable, Equatable {
        public var name: String
        /// `FP32`, `INT64`, `UINT8`, `BOOL`, `BYTES`.
        public var datatype: String
        /// -1 is the batch.
        public var shape: [Int]
        public init(name: String, datatype: String, shape: [Int]) {
            self.name = name
            self.datatype = datatype
            self.shape = shape
        }
    }
    /// One column of a row, as `predict` takes and gives it.
    public struct Column: Codable, Sendable, Equatable {
        public var name: String
        public var type: String
        /// The labels of a category, in the order of the model's scores.
        public var categories: [String]?
        public init(name: String, type: String, categories: [String]? = nil) {
            self.name = name
            self.type = type
            self.categories = categories
        }
    }
    public var inputs: [TensorSpec] = []
    public var outputs: [TensorSpec] = []
    public var inputColumns: [Column] = []
    public var outputColumns: [Column] = []
    public init() {}

    enum CodingKeys: String, CodingKey {
        case inputs, outputs, inputColumns = "input_columns", outputColumns = "output_columns"
    }
}

/// `card.json` of a model bundle: metrics, lineage, hashes, environment.
public struct ModelCard: Codable, Sendable, Equatable {
    public var name: String = ""
    public var parameterCount: Int = 0
    /// Split → metric → value: `{"test": {"accuracy": 0.91}}`.
    public var metrics: [String: [String: Double]] = [:]
    /// Output → split → rows of counts, true label by predicted label.
    public var confusion: [String: ConfusionMatrix] = [:]
    /// The requirements of the recipe that were missed; a model with one is not deployed.
    public var unmetRequirements: [String] = []
    /// The recipe as written.
    public var recipe: JSON = .null
    public var recipeHash: String = ""
    /// Dataset name@version → content hash.
    public var data: [String: String] = [:]
    public var jobID: String = ""
    /// engine, libtorch, cpu, threads, …
    public var environment: [String: String] = [:]
    public var stepsTrained: Int = 0
    public var secondsTrained: Double = 0
    public init() {}

    enum CodingKeys: String, CodingKey {
        case name, parameterCount = "parameter_count", metrics, confusion, unmetRequirements = "unmet_requirements"
        case recipe, recipeHash = "recipe_hash", data, jobID = "job_id", environment
        case stepsTrained = "steps_trained", secondsTrained = "seconds_trained"
    }
}

/// Counts of true label (row) by predicted label (column).
public struct ConfusionMatrix: Codable, Sendable, Equatable {
    public var labels: [String]
    public var counts: [[Int]]
    public init(labels: [String], counts: [[Int]]) {
        self.labels = labels
        self.counts = counts
    }
}

/// The names of the files in a bundle.
public enum BundleFile {
    public static let weights = "model.safetensors"
    public static let config = "config.json"
    public static let preprocessing = "preprocessing.json"
    public static let signature = "signature.json"
    public static let card = "card.json"
}

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
    /// What a bundle is served as; a file without it is `features`.
    public enum Kind: String, Codable, Sendable {
        /// Rows of columns and tensors.
        case features
        /// Text: chat, completions, embeddings.
        case language
    }
    public var kind: Kind?
    /// Of a language model.
    public var language: LanguageSummary?
    public var inputs: [TensorSpec] = []
    public var outputs: [TensorSpec] = []
    public var inputColumns: [Column] = []
    public var outputColumns: [Column] = []
    public init() {}

    public var isLanguage: Bool { kind == .language }

    enum CodingKeys: String, CodingKey {
        case kind, language, inputs, outputs, inputColumns = "input_columns", outputColumns = "output_columns"
    }
}

/// What a client and `models show` are told of a language model.
public struct LanguageSummary: Codable, Sendable, Equatable {
    /// As `config.json` has it in `model_type`: `llama`, `qwen3`, `bert`.
    public var architecture: String
    public var parameterCount: Int
    /// Most tokens of a prompt and its answer; of an answer alone, where the model reads its source apart.
    public var contextLength: Int
    /// Most tokens of the source that a model reads before it writes; nil for one that goes on with its prompt.
    public var sourceLength: Int?
    public var vocabularyCount: Int
    public var width: Int
    public var layerCount: Int
    /// The format of the stored weights: `F32`, `F16`, `BF16`.
    public var storedPrecision: String
    public var hasChatTemplate: Bool
    /// Whether it goes on with text. An encoder does not, it only embeds.
    public var generates: Bool
    /// An adapter's base; nil for a model that stands alone.
    public var base: Base?

    /// The registered model that an adapter was made for.
    public struct Base: Codable, Sendable, Equatable {
        /// `name@version`.
        public var reference: String
        public var contentHash: String
        public init(reference: String, contentHash: String) {
            self.reference = reference
            self.contentHash = contentHash
        }
        enum CodingKeys: String, CodingKey { case reference, contentHash = "content_hash" }
    }

    public init(
        architecture: String, parameterCount: Int, contextLength: Int, vocabularyCount: Int, width: Int,
        layerCount: Int, storedPrecision: String, hasChatTemplate: Bool, generates: Bool
    ) {
        self.architecture = architecture
        self.parameterCount = parameterCount
        self.contextLength = contextLength
        self.vocabularyCount = vocabularyCount
        self.width = width
        self.layerCount = layerCount
        self.storedPrecision = storedPrecision
        self.hasChatTemplate = hasChatTemplate
        self.generates = generates
    }

    enum CodingKeys: String, CodingKey {
        case architecture, parameterCount = "parameter_count", contextLength = "context_length"
        case sourceLength = "source_length", vocabularyCount = "vocabulary_count", width, layerCount = "layer_count"
        case storedPrecision = "stored_precision", hasChatTemplate = "has_chat_template", generates, base
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
    /// A language model's SHA-256 of `tokenizer`, `template` and, where it was tuned, `base`.
    public var hashes: [String: String]?
    /// The largest difference of a logit between training and serving on held-out texts, by weight format; of a language
    /// model that was tuned or trained from texts.
    public var parity: [String: Double]?
    public init() {}

    enum CodingKeys: String, CodingKey {
        case name, parameterCount = "parameter_count", metrics, confusion, unmetRequirements = "unmet_requirements"
        case recipe, recipeHash = "recipe_hash", data, jobID = "job_id", environment
        case stepsTrained = "steps_trained", secondsTrained = "seconds_trained", hashes, parity
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
    public static let weightsIndex = "model.safetensors.index.json"
    /// An adapter's, in the form of PEFT.
    public static let adapterConfig = "adapter_config.json"
    public static let adapterWeights = "adapter_model.safetensors"

    /// Files that a language model's bundle may have besides `required` ones, with the names that other tools use.
    public static let language = [
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
        "chat_template.jinja", "chat_template.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt",
        "vocab.txt", "added_tokens.json",
    ]

    /// How an encoder makes vectors of hidden states, as sentence-transformers writes it.
    public static let pooling = ["modules.json", "1_Pooling/config.json"]

    /// `model-00001-of-00003.safetensors`: a shard's name with the places of its number.
    public static func isShard(_ name: String) -> Bool {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "model", parts[2] == "of", parts[3].hasSuffix(".safetensors") else {
            return false
        }
        let numbers = [parts[1], parts[3].dropLast(".safetensors".count)]
        return numbers.allSatisfy { $0.count == 5 && $0.allSatisfy { $0.isASCII && $0.isNumber } }
    }
}

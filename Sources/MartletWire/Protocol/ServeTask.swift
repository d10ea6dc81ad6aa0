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

import Foundation

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

/// A point of a fine-tuning job that answers as a model.
public struct TunedCheckpointInfo: Codable, Sendable, Equatable {
    /// `ftckpt_…`.
    public var id: String
    public var jobID: String
    public var step: Int
    /// `name@version`, and the `ft:…` id that stands for it.
    public var model: String
    public var alias: String
    public var metrics: [String: Double]
    public var createdAt: Date
    public init(
        id: String, jobID: String, step: Int, model: String, alias: String, metrics: [String: Double], createdAt: Date
    ) {
        self.id = id
        self.jobID = jobID
        self.step = step
        self.model = model
        self.alias = alias
        self.metrics = metrics
        self.createdAt = createdAt
    }
    enum CodingKeys: String, CodingKey {
        case id, jobID = "job", step, model, alias, metrics, createdAt = "created_at"
    }
}

/// A second name of a model's version: a tuned model's `ft:…` id, or a checkpoint's.
public struct ModelAlias: Codable, Sendable, Equatable {
    public var alias: String
    /// `name@version`.
    public var model: String
    public var createdAt: Date
    public init(alias: String, model: String, createdAt: Date) {
        self.alias = alias
        self.model = model
        self.createdAt = createdAt
    }
    enum CodingKeys: String, CodingKey { case alias, model, createdAt = "created_at" }
}

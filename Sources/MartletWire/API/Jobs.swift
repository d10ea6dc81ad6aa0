import Foundation

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

import Foundation

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

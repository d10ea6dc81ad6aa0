import Foundation

/// What a project may use in a calendar month (UTC), and what it has used of it.
public struct BudgetInfo: Codable, Sendable, Equatable {
    /// What is counted; nil in a limit is none.
    public struct Amount: Codable, Sendable, Equatable {
        /// Threads times seconds, of inference and of jobs.
        public var cpuSeconds: Double?
        /// Prompts, answers and trained tokens of language models.
        public var tokens: Int?
        public init(cpuSeconds: Double? = nil, tokens: Int? = nil) {
            self.cpuSeconds = cpuSeconds
            self.tokens = tokens
        }
        enum CodingKeys: String, CodingKey { case cpuSeconds = "cpu_seconds", tokens }
    }

    /// The project's name.
    public var project: String
    /// The month's first moment.
    public var since: Date
    public var limit: Amount
    public var used: Amount
    public init(project: String, since: Date, limit: Amount, used: Amount) {
        self.project = project
        self.since = since
        self.limit = limit
        self.used = used
    }

    /// Whether what was used has reached a limit.
    public var isSpent: Bool {
        if let limit = limit.cpuSeconds, used.cpuSeconds ?? 0 >= limit { return true }
        if let limit = limit.tokens, used.tokens ?? 0 >= limit { return true }
        return false
    }
}

/// How many tokens of prompts go through a model at once, so that a pass takes a part of a second, whatever the model's
/// size: whoever waits for a next token, leaves, or asks for a sign of life waits for the pass. A value.
public struct PassPace: Sendable {
    /// nil where there is nothing to go by.
    public private(set) var promptTokens: Int?
    private var nanosecondsPerToken: Double?

    /// Fewer read the weights too often.
    private static let fewest = 32
    private static let aim = 500_000_000.0

    public init() {}

    /// Takes in what a pass took. One of few tokens tells nothing: it takes as long as reading the weights does.
    public mutating func note(tokens: Int, nanoseconds: UInt64) {
        guard tokens >= Self.fewest / 2 else { return }
        let found = Double(nanoseconds) / Double(tokens)
        let pace = nanosecondsPerToken.map { ($0 + found) / 2 } ?? found
        nanosecondsPerToken = pace
        promptTokens = max(Self.fewest, Int(min(Self.aim / max(pace, 1), 1e9)))
    }
}

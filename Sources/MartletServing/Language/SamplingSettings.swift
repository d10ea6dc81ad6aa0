import MartletWire

/// How one request's tokens are chosen: what it asks for, else what the model's generation config has, else the neutral
/// value.
public struct SamplingSettings: Sendable, Equatable {
    /// 0 is greedy.
    public var temperature = 1.0
    /// 0 is off.
    public var topK = 0
    public var topP = 1.0
    public var minP = 0.0
    public var repetitionPenalty = 1.0
    public var presencePenalty = 0.0
    public var frequencyPenalty = 0.0
    public var seed: UInt64 = 0
    /// Added to the logits.
    public var logitBias: [(token: Int, bias: Float)] = []
    /// Tokens before an end may be chosen.
    public var minTokens = 0
    public var endTokens: Set<Int> = []
    /// Most likely tokens to report; nil for no log probabilities.
    public var topLogprobs: Int?

    static let temperatures = 0.0...100
    static let shares = 0.0...1
    static let repetitionPenalties = 0.01...100

    public init() {}

    public static func == (a: Self, b: Self) -> Bool {
        a.temperature == b.temperature && a.topK == b.topK && a.topP == b.topP && a.minP == b.minP
            && a.repetitionPenalty == b.repetitionPenalty && a.presencePenalty == b.presencePenalty
            && a.frequencyPenalty == b.frequencyPenalty && a.seed == b.seed && a.minTokens == b.minTokens
            && a.endTokens == b.endTokens && a.topLogprobs == b.topLogprobs
            && a.logitBias.map(\.token) == b.logitBias.map(\.token)
            && a.logitBias.map(\.bias) == b.logitBias.map(\.bias)
    }

    /// - Throws: `invalidRequest` that names the field, its value and its range.
    public init(
        _ request: GenerationRequest, defaults: Sampling, endTokens: Set<Int>, vocabularyCount: Int
    ) throws {
        let asked = request.sampling
        temperature = try Self.check(asked.temperature ?? defaults.temperature ?? 1, Self.temperatures, "temperature")
        topK = asked.topK ?? defaults.topK ?? 0
        // Some clients say "off" with -1.
        guard topK >= -1 else {
            throw MartletError(.invalidRequest, "top_k is \(topK); use 0 for all tokens or a number", param: "top_k")
        }
        topK = topK == -1 ? 0 : topK
        topP = try Self.check(asked.topP ?? defaults.topP ?? 1, Self.shares, "top_p")
        minP = try Self.check(asked.minP ?? defaults.minP ?? 0, Self.shares, "min_p")
        repetitionPenalty = try Self.check(
            asked.repetitionPenalty ?? defaults.repetitionPenalty ?? 1, Self.repetitionPenalties,
            "repetition_penalty")
        presencePenalty = try Self.check(asked.presencePenalty, -2...2, "presence_penalty")
        frequencyPenalty = try Self.check(asked.frequencyPenalty, -2...2, "frequency_penalty")
        seed = asked.seed ?? UInt64.random(in: .min ... .max)
        for (token, bias) in asked.logitBias.sorted(by: { $0.key < $1.key }) {
            guard token >= 0, token < vocabularyCount else {
                throw MartletError(
                    .invalidRequest, "logit_bias names token \(token); the vocabulary has 0 to \(vocabularyCount - 1)",
                    param: "logit_bias")
            }
            logitBias.append((token, Float(try Self.check(bias, -100...100, "logit_bias"))))
        }
        minTokens = max(0, request.minTokens)
        self.endTokens = endTokens
        topLogprobs = request.topLogprobs
    }

    private static func check(_ value: Double, _ range: ClosedRange<Double>, _ name: String) throws -> Double {
        guard range.contains(value) else {
            throw MartletError(
                .invalidRequest, "\(name) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)",
                param: name)
        }
        return value
    }
}

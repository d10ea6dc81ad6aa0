import MartletText
import MartletWire

/// A request that has been read, rendered, tokenized and checked: what the compute thread needs of it.
public struct GenerationPlan: Sendable {
    public var id: LanguageScheduler.RequestID
    public var prompt: [Int32]
    public var choiceCount: Int
    /// Tokens of an answer, within the context.
    public var maxTokens: Int
    public var settings: SamplingSettings
    public var stops: [String]
    public var ignoresEnd: Bool
    /// What bounds the answer's tokens: all of them, or from where the model begins a call.
    public var constraint: AnswerConstraint?
    /// Whether it is the model that chooses to call a function or not.
    public var choosesCalls = false
    /// Reads the functions that the answer calls.
    public var calls: ToolCallParser?
    /// Special tokens that the answer's text shows: the marks of calls.
    public var marks: [Int: String] = [:]
    /// The prompt's text, where the answer begins with it.
    public var echo: String?
    /// Whether the prompt is a source that is read apart, and an answer does not go on with it.
    public var readsSource = false
    /// Whether an answer's text is without the space that it begins with.
    public var dropsFirstSpace = false
    /// Whether the token that ends an answer is told with its log probability: text completions have one for each token
    /// that is counted, and who measures a prompt takes the last of them away.
    public var tellsEnd = false
    public var tenant: String
    public var owner: String
    /// Whether it waits for the gaps of what somebody waits for.
    public var isBackground = false
    /// The adapter that the answer goes through.
    var adapter: AdapterLease?
    /// Nanoseconds of a monotonic clock.
    public var deadline: UInt64?
    public var arrived: UInt64
    public var emit: @Sendable (Result<GenerationEvent, MartletError>) -> Void

    /// Whose cached prefixes it may read: those of its project that went through the same weights.
    var cacheScope: String { adapter.map { tenant + "\u{0}" + $0.key } ?? tenant }

    /// Whether each of the prompt's tokens gets a log probability.
    var measuresPrompt: Bool { echo != nil && settings.topLogprobs != nil }
}

/// One answer of a request on its way.
struct Answer {
    var sampler: SamplerState
    var text: AnswerText
    var constraint: AnswerConstraint?
    var calls: ToolCallParser?
    /// Text that calls and an answer of another form both begin with; nil once it is known which of them it is.
    private var unsettled: String?
    /// Tokens of text that may yet turn out to be part of a call.
    var untold: [TokenChance] = []
    var tokenCount = 0
    /// Whether no token has given a text yet.
    var isBlank = true

    init(_ plan: GenerationPlan, _ sampler: SamplerState) {
        self.sampler = sampler
        text = AnswerText(stops: plan.stops)
        constraint = plan.constraint
        calls = plan.calls
        unsettled = constraint.map { $0.kind == nil } == true ? "" : nil
    }

    /// Takes text and gives back what of it is to be told, of calls where `calls` is still there.
    mutating func settled(_ text: String, isLast: Bool = false) -> String {
        guard let held = unsettled else { return text }
        let kind = constraint?.kind
        unsettled = kind == nil && !isLast ? held + text : nil
        guard unsettled == nil else { return "" }
        if kind == .text { calls = nil }
        return held + text
    }

    /// Whether it is made of calls and could end as it is: the last token may have been the one that ended a call.
    var hasWholeCalls: Bool { calls != nil && constraint.map { !$0.isFree && $0.canEnd } == true }
}

/// A request on its way.
struct Generation {
    let plan: GenerationPlan
    /// What the model keeps of a source and its answers.
    let source: SourceAnswers?
    var answers: [Answer]
    var open: Int
    var cachedTokens = 0
    var started: UInt64?
    var firstToken: UInt64?
    var promptChances: [TokenChance] = []

    /// - Parameter start: tokens that an answer starts from, behind its prompt.
    init(_ plan: GenerationPlan, start: [Int32] = []) {
        self.plan = plan
        open = plan.choiceCount
        source = plan.readsSource ? SourceAnswers(plan.prompt) : nil
        // Repetition is a matter of what an answer goes on with, which a source is no part of.
        let repeated = plan.readsSource ? start : plan.prompt
        answers = (0..<plan.choiceCount).map {
            Answer(plan, SamplerState(plan.settings, prompt: repeated, choice: $0))
        }
    }

    func usage(now: UInt64) -> GenerationUsage {
        let begun = started ?? now
        let answered = firstToken ?? now
        return GenerationUsage(
            promptTokens: plan.prompt.count, cachedTokens: cachedTokens,
            completionTokens: answers.reduce(0) { $0 + $1.tokenCount },
            queueMicroseconds: Int((begun &- plan.arrived) / 1_000),
            prefillMicroseconds: Int((answered &- begun) / 1_000),
            decodeMicroseconds: Int((now &- answered) / 1_000))
    }
}

import MartletWire

/// What the scheduler is told and tells, and what it knows of each sequence, request and key.
extension LanguageScheduler {
    public struct Limits: Sendable {
        /// Sequences that are computed side by side.
        public var sequences = 32
        /// The part of them that background work may hold, one at least.
        public var backgroundShare = 0.75
        /// Tokens of one pass, where nobody waits for a next token and where somebody does.
        public var passTokens = 512
        public var mixedPassTokens = 128
        /// Choices that wait, of all keys and of one.
        public var waiting = 1024
        public var waitingPerOwner = 1024
        /// Tokens of prompts that wait.
        public var waitingTokens = 1 << 20
        /// Whether sequences that begin alike read the same pages; a model may keep nothing that another could read.
        public var sharesPrefixes = true
        /// What a token of an answer counts against one of a prompt, by the time that they take.
        public var answerWeight = 4.0
        public init() {}

        var backgroundSequences: Int { max(1, Int(Double(sequences) * min(max(backgroundShare, 0), 1))) }
    }

    public typealias RequestID = UInt64

    public struct SequenceID: Hashable, Sendable {
        public var request: RequestID
        public var choice: Int
        public init(request: RequestID, choice: Int) {
            self.request = request
            self.choice = choice
        }
    }

    public struct Submission: Sendable {
        public var id: RequestID
        public var prompt: [Int32]
        public var choiceCount: Int
        /// Most tokens of an answer.
        public var maxTokens: Int
        public var tenant: String
        public var owner: String
        /// Nanoseconds of a monotonic clock after which nobody waits for the answer.
        public var deadline: UInt64?
        /// Whether the results of all the prompt's tokens are wanted, so that none may come from the cache.
        public var needsWholePrompt: Bool
        /// Whether it waits for gaps.
        public var isBackground: Bool
        public init(
            id: RequestID, prompt: [Int32], choiceCount: Int = 1, maxTokens: Int, tenant: String = "",
            owner: String = "", deadline: UInt64? = nil, needsWholePrompt: Bool = false, isBackground: Bool = false
        ) {
            self.id = id
            self.prompt = prompt
            self.choiceCount = choiceCount
            self.maxTokens = maxTokens
            self.tenant = tenant
            self.owner = owner
            self.deadline = deadline
            self.needsWholePrompt = needsWholePrompt
            self.isBackground = isBackground
        }

        /// A key's background work queues apart from what it waits for.
        var queue: Owner.ID { Owner.ID(key: owner, isBackground: isBackground) }
    }

    /// One sequence's part of a pass.
    public struct Row: Sendable, Equatable {
        public var id: SequenceID
        public var tokens: [Int32]
        /// The place of the first of them.
        public var start: Int
        public var pages: [Int32]
        /// Whether the last token's result chooses a next token.
        public var samples: Bool
        /// Tokens of the prompt that came from the cache when the sequence got its place.
        public var cachedTokens: Int
        public init(
            id: SequenceID, tokens: [Int32], start: Int, pages: [Int32], samples: Bool, cachedTokens: Int = 0
        ) {
            self.id = id
            self.tokens = tokens
            self.start = start
            self.pages = pages
            self.samples = samples
            self.cachedTokens = cachedTokens
        }
    }

    public struct Pass: Sendable, Equatable {
        public var rows: [Row] = []
        /// Requests whose deadline went by, with whether any of them was computed.
        public var expired: [RequestID] = []
        /// Sequences that gave their pages back since the last pass, to be computed again.
        public var preempted: [SequenceID] = []
        public init() {}
    }

    struct Sequence {
        var id: SequenceID
        /// The prompt and what has been chosen since.
        var tokens: [Int32]
        /// Tokens that are in the cache.
        var computed = 0
        var pages: [Int32] = []
        var chain: CachePages.Chain = 0
        /// Full pages that are known by their chain.
        var remembered = 0
        var cached = 0
        /// Tokens of the pass that is being computed.
        var underway = 0
        var isBackground = false
    }

    struct Request {
        var submission: Submission
        /// Choices that have not ended.
        var open: Int
        /// Whether the other choices wait for the first to compute the prompt.
        var holdsChoices: Bool
    }

    struct Owner {
        struct ID: Hashable, Sendable, Comparable {
            var key: String
            var isBackground: Bool

            static func < (a: ID, b: ID) -> Bool {
                a.isBackground == b.isBackground ? a.key < b.key : b.isBackground
            }
        }
        /// Weighted tokens computed, lifted to the others' level on coming back.
        var served = 0.0
        var waiting: [Sequence] = []
        var waitingCount = 0
        var running = 0
    }
}

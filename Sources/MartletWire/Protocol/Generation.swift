/// What a replica of a language model is asked. `serve` has checked names, types and ranges; the replica renders the
/// template, tokenizes, checks the length against the context, schedules and computes.
public struct GenerationRequest: Codable, Sendable, Equatable {
    public enum Prompt: Codable, Sendable, Equatable {
        /// Messages as the OpenAI API has them, with the tools that the template is to describe.
        case chat(messages: [JSON], tools: [JSON])
        case text(String)
        case tokens([Int])
    }

    /// What the answer must be.
    public enum Form: Codable, Sendable, Equatable {
        case text
        case jsonObject
        case jsonSchema(JSON)
        /// Text or calls of these functions, as the model chooses.
        case tools([Tool])
        /// At least one call of one of these functions.
        case requiredTools([Tool])
        /// Text that is JSON of this schema, any object where there is none, or calls of these functions, as the model
        /// chooses.
        case jsonOrTools([Tool], schema: JSON?)
    }

    public struct Tool: Codable, Sendable, Equatable {
        public var name: String
        /// The JSON schema of its arguments.
        public var parameters: JSON
        public init(name: String, parameters: JSON) {
            self.name = name
            self.parameters = parameters
        }
    }

    public var prompt: Prompt
    /// Answers to give, each a sequence of its own in the scheduler.
    public var choiceCount: Int
    /// nil is what the context has left.
    public var maxTokens: Int?
    public var minTokens: Int
    public var sampling: Sampling
    /// Texts that end an answer and are not part of it.
    public var stop: [String]
    /// Most likely tokens to report for each place, 0 for the chosen one alone; nil for no log probabilities.
    public var topLogprobs: Int?
    /// Whether the prompt's text comes first in each answer.
    public var echo: Bool
    /// Go on where the model would end.
    public var ignoreEnd: Bool
    public var form: Form
    public var parallelToolCalls: Bool
    /// An object: what the request gives the chat template beside the messages and tools, such as `enable_thinking`.
    @VerbatimJSON public var templateVariables: JSON = [:]
    /// The adapter through which the base answers; nil is the base itself. Set by the platform.
    public var adapter: AdapterReference?
    /// Whether it waits for the gaps of those that someone waits for.
    public var isBackground = false
    /// The project: prefixes are shared only within it.
    public var tenant: String
    /// Whose turn it is between keys: the key's id.
    public var owner: String
    public var deadlineMicroseconds: Int?

    public init(
        prompt: Prompt, choiceCount: Int = 1, maxTokens: Int? = nil, minTokens: Int = 0,
        sampling: Sampling = Sampling(),
        stop: [String] = [], topLogprobs: Int? = nil, echo: Bool = false, ignoreEnd: Bool = false, form: Form = .text,
        parallelToolCalls: Bool = true, tenant: String, owner: String, deadlineMicroseconds: Int? = nil
    ) {
        self.prompt = prompt
        self.choiceCount = choiceCount
        self.maxTokens = maxTokens
        self.minTokens = minTokens
        self.sampling = sampling
        self.stop = stop
        self.topLogprobs = topLogprobs
        self.echo = echo
        self.ignoreEnd = ignoreEnd
        self.form = form
        self.parallelToolCalls = parallelToolCalls
        self.tenant = tenant
        self.owner = owner
        self.deadlineMicroseconds = deadlineMicroseconds
    }
}

/// An adapter's bundle on this machine. A replica loads it at its first request and keeps the ones that were used last.
public struct AdapterReference: Codable, Sendable, Equatable, Hashable {
    /// `name@version`.
    public var reference: String
    /// The hash of its files: the same adapter has the same.
    public var contentHash: String
    public var path: String
    public init(reference: String, contentHash: String, path: String) {
        self.reference = reference
        self.contentHash = contentHash
        self.path = path
    }
}

/// How the next token is chosen. The defaults change nothing but draw from the model's own distribution; nil takes the
/// model's generation config, and its lack the neutral value.
public struct Sampling: Codable, Sendable, Equatable {
    /// 0 is greedy.
    public var temperature: Double?
    /// 0 is off.
    public var topK: Int?
    public var topP: Double?
    public var minP: Double?
    public var repetitionPenalty: Double?
    public var presencePenalty: Double
    public var frequencyPenalty: Double
    public var seed: UInt64?
    /// Added to the logits, by token id.
    public var logitBias: [Int: Double]

    public init(
        temperature: Double? = nil, topK: Int? = nil, topP: Double? = nil, minP: Double? = nil,
        repetitionPenalty: Double? = nil, presencePenalty: Double = 0, frequencyPenalty: Double = 0,
        seed: UInt64? = nil, logitBias: [Int: Double] = [:]
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.seed = seed
        self.logitBias = logitBias
    }
}

/// One step of an answer, as a replica tells it: parts of a reply, the last of them `done` (or a failure instead).
public enum GenerationEvent: Codable, Sendable, Equatable {
    /// The prompt is read and has its place.
    case started(promptTokens: Int, cachedTokens: Int)
    /// More text of a choice: whole characters only, stop strings already left out.
    case text(choice: Int, String, tokens: [TokenChance])
    /// A call of a function begins; its arguments follow in parts.
    case toolCall(choice: Int, index: Int, id: String, name: String)
    case toolArguments(choice: Int, index: Int, String)
    case finished(choice: Int, Finish, completionTokens: Int)
    case done(GenerationUsage)

    public enum Finish: String, Codable, Sendable {
        case stop, length
        case toolCalls = "tool_calls"
    }
}

/// A token with its natural log probability, before temperature and penalties.
public struct TokenChance: Codable, Sendable, Equatable {
    public var id: Int
    public var bytes: [UInt8]
    public var logprob: Double
    public var top: [Alternative]

    public struct Alternative: Codable, Sendable, Equatable {
        public var id: Int
        public var bytes: [UInt8]
        public var logprob: Double
        public init(id: Int, bytes: [UInt8], logprob: Double) {
            self.id = id
            self.bytes = bytes
            self.logprob = logprob
        }
    }

    public init(id: Int, bytes: [UInt8], logprob: Double, top: [Alternative]) {
        self.id = id
        self.bytes = bytes
        self.logprob = logprob
        self.top = top
    }
}

/// What an answer took, for the client and the bill.
public struct GenerationUsage: Codable, Sendable, Equatable {
    public var promptTokens: Int
    public var cachedTokens: Int
    public var completionTokens: Int
    public var queueMicroseconds: Int
    public var prefillMicroseconds: Int
    public var decodeMicroseconds: Int
    public init(
        promptTokens: Int, cachedTokens: Int, completionTokens: Int, queueMicroseconds: Int, prefillMicroseconds: Int,
        decodeMicroseconds: Int
    ) {
        self.promptTokens = promptTokens
        self.cachedTokens = cachedTokens
        self.completionTokens = completionTokens
        self.queueMicroseconds = queueMicroseconds
        self.prefillMicroseconds = prefillMicroseconds
        self.decodeMicroseconds = decodeMicroseconds
    }
}

/// Texts or token lists to vectors. Reply: `EmbeddingReply`, body: float32 little-endian [inputs, width].
public struct EmbeddingRequest: Codable, Sendable, Equatable {
    public enum Input: Codable, Sendable, Equatable {
        case text(String)
        case tokens([Int])
    }
    public var inputs: [Input]
    /// Keep this many numbers of each vector and scale it to length 1 again.
    public var dimensions: Int?
    /// The adapter that they go through; nil is the base itself. Set by the platform.
    public var adapter: AdapterReference?
    public init(inputs: [Input], dimensions: Int? = nil) {
        self.inputs = inputs
        self.dimensions = dimensions
    }
}

public struct EmbeddingReply: Codable, Sendable, Equatable {
    public var width: Int
    public var tokens: Int
    public init(width: Int, tokens: Int) {
        self.width = width
        self.tokens = tokens
    }
}

/// The `model` section of a recipe: a whole architecture, in place of inputs and outputs. It learns to predict the
/// next token of texts.
public struct LanguageModelRecipe: Codable, Sendable, Equatable {
    public enum Architecture: String, Codable, Sendable, CaseIterable {
        /// nanoGPT's: learned positions, layer norms, GELU, tied embeddings.
        case gpt
        case llama, qwen2, qwen3, mistral
    }
    public var architecture: Architecture = .gpt
    public var layers: Int = 4
    public var heads: Int = 4
    /// Heads of keys and values where they are fewer; not for gpt.
    public var keyValueHeads: Int?
    public var width: Int = 128
    /// The feedforward's inner width; by default 4·width for gpt, and 8/3·width rounded up to a multiple of 32 else.
    public var feedforward: Int?
    /// Tokens that the model sees at once.
    public var context: Int = 256
    /// gpt only.
    public var dropout: Double = 0
    /// gpt only: whether linear layers and norms have biases.
    public var bias: Bool = false
    public var tokenizer = TokenizerConfig()

    public struct TokenizerConfig: Codable, Sendable, Equatable {
        public enum Kind: String, Codable, Sendable, CaseIterable {
            /// One token for each character of the training texts.
            case characters
            /// Byte-level byte-pair encoding, learnt from the training texts.
            case bpe
        }
        public var type: Kind = .bpe
        /// bpe: most tokens, the 256 bytes among them.
        public var vocabularySize: Int = 4096
        public init() {}

        enum CodingKeys: String, CodingKey { case type, vocabularySize = "vocabulary_size" }
    }

    public init() {}

    enum CodingKeys: String, CodingKey {
        case architecture, layers, heads, keyValueHeads = "key_value_heads", width, feedforward, context, dropout, bias
        case tokenizer
    }

    /// Where it cannot be built: the key, and what to change.
    var findings: [(path: String, message: String)] {
        var findings: [(path: String, message: String)] = []
        if width % heads != 0 {
            findings.append(("model.heads", "\(heads) heads do not divide the width \(width) evenly"))
        } else if architecture != .gpt, (width / heads) % 2 != 0 {
            findings.append(
                ("model.heads", "heads of \(width / heads) are odd; rotary positions take an even number of dimensions")
            )
        }
        if let groups = keyValueHeads {
            if architecture == .gpt {
                findings.append(("model.key_value_heads", "gpt has as many of them as heads; leave it out"))
            } else if heads % groups != 0 {
                findings.append(("model.key_value_heads", "\(groups) do not divide the \(heads) heads evenly"))
            }
        }
        if architecture != .gpt {
            if dropout != 0 { findings.append(("model.dropout", "\(architecture.rawValue) has none; leave it out")) }
            if bias { findings.append(("model.bias", "\(architecture.rawValue) fixes its biases; leave it out")) }
        }
        return findings
    }
}

/// What a language model is asked after each epoch, to be seen in the job's events.
public struct SampleConfig: Codable, Sendable, Equatable {
    public var prompt: String = "\n"
    /// 0 shows nothing.
    public var tokens: Int = 100
    public var temperature: Double = 0.8
    public init() {}
}

/// Text to token ids, as the model reads it.
public struct TokenizeRequest: Codable, Sendable, Equatable {
    public enum Input: Codable, Sendable, Equatable {
        case text(String)
        /// Rendered with the model's chat template.
        case chat(VerbatimJSON, tools: VerbatimJSON)
    }
    public var input: Input
    /// Whether the tokenizer's post-processor adds its tokens (a beginning of text); templates bring their own.
    public var addSpecialTokens: Bool
    /// An object: what the request gives the chat template beside the messages and tools.
    @VerbatimJSON public var templateVariables: JSON = [:]
    public init(input: Input, addSpecialTokens: Bool = true, templateVariables: JSON = [:]) {
        self.input = input
        self.addSpecialTokens = addSpecialTokens
        self.templateVariables = templateVariables
    }
}

public struct TokenizeReply: Codable, Sendable, Equatable {
    public var tokens: [Int]
    public var contextLength: Int
    public init(tokens: [Int], contextLength: Int) {
        self.tokens = tokens
        self.contextLength = contextLength
    }
}

public struct DetokenizeReply: Codable, Sendable, Equatable {
    public var text: String
    public init(text: String) { self.text = text }
}

/// JSON that crosses the wire as text, so that its objects keep the order of their keys: templates and schemas show it.
@propertyWrapper
public struct VerbatimJSON: Codable, Sendable, Equatable {
    public var wrappedValue: JSON

    public init(wrappedValue: JSON) { self.wrappedValue = wrappedValue }

    public init(from decoder: any Decoder) throws {
        // Tasks and jobs of an older version hold the value itself.
        let value = try JSON(from: decoder)
        wrappedValue = try value.string.map { try JSONParser.parse($0, limits: .trusted) } ?? value
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(wrappedValue.serialized())
    }
}

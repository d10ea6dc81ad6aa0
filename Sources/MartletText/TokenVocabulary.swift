/// What each token of a tokenizer stands for in bytes: all that constraints and streams need to know of it.
public struct TokenVocabulary: Sendable {
    /// The bytes that a token adds to the text, by id; nil for a special token and for ids that are not used.
    public let bytes: [[UInt8]?]
    /// The tokens that end an answer.
    public let endTokens: Set<Int>

    public init(bytes: [[UInt8]?], endTokens: Set<Int>) {
        self.bytes = bytes
        self.endTokens = endTokens
    }

    public var count: Int { bytes.count }

    /// The bytes that a token adds; nil for one that adds none and for one that there is not.
    func bytes(of token: Int) -> [UInt8]? {
        guard bytes.indices.contains(token), let added = bytes[token], !added.isEmpty else { return nil }
        return added
    }
}

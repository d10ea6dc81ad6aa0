/// How a decoder's work falls apart token by token: what each adds, and what the first one is spared.
struct TokenBytes: Sendable {
    enum FirstRule: Sendable {
        case none
        /// The first token loses its spaces: those that stood for the replacement character.
        case dropsSpaces
        /// Up to so many of this at the start of the text go.
        case strips([UInt8], Int)
    }

    private(set) var first = FirstRule.none
    private var replacements: [(TextPattern, [UInt8])] = []
    private var isByteLevel = false
    private var joinsBytes = false
    private var wordPiecePrefix: [UInt8]?
    private var wordSuffix: [UInt8]?
    private var metaspace: [UInt8]?
    /// False where only the whole list of tokens tells the text (CTC, clean-up, stripping of each token).
    private(set) var isExact = true

    init(_ decoder: TokenDecoder?) {
        var isFused = false
        for step in Self.steps(decoder) {
            switch step {
            case .byteLevel: isByteLevel = true
            case .byteFallback: joinsBytes = true
            case .metaspace(let replacement, let keepsFirst):
                metaspace = replacement
                if !keepsFirst { first = .dropsSpaces }
            case .replace(let pattern, let content):
                if isFused { isExact = false }
                replacements.append((pattern, content))
            case .fuse: isFused = true
            case .strip(let content, let start, let stop):
                if isFused, stop == 0 { first = .strips(content, start) } else { isExact = false }
            case .wordPiece(let prefix, _):
                wordPiecePrefix = prefix
                isExact = false
            case .bpe(let suffix):
                wordSuffix = suffix
                isExact = false
            case .ctc, .sequence: isExact = false
            }
        }
        if decoder == nil { isExact = false }
    }

    private static func steps(_ decoder: TokenDecoder?) -> [TokenDecoder] {
        if case .sequence(let steps) = decoder { return steps.flatMap { Self.steps($0) } }
        return decoder.map { [$0] } ?? []
    }

    /// Whether a token is a byte of its own, in a run that is text only as a whole.
    func isByte(_ token: [UInt8]) -> Bool { joinsBytes && ByteFallback.byte(of: token) != nil }

    /// The bytes that a token adds in the middle of a text.
    func bytes(of token: [UInt8]) -> [UInt8] {
        if isByteLevel { return ByteAlphabet.bytes(of: token) ?? token }
        if joinsBytes, let byte = ByteFallback.byte(of: token) { return [byte] }
        var text = AlignedText(identity: token)
        for (pattern, content) in replacements { text.replace(pattern.matches(in: text.bytes), with: content) }
        if let metaspace { text.replace(text.matches(of: metaspace), with: [0x20]) }
        if let wordPiecePrefix {
            return text.bytes.starts(with: wordPiecePrefix)
                ? Array(text.bytes.dropFirst(wordPiecePrefix.count)) : [0x20] + text.bytes
        }
        if let wordSuffix { text.replace(text.matches(of: wordSuffix), with: [0x20]) }
        return text.bytes
    }

    /// The bytes of a token that begins the text.
    func firstBytes(of token: [UInt8]) -> [UInt8] {
        guard case .dropsSpaces = first, let metaspace else { return bytes(of: token) }
        var text = AlignedText(identity: token)
        text.replace(text.matches(of: metaspace), with: [])
        return bytes(of: text.bytes)
    }
}

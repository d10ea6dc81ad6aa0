/// A decoder's work as it falls apart token by token: what each adds.
struct TokenBytes: Sendable {
    private var replacements: [(TextPattern, [UInt8])] = []
    private var isByteLevel = false
    private var joinsBytes = false
    private var wordPiecePrefix: [UInt8]?
    private var wordSuffix: [UInt8]?
    private var metaspace: [UInt8]?

    init(_ decoder: TokenDecoder?) {
        for step in Self.steps(decoder) {
            switch step {
            case .byteLevel: isByteLevel = true
            case .byteFallback: joinsBytes = true
            case .metaspace(let replacement, _): metaspace = replacement
            case .replace(let pattern, let content): replacements.append((pattern, content))
            case .wordPiece(let prefix, _): wordPiecePrefix = prefix
            case .bpe(let suffix): wordSuffix = suffix
            case .fuse, .strip, .ctc, .sequence: break
            }
        }
    }

    private static func steps(_ decoder: TokenDecoder?) -> [TokenDecoder] {
        if case .sequence(let steps) = decoder { return steps.flatMap { Self.steps($0) } }
        return decoder.map { [$0] } ?? []
    }

    /// The bytes that a token adds in the middle of a text.
    func bytes(of token: [UInt8]) -> [UInt8] {
        if isByteLevel { return ByteAlphabet.bytes(of: token) ?? token }
        if joinsBytes, let byte = ByteFallback.byte(of: token) { return [byte] }
        var text = AlignedText(identity: token, keepsPlaces: false)
        for (pattern, content) in replacements { text.replace(pattern, with: content) }
        if let metaspace { text.replace(.literal(metaspace), with: [0x20]) }
        if let wordPiecePrefix {
            return text.bytes.starts(with: wordPiecePrefix)
                ? Array(text.bytes.dropFirst(wordPiecePrefix.count)) : [0x20] + text.bytes
        }
        if let wordSuffix { text.replace(.literal(wordSuffix), with: [0x20]) }
        return text.bytes
    }
}

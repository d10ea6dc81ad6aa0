/// A vocabulary as a tree of bytes, shared by all constraints over it.
public struct TokenMaskIndex: Sendable {
    public let vocabulary: TokenVocabulary
    /// Nodes in depth-first order: the byte that leads to each, its depth, and the node after all below it.
    let bytes: [UInt8]
    let depths: [UInt16]
    let ends: [Int32]
    /// The tokens that end at each node, as a range of `tokens`.
    let tokenStarts: [Int32]
    let tokens: [Int32]
    /// The bytes of the longest token.
    let reach: Int

    /// Builds the tree. Tokens of more than 4,096 bytes, without bytes, and end tokens are not in it.
    public init(_ vocabulary: TokenVocabulary) {
        self.vocabulary = vocabulary
        var order: [Int] = []
        for (token, bytes) in vocabulary.bytes.enumerated() {
            guard let bytes, !bytes.isEmpty, bytes.count <= 4096, !vocabulary.endTokens.contains(token) else {
                continue
            }
            order.append(token)
        }
        func text(_ token: Int) -> [UInt8] { vocabulary.bytes[token] ?? [] }
        order.sort { text($0).lexicographicallyPrecedes(text($1)) }
        var bytes: [UInt8] = []
        var depths: [UInt16] = []
        var ends: [Int32] = []
        var starts: [Int32] = []
        var tokens: [Int32] = []
        var path: [Int] = []
        var last: [UInt8] = []
        var reach = 0
        for token in order {
            let current = text(token)
            var shared = 0
            while shared < min(last.count, current.count), last[shared] == current[shared] { shared += 1 }
            while path.count > shared { ends[path.removeLast()] = Int32(bytes.count) }
            for depth in shared..<current.count {
                path.append(bytes.count)
                bytes.append(current[depth])
                depths.append(UInt16(depth))
                ends.append(0)
                starts.append(Int32(tokens.count))
            }
            tokens.append(Int32(token))
            last = current
            reach = max(reach, current.count)
        }
        while let node = path.popLast() { ends[node] = Int32(bytes.count) }
        starts.append(Int32(tokens.count))
        self.bytes = bytes
        self.depths = depths
        self.ends = ends
        self.tokenStarts = starts
        self.tokens = tokens
        self.reach = reach
    }

    /// Words of 64 bits that a mask of the vocabulary takes.
    public var wordCount: Int { (vocabulary.count + 63) / 64 }
}

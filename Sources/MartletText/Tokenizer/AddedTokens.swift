import MartletWire

/// Tokens that are found in the text before anything else is done to it.
struct AddedTokens: Sendable {
    struct Token: Sendable {
        var content: [UInt8]
        var id: Int
        var isSpecial: Bool
        var isSingleWord: Bool
        var stripsLeft: Bool
        var stripsRight: Bool
        var isNormalized: Bool
        /// Looked for in normalized text as it is, not as normalizing makes it.
        var isLiteral: Bool
    }

    private(set) var tokens: [Int: Token] = [:]
    private(set) var byContent = ByteTable()
    /// Contents of special tokens.
    private(set) var specials = ByteTable()
    /// What a normalized token looks like in normalized text.
    private(set) var normalizedContents: [Int: [UInt8]] = [:]
    private var plainTrie = ByteTrie()
    private var normalizedTrie = ByteTrie()
    private(set) var hasPlain = false
    private(set) var hasNormalized = false
    private var highest = -1
    /// Bytes of a token: it is looked for at each place of a text.
    private static let longest = 1024

    init(_ tape: JSONTape, _ list: Int?, model: ModelVocabulary, normalizer: Normalizer?) throws {
        guard let list, tape.nodes[list].kind == .array else { return }
        for node in tape.elements(of: list) {
            let json = try tape.json(node)
            guard let content = tape.value("content", of: node), tape.nodes[content].kind == .string else {
                throw MartletError(.invalidData, "an added token of the tokenizer has no content; export it again")
            }
            let isSpecial = json["special"]?.bool ?? false
            let isLiteral = json["literal"]?.bool ?? false
            try add(
                Token(
                    content: try tape.string(content), id: 0, isSpecial: isSpecial,
                    isSingleWord: json["single_word"]?.bool ?? false, stripsLeft: json["lstrip"]?.bool ?? false,
                    stripsRight: json["rstrip"]?.bool ?? false,
                    isNormalized: isLiteral || json["normalized"]?.bool ?? !isSpecial,
                    isLiteral: isLiteral),
                model: model, normalizer: normalizer)
        }
        build()
    }

    /// Numbers as `tokenizers` does: a token that the model has keeps its identifier, a new one gets the next.
    private mutating func add(_ token: Token, model: ModelVocabulary, normalizer: Normalizer?) throws {
        guard !token.content.isEmpty else { return }
        guard token.content.count <= Self.longest else {
            throw MartletError(
                .unsupportedFormat,
                "an added token of the tokenizer has \(token.content.count) bytes; at most \(Self.longest) are supported"
            )
        }
        var token = token
        let known = byContent.value(token.content)
        let modelId = model.table.value(token.content)
        if known >= 0 {
            token.id = Int(known)
        } else if modelId >= 0 {
            token.id = Int(modelId)
        } else {
            let size = model.count
            token.id = highest >= 0 && (highest >= size || size == 0) ? highest + 1 : size
        }
        if token.isNormalized, !token.isLiteral, let normalizer {
            var text = AlignedText(identity: token.content, keepsPlaces: false)
            try normalizer.apply(&text)
            if text.bytes != token.content { normalizedContents[token.id] = text.bytes }
        }
        byContent.set(token.content, Int32(token.id))
        if token.isSpecial { specials.set(token.content, Int32(token.id)) }
        tokens[token.id] = token
        highest = max(highest, token.id)
    }

    private mutating func build() {
        for (id, token) in tokens.sorted(by: { $0.key < $1.key }) {
            if token.isNormalized {
                normalizedTrie.insert(normalizedContents[id] ?? token.content, Int32(id))
                hasNormalized = true
            } else {
                plainTrie.insert(token.content, Int32(id))
                hasPlain = true
            }
        }
    }

    /// Cuts the added tokens out of the parts of a text that are none yet.
    func find(in text: inout PieceText, normalized: Bool) {
        guard normalized ? hasNormalized : hasPlain else { return }
        let trie = normalized ? normalizedTrie : plainTrie
        text.split { bytes, piece, out in find(bytes, piece, trie, &out) }
    }

    /// One pass: at each place the longest token that starts there.
    private func find(_ bytes: UnsafePointer<UInt8>, _ piece: Piece, _ trie: ByteTrie, _ out: inout [Piece]) {
        let table = CharacterTable.shared
        var done = piece.start
        var place = piece.start
        while place < piece.end {
            var node = trie.child(0, bytes[place])
            if node < 0 {
                place += 1
                continue
            }
            var found: Int32 = -1
            var stop = place + 1
            var index = stop
            while node >= 0 {
                if trie.values[Int(node)] >= 0 {
                    found = trie.values[Int(node)]
                    stop = index
                }
                guard index < piece.end else { break }
                node = trie.child(node, bytes[index])
                index += 1
            }
            guard found >= 0, let token = tokens[Int(found)] else {
                place += 1
                continue
            }
            var start = place
            place = stop
            if token.isSingleWord {
                let before = start > piece.start ? UTF8Scan.scalar(bytes, UTF8Scan.before(bytes, start)).code : 0x20
                let after = stop < piece.end ? UTF8Scan.scalar(bytes, stop).code : 0x20
                if table.has(CharacterTable.word, before) || table.has(CharacterTable.word, after) { continue }
            }
            if token.stripsLeft {
                while start > done, case let before = UTF8Scan.before(bytes, start),
                    table.isSpace(UTF8Scan.scalar(bytes, before).code)
                { start = before }
                // The token before may have taken these spaces.
                start = max(start, done)
            }
            if token.stripsRight {
                while stop < piece.end, case let next = UTF8Scan.scalar(bytes, stop), table.isSpace(next.code) {
                    stop += next.length
                }
            }
            guard start < stop else { continue }
            if done < start { out.append(Piece(start: done, end: start)) }
            out.append(Piece(start: start, end: stop, token: found))
            done = stop
        }
        if done < piece.end { out.append(Piece(start: done, end: piece.end)) }
    }
}

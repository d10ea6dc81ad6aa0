import MartletWire

/// Unigram: the cut of a text whose tokens' scores have the highest sum.
struct UnigramModel: TokenModel {
    let vocabulary: ModelVocabulary
    private let scores: [Double]
    private let lengths: [Int]
    private let trie: ByteTrie
    /// A power of two beyond the longest token and the longest character.
    private let reach: Int
    private let unknown: Int32
    private let unknownScore: Double
    /// Whether sums are rounded to 32 bits, as SentencePiece's are.
    private let isSingle: Bool
    /// Whether there are tokens that no text is cut into.
    private let hidesTokens: Bool
    var nameless: Int32 { unknown }
    private let byteTokens: [Int32]

    /// What an unknown character scores below the lowest token.
    static let unknownPenalty = 10.0
    /// The bytes of the longest token that is looked for. No vocabulary has a longer one, and each place of a text could
    /// be the beginning of one.
    private static let longest = 1024
    private static let nothing: Int32 = -1
    /// In place of a token: one character that the vocabulary lacks.
    private static let unknownCharacter: Int32 = -2

    init(_ tape: JSONTape, _ node: Int) throws {
        guard let list = tape.value("vocab", of: node), tape.nodes[list].kind == .array else {
            throw MartletError(.invalidData, "the tokenizer's Unigram model has no vocabulary; export it again")
        }
        var pieces: [([UInt8], Double)] = []
        var child = list + 1
        while child < Int(tape.nodes[list].next) {
            guard tape.nodes[child].kind == .array, Int(tape.nodes[child].next) == child + 3,
                tape.nodes[child + 1].kind == .string, let score = tape.double(child + 2), score.isFinite
            else {
                throw MartletError(
                    .invalidData,
                    "the tokenizer's Unigram token \(pieces.count) is not a text and a score; export it again")
            }
            pieces.append((try tape.string(child + 1), score))
            child += 3
        }
        let unknownId = tape.value("unk_id", of: node).flatMap { tape.index($0) }
        let fallback = tape.value("byte_fallback", of: node).map { try? tape.json($0) } ?? nil
        let single = tape.value("single_precision", of: node).map { try? tape.json($0) } ?? nil
        let hidden = tape.value("hidden", of: node).map { list in
            tape.nodes[list].kind == .array ? tape.elements(of: list).compactMap { tape.index($0) } : []
        }
        try self.init(
            pieces, unknown: unknownId, byteFallback: fallback?.bool ?? false, hidden: Set(hidden ?? []),
            isSingle: single?.bool ?? false)
    }

    init(
        _ pieces: [([UInt8], Double)], unknown: Int?, byteFallback: Bool, hidden: Set<Int> = [], isSingle: Bool = false
    ) throws {
        if let unknown, unknown >= pieces.count {
            throw MartletError(
                .invalidData, "the tokenizer's unk_id \(unknown) is not in its vocabulary of \(pieces.count) tokens")
        }
        var vocabulary = ModelVocabulary(capacity: pieces.count)
        vocabulary.isList = true
        var trie = ByteTrie(capacity: pieces.count * 2)
        for (id, piece) in pieces.enumerated() {
            vocabulary.set(piece.0, id)
            if piece.0.count <= Self.longest, !hidden.contains(id) { trie.insert(piece.0, Int32(id)) }
        }
        self.vocabulary = vocabulary
        self.trie = trie
        scores = pieces.map { $0.1 }
        lengths = pieces.map { $0.0.count }
        var reach = 8
        while reach <= min(lengths.max() ?? 0, Self.longest) { reach *= 2 }
        self.reach = reach
        self.unknown = unknown.map { Int32($0) } ?? -1
        self.isSingle = isSingle
        hidesTokens = !hidden.isEmpty
        let lowest = pieces.indices.lazy.filter { !hidden.contains($0) }.map { pieces[$0].1 }.min() ?? 0
        unknownScore = isSingle ? Double(Float(lowest - Self.unknownPenalty)) : lowest - Self.unknownPenalty
        byteTokens = byteFallback ? ByteFallback.tokens(in: vocabulary) : []
    }

    func tokenize(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, cache: inout TokenCache, into run: inout TokenRun
    ) throws {
        let key = UnsafeBufferPointer(start: bytes + start, count: end - start)
        let isShort = key.count <= TokenCache.wordLimit
        if isShort, byteTokens.isEmpty, cache.replay(key, at: start, into: &run) { return }
        let first = run.ids.count
        let count = end - start
        try cache.withPath(count + 1, of: Self.nothing) { tokens in
            var bestScores = [Double](repeating: 0, count: reach)
            try bestScores.withUnsafeMutableBufferPointer { try findBest(bytes + start, count, tokens, $0) }
            turn(tokens, bytes + start, count)
            var place = 0
            while place < count {
                let id = known(tokens[place])
                var end = place + length(tokens[place], bytes[start + place])
                // Unknown neighbours are one token.
                while id == unknown, end < count, known(tokens[end]) == unknown {
                    end += length(tokens[end], bytes[start + end])
                }
                try put(bytes, start + place, start + end, id, into: &run)
                place = end
            }
        }
        if isShort, byteTokens.isEmpty { cache.keep(key, at: start, run, from: first) }
    }

    @inline(__always)
    private func known(_ token: Int32) -> Int32 { token == Self.unknownCharacter ? unknown : token }

    /// Bytes of a token that begins with this byte.
    @inline(__always)
    private func length(_ token: Int32, _ byte: UInt8) -> Int {
        token == Self.unknownCharacter ? UTF8Scan.length(byte) : lengths[Int(token)]
    }

    /// From the last token of the best way to each place to the first token of the way from each place that it goes by.
    private func turn(_ tokens: UnsafeMutableBufferPointer<Int32>, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        var place = count
        var token = tokens[count]
        while place > 0 {
            place = token == Self.unknownCharacter ? UTF8Scan.before(bytes, place) : place - lengths[Int(token)]
            swap(&token, &tokens[place])
        }
    }

    /// Fills in `tokens`, the last token of the best way to each place. Its score is kept only as far ahead as a token
    /// reaches: `bestScores` is a ring, whose places are used again once no token reaches them.
    private func findBest(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, _ tokens: UnsafeMutableBufferPointer<Int32>,
        _ bestScores: UnsafeMutableBufferPointer<Double>
    ) throws {
        let mask = reach - 1
        func offer(_ id: Int32, _ sum: Double, _ place: Int) {
            let score = isSingle ? Double(Float(sum)) : sum
            if tokens[place] == Self.nothing || score > bestScores[place & mask] {
                bestScores[place & mask] = score
                tokens[place] = id
            }
        }
        var place = 0
        while place < count {
            let score = bestScores[place & mask]
            let width = UTF8Scan.length(bytes[place])
            var hasSingle = false
            var node: Int32 = 0
            var index = place
            while index < count {
                node = trie.child(node, bytes[index])
                if node < 0 { break }
                index += 1
                let id = trie.values[Int(node)]
                guard id >= 0 else { continue }
                offer(id, scores[Int(id)] + score, index)
                if index - place == width { hasSingle = true }
            }
            if !hasSingle {
                offer(Self.unknownCharacter, unknownScore + score, place + width)
                if unknown < 0, tokens[place + width] == Self.unknownCharacter { throw Self.noUnknown }
            }
            place += width
        }
    }

    /// A token found; what is unknown is asked for as a whole, then spelled in bytes.
    private func put(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ id: Int32, into run: inout TokenRun
    ) throws {
        let text = UnsafeBufferPointer(start: bytes + start, count: end - start)
        let known = hidesTokens && id == unknown ? -1 : vocabulary.table.value(text)
        if known >= 0 {
            run.append(known, start, end)
            return
        }
        if !byteTokens.isEmpty, text.allSatisfy({ byteTokens[Int($0)] >= 0 }) {
            for byte in text { run.append(byteTokens[Int(byte)], start, end) }
            return
        }
        guard unknown >= 0 else { throw Self.noUnknown }
        run.append(unknown, start, end)
    }

    private static let noUnknown = MartletError(
        .invalidRequest, "the text has a character that the tokenizer does not know, and it has no unknown token")
}

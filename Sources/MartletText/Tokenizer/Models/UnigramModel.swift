import MartletWire

/// Unigram: the cut of a text whose tokens' scores have the highest sum.
struct UnigramModel: TokenModel {
    let vocabulary: ModelVocabulary
    private let scores: [Double]
    private let trie: ByteTrie
    private let unknown: Int32
    private let unknownScore: Double
    private let byteTokens: [Int32]

    /// What an unknown character scores below the lowest token.
    static let unknownPenalty = 10.0

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
        try self.init(pieces, unknown: unknownId, byteFallback: fallback?.bool ?? false)
    }

    init(_ pieces: [([UInt8], Double)], unknown: Int?, byteFallback: Bool) throws {
        if let unknown, unknown >= pieces.count {
            throw MartletError(
                .invalidData, "the tokenizer's unk_id \(unknown) is not in its vocabulary of \(pieces.count) tokens")
        }
        var vocabulary = ModelVocabulary(capacity: pieces.count)
        var trie = ByteTrie(capacity: pieces.count * 2)
        for (id, piece) in pieces.enumerated() {
            vocabulary.set(piece.0, id)
            trie.insert(piece.0, Int32(id))
        }
        self.vocabulary = vocabulary
        self.trie = trie
        scores = pieces.map { $0.1 }
        self.unknown = unknown.map { Int32($0) } ?? -1
        unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
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
        // The best way to each place: its score, where its last token starts, and that token.
        var bestScores = [Double](repeating: 0, count: count + 1)
        var from = [Int32](repeating: -1, count: count + 1)
        var tokens = [Int32](repeating: -1, count: count + 1)
        var place = 0
        while place < count {
            let score = bestScores[place]
            let width = UTF8Scan.length(bytes[start + place])
            var hasSingle = false
            var node: Int32 = 0
            var index = place
            while index < count {
                node = trie.child(node, bytes[start + index])
                if node < 0 { break }
                index += 1
                let id = trie.values[Int(node)]
                guard id >= 0 else { continue }
                let candidate = scores[Int(id)] + score
                if from[index] < 0 || candidate > bestScores[index] {
                    bestScores[index] = candidate
                    from[index] = Int32(place)
                    tokens[index] = id
                }
                if index - place == width { hasSingle = true }
            }
            if !hasSingle {
                let target = place + width
                let candidate = unknownScore + score
                if from[target] < 0 || candidate > bestScores[target] {
                    guard unknown >= 0 else { throw Self.noUnknown }
                    bestScores[target] = candidate
                    from[target] = Int32(place)
                    tokens[target] = unknown
                }
            }
            place += width
        }
        var spans: [(Int, Int, Int32)] = []
        place = count
        while place > 0 {
            let begin = Int(from[place])
            if tokens[place] == unknown, let last = spans.last, last.2 == unknown, unknown >= 0 {
                spans[spans.count - 1].0 = begin
            } else {
                spans.append((begin, place, tokens[place]))
            }
            place = begin
        }
        for span in spans.reversed() { try put(bytes, start + span.0, start + span.1, span.2, into: &run) }
        if isShort, byteTokens.isEmpty { cache.keep(key, at: start, run, from: first) }
    }

    /// A token found; what is unknown is asked for as a whole, then spelled in bytes.
    private func put(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ id: Int32, into run: inout TokenRun
    ) throws {
        let text = UnsafeBufferPointer(start: bytes + start, count: end - start)
        let known = vocabulary.table.value(text)
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

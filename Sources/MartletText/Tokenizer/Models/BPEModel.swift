import MartletWire

/// Byte-pair encoding: joins the characters (or bytes) of a word by the ranks of a list of merges.
struct BPEModel: TokenModel {
    var vocabulary: ModelVocabulary
    private var pairs: PairTable
    private let unknown: Int32
    private let fusesUnknown: Bool
    private let ignoresMerges: Bool
    private let prefix: [UInt8]
    private let suffix: [UInt8]
    /// Tokens `<0x00>` to `<0xFF>`, where bytes stand in for characters outside the vocabulary.
    private let byteTokens: [Int32]
    /// Tokens of single bytes of a byte-level vocabulary; then text comes as it is, not in the alphabet for bytes.
    private(set) var rawBytes: [Int32] = []
    /// Whether a merge joins the unknown token or a byte token, which do not spell the text they stand for.
    private var mergesSpecial = false
    /// Which bytes stand side by side in some token; nil where a word may not be cut between others.
    private var neighbours: ByteNeighbours?
    /// Whole tokens by their raw bytes, for vocabularies that are asked before any merging.
    private var rawTable = ByteTable()

    init(_ tape: JSONTape, _ node: Int) throws {
        func flag(_ key: String) -> Bool {
            tape.value(key, of: node).map {
                tape.nodes[$0].kind == .bool && tape.bytes[Int(tape.nodes[$0].start)] == 0x74
            }
                ?? false
        }
        func text(_ key: String) throws -> [UInt8] {
            guard let value = tape.value(key, of: node), tape.nodes[value].kind == .string else { return [] }
            return try tape.string(value)
        }
        if let dropout = tape.value("dropout", of: node).flatMap({ tape.double($0) }), dropout != 0 {
            throw MartletError(
                .unsupportedFormat,
                "the tokenizer's BPE model has a dropout of \(dropout), which makes encoding random; set it to null")
        }
        vocabulary = try TokenizerReader.vocabulary(tape, node, "BPE")
        prefix = try text("continuing_subword_prefix")
        suffix = try text("end_of_word_suffix")
        fusesUnknown = flag("fuse_unk")
        ignoresMerges = flag("ignore_merges")
        let unknownText = try text("unk_token")
        unknown =
            tape.value("unk_token", of: node).map { tape.nodes[$0].kind == .string } ?? false
            ? vocabulary.table.value(unknownText) : -1
        if !unknownText.isEmpty, unknown < 0 {
            throw MartletError(
                .invalidData,
                "the tokenizer's unk_token '\(String(decoding: unknownText, as: UTF8.self))' is not in its vocabulary")
        }
        byteTokens = flag("byte_fallback") ? ByteFallback.tokens(in: vocabulary) : []
        pairs = PairTable(capacity: 1)
        try readMerges(tape, node)
        if mayCut(byteTokens) {
            neighbours = ByteNeighbours(vocabulary.tokens.compactMap { $0 }, areCharacters: true)
        }
    }

    /// Whether a word may be cut where no merge joins. Cutting must not part unknown characters that fuse, nor shift what
    /// is counted where characters are left out, nor hide what a prefix or a suffix marks.
    private func mayCut(_ bytes: [Int32]) -> Bool {
        guard prefix.isEmpty, suffix.isEmpty, !mergesSpecial else { return false }
        let knowsAll = bytes.count == 256 && bytes.allSatisfy { $0 >= 0 }
        // Where some byte tokens are missing, an unknown character waits for the next known one: a cut would bring it forward.
        guard knowsAll || byteTokens.allSatisfy({ $0 < 0 }) else { return false }
        return knowsAll || (unknown >= 0 && !fusesUnknown)
    }

    private mutating func readMerges(_ tape: JSONTape, _ node: Int) throws {
        guard let list = tape.value("merges", of: node), tape.nodes[list].kind == .array else {
            throw MartletError(.invalidData, "the tokenizer's BPE model has no list of merges; export it again")
        }
        pairs = PairTable(capacity: max(16, (Int(tape.nodes[list].next) - list) / 2))
        let byteIds = Set(byteTokens)
        var rank: Int32 = 0
        var child = list + 1
        var joined: [UInt8] = []
        while child < Int(tape.nodes[list].next) {
            let left: [UInt8]
            let right: [UInt8]
            if tape.nodes[child].kind == .array, Int(tape.nodes[child].next) == child + 3,
                tape.nodes[child + 1].kind == .string, tape.nodes[child + 2].kind == .string
            {
                left = try tape.string(child + 1)
                right = try tape.string(child + 2)
            } else if tape.nodes[child].kind == .string {
                let line = try tape.string(child)
                child = Int(tape.nodes[child].next)
                if line.starts(with: "#version".utf8) { continue }
                let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
                guard parts.count == 2 else { throw badMerge(rank, line) }
                left = Array(parts[0])
                right = Array(parts[1])
                child -= 1
            } else {
                throw badMerge(rank, [])
            }
            child = Int(tape.nodes[child].next)
            joined.removeAll(keepingCapacity: true)
            joined += left
            joined += right.dropFirst(min(prefix.count, right.count))
            let ids = (vocabulary.table.value(left), vocabulary.table.value(right), vocabulary.table.value(joined))
            guard ids.0 >= 0, ids.1 >= 0, ids.2 >= 0 else { throw badMerge(rank, left + [0x20] + right) }
            if ids.0 == unknown || ids.1 == unknown || byteIds.contains(ids.0) || byteIds.contains(ids.1) {
                mergesSpecial = true
            }
            pairs.set(ids.0, ids.1, rank: rank, result: ids.2)
            rank += 1
        }
    }

    private func badMerge(_ rank: Int32, _ text: [UInt8]) -> MartletError {
        MartletError(
            .invalidData,
            "the tokenizer's merge \(rank) ('\(String(decoding: text, as: UTF8.self))') is not two tokens of its vocabulary "
                + "that join to a third; export the tokenizer again")
    }

    /// Whether text may come as raw bytes in place of the alphabet that byte-level vocabularies are written in.
    var canReadRawBytes: Bool { prefix.isEmpty && suffix.isEmpty && byteTokens.isEmpty }

    /// Makes the model read raw bytes, for a tokenizer whose last step before it would map them to their alphabet.
    mutating func readRawBytes() {
        rawBytes = (0..<256).map { vocabulary.table.value(ByteAlphabet.text(of: UInt8($0))) }
        neighbours =
            mayCut(rawBytes)
            ? ByteNeighbours(
                vocabulary.tokens.compactMap { $0.flatMap { ByteAlphabet.bytes(of: $0) } }, areCharacters: false) : nil
        guard ignoresMerges else { return }
        rawTable = ByteTable(minimumCapacity: vocabulary.tokens.count)
        for (id, token) in vocabulary.tokens.enumerated() {
            if let token, let raw = ByteAlphabet.bytes(of: token), vocabulary.table.value(token) == Int32(id) {
                rawTable.set(raw, Int32(id))
            }
        }
    }

    func tokenize(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, cache: inout TokenCache, into run: inout TokenRun
    ) throws {
        let key = UnsafeBufferPointer(start: bytes + start, count: end - start)
        if ignoresMerges {
            let id = rawBytes.isEmpty ? vocabulary.table.value(key) : rawTable.value(key)
            if id >= 0 {
                run.append(id, start, end)
                return
            }
        }
        if key.count > TokenCache.wordLimit, let neighbours {
            var first = start
            for place in start + 1..<end where !neighbours.contains(bytes[place - 1], bytes[place]) {
                tokenizeWord(bytes, first, place, cache: &cache, into: &run)
                first = place
            }
            tokenizeWord(bytes, first, end, cache: &cache, into: &run)
        } else {
            tokenizeWord(bytes, start, end, cache: &cache, into: &run)
        }
    }

    private func tokenizeWord(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, cache: inout TokenCache, into run: inout TokenRun
    ) {
        let key = UnsafeBufferPointer(start: bytes + start, count: end - start)
        let isShort = key.count <= TokenCache.wordLimit
        if isShort, cache.replay(key, at: start, into: &run) { return }
        let first = run.ids.count
        if rawBytes.isEmpty { addCharacters(bytes, start, end, &cache.merger) } else { addBytes(key, &cache.merger) }
        cache.merger.merge(pairs)
        var place = start
        for index in cache.merger.ids.indices {
            let next = place + Int(cache.merger.lengths[index])
            run.append(cache.merger.ids[index], place, next)
            place = next
        }
        if isShort { cache.keep(key, at: start, run, from: first) }
        run.endWord()
    }

    private func addBytes(_ key: UnsafeBufferPointer<UInt8>, _ merger: inout PairMerger) {
        merger.begin()
        var unknownLength = 0
        for byte in key {
            let id = rawBytes[Int(byte)]
            if id >= 0 {
                flush(&unknownLength, &merger)
                merger.add(id, 1)
            } else {
                addUnknown(1, &unknownLength, &merger)
            }
        }
        flush(&unknownLength, &merger)
    }

    private func flush(_ length: inout Int, _ merger: inout PairMerger) {
        if length > 0 { merger.add(unknown, length) }
        length = 0
    }

    private func addUnknown(_ length: Int, _ pending: inout Int, _ merger: inout PairMerger) {
        guard unknown >= 0 else { return }
        if !fusesUnknown { flush(&pending, &merger) }
        pending += length
    }

    private func addCharacters(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ merger: inout PairMerger) {
        merger.begin()
        var unknownLength = 0
        var place = start
        var spelled: [UInt8] = []
        while place < end {
            let length = UTF8Scan.length(bytes[place])
            let isFirst = place == start
            let isLast = place + length >= end
            var id: Int32
            if (isFirst || prefix.isEmpty) && (!isLast || suffix.isEmpty) {
                id = vocabulary.table.value(UnsafeBufferPointer(start: bytes + place, count: length))
                if id < 0, !byteTokens.isEmpty {
                    spelled = Array(UnsafeBufferPointer(start: bytes + place, count: length))
                }
            } else {
                spelled = isFirst ? [] : prefix
                spelled += UnsafeBufferPointer(start: bytes + place, count: length)
                if isLast { spelled += suffix }
                id = vocabulary.table.value(spelled)
            }
            place += length
            if id >= 0 {
                flush(&unknownLength, &merger)
                merger.add(id, length)
                continue
            }
            if !byteTokens.isEmpty {
                let ids = spelled.map { byteTokens[Int($0)] }
                if ids.allSatisfy({ $0 >= 0 }) {
                    for id in ids { merger.add(id, 1) }
                    continue
                }
            }
            addUnknown(length, &unknownLength, &merger)
        }
        flush(&unknownLength, &merger)
    }
}

import MartletWire

/// WordPiece: the longest piece that the vocabulary has, again and again; a word with no such pieces is unknown.
struct WordPieceModel: TokenModel {
    let vocabulary: ModelVocabulary
    private let unknown: Int32
    private let prefix: [UInt8]
    private let wordLimit: Int
    private static let longest = 1024

    init(_ tape: JSONTape, _ node: Int) throws {
        vocabulary = try TokenizerReader.vocabulary(tape, node, "WordPiece")
        let unknownText = try TokenizerReader.text(tape, node, "unk_token") ?? Array("[UNK]".utf8)
        unknown = vocabulary.table.value(unknownText)
        prefix = try TokenizerReader.text(tape, node, "continuing_subword_prefix") ?? Array("##".utf8)
        wordLimit = tape.value("max_input_chars_per_word", of: node).flatMap { tape.index($0) } ?? 100
        // Cutting a word takes time with the square of its length.
        guard wordLimit <= Self.longest else {
            throw MartletError(
                .unsupportedFormat,
                "the tokenizer's max_input_chars_per_word is \(wordLimit); at most \(Self.longest) are supported")
        }
    }

    func tokenize(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, cache: inout TokenCache, into run: inout TokenRun
    ) throws {
        let first = run.ids.count
        var scalars = 0
        for index in start..<end where bytes[index] & 0xC0 != 0x80 { scalars += 1 }
        var place = scalars > wordLimit ? -1 : start
        var piece: [UInt8] = []
        while place >= 0, place < end {
            var stop = end
            var id: Int32 = -1
            piece.removeAll(keepingCapacity: true)
            if place > start { piece += prefix }
            piece += UnsafeBufferPointer(start: bytes + place, count: end - place)
            while stop > place {
                id = piece.withUnsafeBufferPointer { vocabulary.table.value($0) }
                if id >= 0 { break }
                let before = UTF8Scan.before(bytes, stop)
                piece.removeLast(stop - before)
                stop = before
            }
            if id >= 0 {
                run.append(id, place, stop)
                place = stop
            } else {
                place = -1
            }
        }
        guard place < 0 else { return }
        guard unknown >= 0 else {
            throw MartletError(
                .invalidData, "the tokenizer has no unknown token for a word it cannot spell; add its unk_token")
        }
        run.removeAll(from: first)
        run.append(unknown, start, end)
    }
}

/// WordLevel: whole words, or the unknown token.
struct WordLevelModel: TokenModel {
    let vocabulary: ModelVocabulary
    private let unknown: Int32
    /// Whether unknown words side by side are one token.
    private let fusesUnknown: Bool

    init(_ tape: JSONTape, _ node: Int) throws {
        vocabulary = try TokenizerReader.vocabulary(tape, node, "WordLevel")
        unknown = vocabulary.table.value(try TokenizerReader.text(tape, node, "unk_token") ?? Array("<unk>".utf8))
        let fuses = tape.value("fuse_unk", of: node).map { try? tape.json($0) } ?? nil
        fusesUnknown = fuses?.bool ?? false
    }

    func tokenize(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, cache: inout TokenCache, into run: inout TokenRun
    ) throws {
        var id = vocabulary.table.value(UnsafeBufferPointer(start: bytes + start, count: end - start))
        if id < 0 { id = unknown }
        guard id >= 0 else {
            let word = String(
                decoding: UnsafeBufferPointer(start: bytes + start, count: min(end - start, 64)), as: UTF8.self)
            throw MartletError(
                .invalidRequest, "the text has '\(word)', which the tokenizer does not know; it has no unknown token")
        }
        if fusesUnknown, id == unknown, run.ids.last == unknown {
            run.extendLast(to: end)
        } else {
            run.append(id, start, end)
        }
    }
}

import Foundation
import MartletWire
import Synchronization

/// Cuts text into the tokens of a model and puts them together again, as Hugging Face's `tokenizers` does from the same
/// `tokenizer.json`: the same identifiers and the same offsets.
///
/// Encoding takes time linear in the length of the text (BPE: n log n for a word of n characters), whatever the text.
/// It may be called from many tasks at once.
public final class Tokenizer: Sendable {
    private let normalizer: Normalizer?
    private let preTokenizer: PreTokenizer?
    private let postProcessor: PostProcessor?
    private let decoder: TokenDecoder?
    private let model: any TokenModel
    private let addedTokens: AddedTokens
    let tokenBytes: TokenBytes
    private let tokens: [[UInt8]?]
    private let asksForPlaces: Bool
    private let caches = Mutex<[TokenCache]>([])

    /// The special tokens that tokenizer_config.json names.
    public let beginToken, endToken, padToken, unknownToken: Int?
    /// SHA-256 of the tokenizer.json, in hexadecimal: two tokenizers of the same hash cut alike.
    public let contentHash: String

    /// Texts longer than this many bytes are refused.
    public static let textLimit = 256 << 20

    /// Reads a `tokenizer.json` and, where there is one, a `tokenizer_config.json`.
    ///
    /// Its `truncation` and `padding` are left to the caller, who knows the model's context.
    /// Throws `invalidData` for a damaged file and `unsupportedFormat`, with its name, for a part that is not known.
    public init(json: some ContiguousBytes, config: (some ContiguousBytes)? = [UInt8]?.none) throws {
        let bytes = json.withUnsafeBytes { [UInt8]($0) }
        let reader = try TokenizerReader(bytes)
        normalizer = reader.normalizer
        preTokenizer = reader.preTokenizer
        postProcessor = reader.postProcessor
        decoder = reader.decoder
        model = reader.model
        addedTokens = reader.addedTokens
        var isRewritten = reader.normalizer != nil
        asksForPlaces = reader.preTokenizer?.asksForPlaces(&isRewritten) ?? false
        tokenBytes = TokenBytes(reader.decoder)
        contentHash = ContentHash.of(bytes)
        var tokens = reader.model.vocabulary.tokens
        for (id, token) in reader.addedTokens.tokens {
            while tokens.count <= id { tokens.append(nil) }
            tokens[id] = reader.addedTokens.normalizedContents[id] ?? token.content
        }
        self.tokens = tokens
        let settings = try config.map { try JSONParser.parse($0, limits: .trusted) }
        let (added, vocabulary) = (reader.addedTokens, reader.model.vocabulary)
        func named(_ key: String) -> Int? {
            guard let text = settings?[key]?.string ?? settings?[key]?["content"]?.string else { return nil }
            let id = added.byContent.value(text)
            return id >= 0 ? Int(id) : vocabulary.id(of: text)
        }
        beginToken = named("bos_token")
        endToken = named("eos_token")
        padToken = named("pad_token")
        unknownToken = named("unk_token")
    }

    /// One more than the highest identifier.
    public var vocabularySize: Int { tokens.count }

    /// The identifier of a token as it stands in the vocabulary.
    public func id(of token: String) -> Int? {
        let id = addedTokens.byContent.value(token)
        return id >= 0 ? Int(id) : model.vocabulary.id(of: token)
    }

    /// A token as it stands in the vocabulary.
    public func token(of id: Int) -> String? { text(of: id).map { String(decoding: $0, as: UTF8.self) } }

    func text(of id: Int) -> [UInt8]? { tokens.indices.contains(id) ? tokens[id] : nil }

    /// Whether `decode` leaves the token out when it skips special ones.
    public func isSpecial(_ id: Int) -> Bool { text(of: id).map { addedTokens.specials.value($0) >= 0 } ?? false }

    /// The bytes that each token adds to a text; nil for special tokens and for identifiers that are not used.
    public var vocabulary: TokenVocabulary {
        TokenVocabulary(
            bytes: tokens.indices.map { id in isSpecial(id) ? nil : tokens[id].map { tokenBytes.bytes(of: $0) } },
            endTokens: Set([endToken].compactMap { $0 }))
    }

    // MARK: Encoding

    /// The tokens of a text, with the special tokens of the template if `addSpecialTokens`.
    ///
    /// Throws `tooLarge` past `textLimit` and `invalidRequest` where the model has no token for some of it.
    public func encode(_ text: String, addSpecialTokens: Bool = true) throws -> Encoding {
        process([try run(Array(text.utf8))], addSpecialTokens)
    }

    /// The tokens of two texts, as the template joins them (BERT's `[CLS] a [SEP] b [SEP]`).
    public func encode(_ text: String, pair: String, addSpecialTokens: Bool = true) throws -> Encoding {
        process([try run(Array(text.utf8)), try run(Array(pair.utf8))], addSpecialTokens)
    }

    /// The tokens of a text that comes as bytes. Throws `invalidRequest` where they are not UTF-8.
    public func encode(utf8 bytes: [UInt8], addSpecialTokens: Bool = true) throws -> Encoding {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw MartletError(.invalidRequest, "the text is not UTF-8; send it as UTF-8")
        }
        return process([try run(bytes)], addSpecialTokens)
    }

    /// The tokens of a text without their places: what `encode` gives, for less.
    public func ids(of text: String, addSpecialTokens: Bool = true) throws -> [Int] {
        // A long text's identifiers are too many to be carried from step to step: the template is filled in for one.
        var empty = Encoding()
        empty.ids = [Self.standIn]
        let frame = process([empty], addSpecialTokens).ids
        return try cut(Array(text.utf8), findsPlaces: false) { run, _ in
            var ids: [Int] = []
            ids.reserveCapacity(frame.count + frame.count(where: { $0 == Self.standIn }) * run.ids.count)
            for id in frame {
                if id == Self.standIn { for id in run.ids { ids.append(Int(id)) } } else { ids.append(id) }
            }
            return ids
        }
    }

    private static let standIn = -1

    private func run(_ bytes: [UInt8]) throws -> Encoding {
        try cut(bytes, findsPlaces: true) { run, text in
            var result = Encoding()
            result.ids = run.ids.map { Int($0) }
            result.typeIds = [Int](repeating: 0, count: run.ids.count)
            result.specialMask = [Bool](repeating: false, count: run.ids.count)
            result.offsets = ScalarOffsets(bytes).offsets(of: run, in: text.text)
            if postProcessor?.trimsOffsets ?? false { result.margins = margins(of: run, in: text) }
            return result
        }
    }

    /// Cuts a text and gives `body` what came of it.
    private func cut<Result>(
        _ bytes: [UInt8], findsPlaces: Bool, _ body: (TokenRun, PieceText) -> Result
    ) throws -> Result {
        guard bytes.count <= Self.textLimit else {
            throw MartletError(
                .tooLarge, "the text has \(bytes.count) bytes, more than the \(Self.textLimit) that are encoded at once"
            )
        }
        var text = PieceText(
            text: AlignedText(identity: bytes, keepsPlaces: findsPlaces || asksForPlaces),
            pieces: bytes.isEmpty ? [] : [Piece(start: 0, end: bytes.count)])
        addedTokens.find(in: &text, normalized: false)
        if let normalizer { try text.rewrite { try normalizer.apply(&$0) } }
        addedTokens.find(in: &text, normalized: true)
        preTokenizer?.apply(&text)
        var cache = caches.withLock { $0.popLast() } ?? TokenCache()
        var run = cache.takeRun()
        run.keepsPlaces = findsPlaces
        run.ids.reserveCapacity(text.text.bytes.count / 3)
        if findsPlaces {
            run.starts.reserveCapacity(text.text.bytes.count / 3)
            run.ends.reserveCapacity(text.text.bytes.count / 3)
        }
        try text.text.bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            for piece in text.pieces {
                if piece.token >= 0 {
                    run.append(piece.token, piece.start, piece.end)
                } else {
                    try model.tokenize(base, piece.start, piece.end, cache: &cache, into: &run)
                }
                run.endWord()
            }
        }
        let result = body(run, text)
        keep(&cache, &run)
        return result
    }

    /// Keeps the memory of a text's tokens for the next text; of long texts that are cut at once, the memory of one.
    private func keep(_ cache: inout TokenCache, _ run: inout TokenRun) {
        cache.keep(&run)
        let longRun = 1 << 20
        let used = cache
        caches.withLock { caches in
            guard caches.count < 8 else { return }
            var cache = used
            if cache.runByteCount > longRun, caches.contains(where: { $0.runByteCount > longRun }) {
                _ = cache.takeRun()
            }
            // One with much memory is the first to be used again.
            caches.append(cache)
        }
    }

    /// Spaces at the ends of each token: of an added one that was found those of its text, else those of the model's token.
    private func margins(of run: TokenRun, in text: PieceText) -> [Encoding.Margin] {
        let table = CharacterTable.shared
        func isSpace(_ code: UInt32) -> Bool { code == 0x120 || table.isSpace(code) }
        let found = Set(text.pieces.filter { $0.token >= 0 }.map { Int32($0.start) })
        return run.ids.indices.map { index in
            let bytes =
                run.ids[index] == model.nameless || found.contains(run.starts[index])
                ? Array(text.text.bytes[Int(run.starts[index])..<Int(run.ends[index])])
                : model.vocabulary.token(Int(run.ids[index])) ?? []
            let scalars = UTF8Scan.scalars(bytes)
            return Encoding.Margin(
                leading: scalars.prefix(while: isSpace).count, trailing: scalars.reversed().prefix(while: isSpace).count
            )
        }
    }

    private func process(_ texts: [Encoding], _ addSpecialTokens: Bool) -> Encoding {
        var encodings = texts
        if encodings.count > 1 { encodings[1] = encodings[1].typed(1) }
        if let postProcessor { encodings = postProcessor.apply(encodings, addSpecialTokens: addSpecialTokens) }
        var result = encodings.first ?? Encoding()
        if encodings.count > 1 {
            result.ids.reserveCapacity(encodings.reduce(0) { $0 + $1.ids.count })
            for other in encodings.dropFirst() { result.append(other) }
        }
        result.margins = []
        return result
    }

    // MARK: Decoding

    /// The text of tokens. Identifiers that are not used add nothing; bytes that are no UTF-8 become U+FFFD.
    public func decode(_ ids: [Int], skipSpecialTokens: Bool = true) -> String {
        let texts = ids.compactMap { id in skipSpecialTokens && isSpecial(id) ? nil : text(of: id) }
        guard let decoder else { return String(decoding: Array(texts.joined(separator: [0x20])), as: UTF8.self) }
        return String(decoding: Array(decoder.apply(texts).joined()), as: UTF8.self)
    }
}

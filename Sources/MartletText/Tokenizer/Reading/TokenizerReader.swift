import MartletWire

/// The parts of a tokenizer.json.
struct TokenizerReader {
    let tape: JSONTape
    let normalizer: Normalizer?
    let preTokenizer: PreTokenizer?
    let postProcessor: PostProcessor?
    let decoder: TokenDecoder?
    let model: any TokenModel
    let addedTokens: AddedTokens

    init(_ bytes: [UInt8]) throws {
        let tape = try JSONTape(bytes)
        self.tape = tape
        guard tape.nodes[0].kind == .object else {
            throw MartletError(.invalidData, "the tokenizer's JSON is no object; export the tokenizer again")
        }
        if let version = try Self.text(tape, 0, "version"), !version.elementsEqual("1.0".utf8) {
            throw MartletError(
                .unsupportedFormat,
                "the tokenizer's version is '\(String(decoding: version, as: UTF8.self))', and 1.0 is what is read")
        }
        func part<Part>(_ key: String, _ make: (JSON) throws -> Part) throws -> Part? {
            guard let node = tape.value(key, of: 0), tape.nodes[node].kind != .null else { return nil }
            return try make(try tape.json(node))
        }
        normalizer = try part("normalizer") { try Normalizer($0) }
        postProcessor = try part("post_processor") { try PostProcessor($0) }
        decoder = try part("decoder") { try TokenDecoder($0) }
        var preTokenizer = try part("pre_tokenizer") { try PreTokenizer($0) }
        guard let node = tape.value("model", of: 0), tape.nodes[node].kind == .object else {
            throw MartletError(.invalidData, "the tokenizer has no model; export the tokenizer again")
        }
        var model = try Self.model(tape, node)
        if var bpe = model as? BPEModel, bpe.canReadRawBytes, let raw = preTokenizer?.withoutByteSpelling {
            bpe.readRawBytes()
            model = bpe
            preTokenizer = raw
        }
        self.preTokenizer = preTokenizer
        self.model = model
        addedTokens = try AddedTokens(
            tape, tape.value("added_tokens", of: 0), model: model.vocabulary, normalizer: normalizer)
    }

    /// Models of old files have no type; what they hold tells.
    private static func model(_ tape: JSONTape, _ node: Int) throws -> any TokenModel {
        let name = try text(tape, node, "type").map { String(decoding: $0, as: UTF8.self) }
        let vocabularyIsList = tape.value("vocab", of: node).map { tape.nodes[$0].kind == .array } ?? false
        switch name {
        case "BPE": return try BPEModel(tape, node)
        case "WordPiece": return try WordPieceModel(tape, node)
        case "WordLevel": return try WordLevelModel(tape, node)
        case "Unigram": return try UnigramModel(tape, node)
        case nil where tape.value("merges", of: node) != nil: return try BPEModel(tape, node)
        case nil where vocabularyIsList: return try UnigramModel(tape, node)
        case nil where tape.value("continuing_subword_prefix", of: node) != nil: return try WordPieceModel(tape, node)
        case nil where tape.value("vocab", of: node) != nil: return try WordLevelModel(tape, node)
        default: throw unknown(name ?? "", "model")
        }
    }

    static func unknown(_ name: String, _ part: String) -> MartletError {
        MartletError(
            .unsupportedFormat,
            name.isEmpty
                ? "the tokenizer has a \(part) without a type; export the tokenizer again"
                : "the tokenizer's \(part) '\(name)' is not supported; use a tokenizer without it")
    }

    /// A string of an object, or nil where it is absent or null.
    static func text(_ tape: JSONTape, _ node: Int, _ key: String) throws -> [UInt8]? {
        guard let value = tape.value(key, of: node), tape.nodes[value].kind == .string else { return nil }
        return try tape.string(value)
    }

    static let identifierLimit = 1 << 22

    /// The `vocab` of a model: tokens and their identifiers.
    static func vocabulary(_ tape: JSONTape, _ node: Int, _ kind: String) throws -> ModelVocabulary {
        guard let object = tape.value("vocab", of: node), tape.nodes[object].kind == .object else {
            throw MartletError(.invalidData, "the tokenizer's \(kind) model has no vocabulary; export it again")
        }
        var vocabulary = ModelVocabulary(capacity: (Int(tape.nodes[object].next) - object) / 2)
        try tape.forEachPair(of: object) { key, value in
            let token = try tape.string(key)
            guard let id = tape.index(value), id < identifierLimit else {
                throw MartletError(
                    .invalidData,
                    "the tokenizer's token '\(String(decoding: token, as: UTF8.self))' has an id that is no number below "
                        + "\(identifierLimit)")
            }
            vocabulary.set(token, id)
        }
        return vocabulary
    }
}

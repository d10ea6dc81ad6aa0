import MartletWire

/// Whether a tokenizer.json and an embedding fit each other.
enum TokenizerSize {
    /// - Throws: `MartletError` where the tokenizer has an id that the embedding has no row for.
    static func check(_ tokenizer: JSON, vocabularyCount: Int) throws {
        guard let (token, id) = try largest(tokenizer), id >= vocabularyCount else { return }
        throw MartletError(
            .invalidData,
            "the tokenizer gives '\(token)' the id \(id), but the model's embedding has only \(vocabularyCount) rows; "
                + "the tokenizer is another model's")
    }

    private static func largest(_ tokenizer: JSON) throws -> (token: String, id: Int)? {
        var found: (token: String, id: Int)?
        func see(_ token: String, _ id: Int?) throws {
            guard let id, id >= 0 else {
                throw MartletError(.invalidData, "tokenizer.json gives '\(token)' no whole number as its id")
            }
            if id > found?.id ?? -1 { found = (token, id) }
        }
        switch tokenizer["model"]?["vocab"] {
        case .object(let vocabulary): for (token, id) in vocabulary { try see(token, id.int) }
        case .array(let pieces):
            if let last = pieces.last { try see(last.array?.first?.string ?? "", pieces.count - 1) }
        default: throw MartletError(.invalidData, "tokenizer.json has no vocabulary")
        }
        for token in tokenizer["added_tokens"]?.array ?? [] {
            try see(token["content"]?.string ?? "", token["id"]?.int)
        }
        return found
    }
}

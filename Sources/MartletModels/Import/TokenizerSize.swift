import Foundation
import MartletText
import MartletWire

/// Whether a tokenizer.json and an embedding fit each other.
enum TokenizerSize {
    /// - Throws: `MartletError` where the tokenizer has an id that the embedding has no row for.
    static func check(_ tokenizer: Data, vocabularyCount: Int) throws {
        guard let (token, id) = try TokenizerFile.highest(tokenizer), id >= vocabularyCount else { return }
        throw MartletError(
            .invalidData,
            "the tokenizer gives '\(token)' the id \(id), but the model's embedding has only \(vocabularyCount) rows; "
                + "the tokenizer is another model's")
    }
}

import Foundation
import MartletData
import MartletText
import MartletWire

/// How a language model's texts become tokens: the tokenizer that was learnt from them, and its files.
public struct LanguageTexts {
    public let tokenizer: Tokenizer
    /// After each text; nil where there is only one.
    public let endToken: Int?
    /// `tokenizer.json` and what stands beside it in a bundle.
    public let files: [String: [UInt8]]

    private static let end = "<|endoftext|>"

    /// Learns a tokenizer from all texts and writes their tokens to `cacheDirectory`. The same texts give the same
    /// tokens, so a resumed job does this again.
    public static func prepare(
        _ recipe: Recipe, _ config: LanguageModelRecipe, sources: ResolvedSources, cacheDirectory: String,
        watch: ReadingWatch = ReadingWatch(), progress: (String) -> Void = { _ in }
    ) throws -> (texts: LanguageTexts, data: TokenData) {
        let documents = try Documents(sources, column: recipe.data.column, csv: recipe.data.csv, watch: watch)
        progress("learning a tokenizer from \(documents.sourceNames.prefix(4).joined(separator: ", "))")
        let texts = try watch.read { try LanguageTexts(documents, config) }
        progress("encoding the texts with \(texts.tokenizer.vocabularySize) tokens")
        let data = try TokenData.prepare(
            documents, config: recipe.data.split, cacheDirectory: cacheDirectory, end: texts.endToken
        ) {
            try texts.tokenizer.ids(of: $0, addSpecialTokens: false)
        }
        return (texts, data)
    }

    private init(_ documents: Documents, _ config: LanguageModelRecipe) throws {
        var count = 0
        let json: [UInt8]
        switch config.tokenizer.type {
        case .characters:
            var learner = CharacterTokenizer()
            try documents.forEach { part in
                learner.add(part.text)
                if part.isLast { count += 1 }
            }
            json = [UInt8](try learner.train(specialTokens: count > 1 ? [Self.end] : []))
        case .bpe:
            var trainer = try BPETrainer(
                .init(vocabularySize: config.tokenizer.vocabularySize, specialTokens: [Self.end]))
            try documents.forEach { part in
                trainer.add(part.text)
                if part.isLast { count += 1 }
            }
            json = [UInt8](trainer.train())
        }
        var settings: JSONObject = [
            "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false,
            "model_max_length": JSON(config.context),
        ]
        if config.tokenizer.type == .bpe || count > 1 {
            for name in ["bos_token", "eos_token"] { settings[name] = .string(Self.end) }
        }
        let settingsBytes = Array(JSON.object(settings).serialized(pretty: true).utf8)
        tokenizer = try Tokenizer(json: json, config: settingsBytes)
        endToken = tokenizer.id(of: Self.end)
        files = ["tokenizer.json": json, "tokenizer_config.json": settingsBytes]
    }
}

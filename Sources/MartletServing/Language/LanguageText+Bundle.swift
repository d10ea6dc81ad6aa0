import Foundation
import MartletModels
import MartletText
import MartletWire

extension LanguageText {
    /// The text side of a bundle's folder.
    /// - Parameter writesWholeTexts: whether an answer is a text of its own, and not the rest of its prompt.
    /// - Throws: `invalidData` where a file is missing or damaged.
    public init(_ folder: ModelFolder, writesWholeTexts: Bool = false) throws {
        guard let file = folder.tokenizer, let json = FileManager.default.contents(atPath: file.path) else {
            throw MartletError(.invalidData, "the bundle has no tokenizer.json; import the model with its tokenizer")
        }
        let config = folder.file("tokenizer_config.json").flatMap { FileManager.default.contents(atPath: $0.path) }
        let tokenizer = try Tokenizer(json: json, config: config)
        let template = try folder.chatTemplate.map { try ChatTemplate($0) }
        let variables = tokenizer.templateVariables
        let vocabulary = tokenizer.vocabulary
        var render: (@Sendable ([JSON], [JSON]) throws -> String)?
        if let template {
            render = { messages, tools in
                try template.render(messages: messages, tools: tools, addGenerationPrompt: true, variables: variables)
            }
        }
        self.init(
            encode: { text, special in try tokenizer.encode(text, addSpecialTokens: special).ids },
            decode: { tokens in tokenizer.decode(tokens) }, render: render,
            vocabulary: TokenVocabulary(
                bytes: vocabulary.bytes, endTokens: folder.endTokens.union(vocabulary.endTokens)),
            sampling: Self.sampling(folder.generationConfig))
        toolFormat = folder.chatTemplate.flatMap { ToolCallFormat.named(by: $0) }
        if writesWholeTexts {
            let word = vocabulary.bytes.firstIndex { ($0?.count ?? 0) > 1 && $0?.first == UInt8(ascii: " ") }
            dropsFirstSpace = word.map { !tokenizer.decode([$0]).hasPrefix(" ") } ?? false
        }
        for mark in ToolCallFormat.marks { markers[mark] = tokenizer.id(of: mark) }
    }

    private static func sampling(_ config: JSON?) -> Sampling {
        var sampling = Sampling()
        sampling.temperature = config?["temperature"]?.double
        sampling.topK = config?["top_k"]?.int
        sampling.topP = config?["top_p"]?.double
        sampling.minP = config?["min_p"]?.double
        sampling.repetitionPenalty = config?["repetition_penalty"]?.double
        return sampling
    }
}

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
        let own = tokenizer.templateVariables
        let vocabulary = tokenizer.vocabulary
        var render: (@Sendable ([JSON], [JSON], JSONObject) throws -> String)?
        if let template {
            render = { messages, tools, given in
                let variables = own.merging(given.map { ($0.key, $0.value) }) { own, _ in own }
                return try template.render(
                    messages: messages, tools: tools, addGenerationPrompt: true, variables: variables)
            }
        }
        self.init(
            encode: { text, special in try tokenizer.ids(of: text, addSpecialTokens: special) },
            decode: { tokens in tokenizer.decode(tokens) }, render: render,
            vocabulary: TokenVocabulary(
                bytes: vocabulary.bytes, endTokens: folder.endTokens.union(vocabulary.endTokens)),
            sampling: try Self.sampling(folder.generationConfig))
        toolFormat = folder.chatTemplate.flatMap { ToolCallFormat.named(by: $0) }
        if writesWholeTexts {
            let word = vocabulary.bytes.firstIndex { ($0?.count ?? 0) > 1 && $0?.first == UInt8(ascii: " ") }
            dropsFirstSpace = word.map { !tokenizer.decode([$0]).hasPrefix(" ") } ?? false
        }
        for mark in ToolCallFormat.marks { markers[mark] = tokenizer.id(of: mark) }
    }

    /// Each request that leaves a setting out takes the one from here: what none could be answered with is refused.
    private static func sampling(_ config: JSON?) throws -> Sampling {
        func number(_ key: String, _ range: ClosedRange<Double>, isWhole: Bool = false) throws -> Double? {
            guard let value = config?[key], !value.isNull else { return nil }
            guard let number = value.double, range.contains(number), !isWhole || value.int != nil else {
                throw MartletError(
                    .invalidData,
                    "'\(key)' of generation_config.json is \(value.serialized().prefix(40)); give a \(isWhole ? "whole " : "")"
                        + "number from \(range.lowerBound) to \(range.upperBound), or leave it out")
            }
            return number
        }
        var sampling = Sampling()
        sampling.temperature = try number("temperature", SamplingSettings.temperatures)
        sampling.topK = try number("top_k", -1...Double(Int32.max), isWhole: true).map { Int($0) }
        sampling.topP = try number("top_p", SamplingSettings.shares)
        sampling.minP = try number("min_p", SamplingSettings.shares)
        sampling.repetitionPenalty = try number("repetition_penalty", SamplingSettings.repetitionPenalties)
        return sampling
    }
}

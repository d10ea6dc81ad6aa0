import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

/// A language model that is trained from nothing, with what it learns from and how it is published.
public struct LanguageTraining {
    public let model: any LanguageModel
    public let objective: LanguageObjective
    private let config: JSON
    private let tokenizer: Tokenizer
    private let tokenizerFiles: [String: [UInt8]]

    /// - Parameter goOn: asked between the parts of long work; throws where it is to end.
    /// - Throws: `invalidRecipe` and `invalidData` where model and texts do not fit.
    public init(
        _ recipe: Recipe, _ config: LanguageModelRecipe, _ texts: LanguageTexts, _ data: TokenData,
        device: Device = .cpu, goOn: @escaping () throws -> Void = {}
    ) throws {
        self.config = config.config(vocabularyCount: texts.tokenizer.vocabularySize, endToken: texts.endToken)
        tokenizer = texts.tokenizer
        tokenizerFiles = texts.files
        if device == .cpu { try Self.checkMemory(self.config) }
        let model = try LanguageModelCatalog.make(config: self.config)
        try model.initialize(seed: UInt64(recipe.training.seed))
        try model.move(to: device)
        self.model = model
        let sample = recipe.evaluation.sample
        let prompt = Self.prompt(sample.prompt, texts.tokenizer, data.train)
        let writer = SampleWriter(model, context: config.context, device: device)
        let (tokenizer, end) = (texts.tokenizer, texts.endToken)
        objective = try LanguageObjective(
            model: model, data: data, length: config.context, seed: UInt64(recipe.training.seed),
            dropout: config.dropout, device: device, goOn: goOn
        ) {
            guard sample.tokens > 0, !prompt.isEmpty else { return nil }
            let tokens = try writer.tokens(
                after: prompt, count: sample.tokens, temperature: sample.temperature,
                seed: UInt64(recipe.training.seed), end: end, goOn: goOn)
            return tokenizer.decode(prompt + tokens)
        }
    }

    /// Refuses what no machine of this size can train, before it takes the memory of everything else that runs here.
    /// - Throws: `invalidRecipe` where weights and gradients alone are more than the machine's memory.
    private static func checkMemory(_ config: JSON) throws {
        let count = try Parameter.withoutMemory { try LanguageModelCatalog.make(config: config) }.parameterCount
        let (memory, gigabyte) = (Double(ProcessInfo.processInfo.physicalMemory), 1e9)
        let needed = 8 * Double(count)
        guard needed <= memory else {
            throw MartletError(
                .invalidRecipe,
                "the model has \(count) parameters, which take \(Int(needed / gigabyte)) GB with their gradients; this machine "
                    + "has \(Int(memory / gigabyte)) GB: lower model.width or model.layers", param: "model.width")
        }
    }

    var layerSummaries: [LayerSummary] { LayerSummary.parts(of: model) }

    /// The tokens of a sample's prompt; where these texts have no such character, their first token.
    private static func prompt(_ text: String, _ tokenizer: Tokenizer, _ tokens: TokenSequence) -> [Int] {
        if let ids = try? tokenizer.ids(of: text, addSpecialTokens: false), !ids.isEmpty { return ids }
        guard tokens.count > 0 else { return [] }
        return withUnsafeTemporaryAllocation(of: Int64.self, capacity: 1) { buffer in
            guard let first = buffer.baseAddress else { return [] }
            tokens.copy(0, 1, to: first)
            return [Int(first.pointee)]
        }
    }

    /// Writes the bundle beside its place and renames it, so that it is whole or not there.
    public func publish(_ card: ModelCard, to directory: String) throws {
        try BundleFolder.write(to: directory) { folder in
            try LanguageBundle.save(model, config: config, to: URL(fileURLWithPath: folder))
            for (name, bytes) in tokenizerFiles { try DurableFile.write(Data(bytes), to: "\(folder)/\(name)") }
            var signature = Signature()
            signature.kind = .language
            let geometry = model.geometry
            signature.language = LanguageSummary(
                architecture: config["model_type"]?.string ?? "", parameterCount: model.parameterCount,
                contextLength: geometry.contextLength, vocabularyCount: geometry.vocabularyCount,
                width: geometry.width, layerCount: geometry.layerCount, storedPrecision: "float32",
                hasChatTemplate: false, generates: true)
            try BundleFolder.write(signature, BundleFile.signature, in: folder)
            try BundleFolder.write(card, BundleFile.card, in: folder)
        }
    }
}

extension LayerSummary {
    /// The parts of a language model: each block as one, with what flows out of it, and the embeddings and norms around
    /// them.
    static func parts(of model: any LanguageModel) -> [LayerSummary] {
        var summaries: [LayerSummary] = []
        let geometry = model.geometry
        for item in model.parameters() {
            let path = item.name.split(separator: ".").map(String.init)
            let number = path.firstIndex { Int($0) != nil }
            let part = path[...(number ?? max(0, path.count - 2))].joined(separator: ".")
            if summaries.last?.name != part {
                let isHead = part == "lm_head"
                let width = isHead ? geometry.vocabularyCount : geometry.width
                let kind =
                    number != nil
                    ? "block"
                    : isHead ? "linear" : item.parameter.role == .norm || part.contains("ln_") ? "norm" : "embedding"
                summaries.append(
                    LayerSummary(
                        name: part, kind: kind, output: [-1, geometry.contextLength, width], parameterCount: 0))
            }
            summaries[summaries.count - 1].parameterCount += item.parameter.value.count
        }
        return summaries
    }
}

extension LanguageModelRecipe {
    /// The config.json of such a model, in Hugging Face's form.
    func config(vocabularyCount: Int, endToken: Int?) -> JSON {
        var object: JSONObject
        if architecture == .gpt {
            let gpt = GPTConfig(
                layers: layers, heads: heads, width: width, context: context, dropout: dropout, bias: bias)
            object = gpt.config(vocabularyCount: vocabularyCount).object ?? JSONObject()
        } else {
            object = [
                "architectures": [.string(architecture.className)], "model_type": .string(architecture.rawValue),
                "vocab_size": JSON(vocabularyCount), "hidden_size": JSON(width),
                "intermediate_size": JSON(feedforward ?? (width * 8 / 3 + 31) / 32 * 32),
                "num_hidden_layers": JSON(layers), "num_attention_heads": JSON(heads),
                "num_key_value_heads": JSON(keyValueHeads ?? heads), "head_dim": JSON(width / heads),
                "max_position_embeddings": JSON(context), "hidden_act": "silu", "rms_norm_eps": 1e-6,
                "rope_theta": 10_000, "initializer_range": 0.02, "tie_word_embeddings": true,
            ]
        }
        object["bos_token_id"] = endToken.map { JSON($0) } ?? .null
        object["eos_token_id"] = endToken.map { JSON($0) } ?? .null
        return .object(object)
    }
}

extension LanguageModelRecipe.Architecture {
    /// Hugging Face's class.
    fileprivate var className: String {
        switch self {
        case .gpt: "GPT2LMHeadModel"
        case .llama: "LlamaForCausalLM"
        case .qwen2: "Qwen2ForCausalLM"
        case .qwen3: "Qwen3ForCausalLM"
        case .mistral: "MistralForCausalLM"
        }
    }
}

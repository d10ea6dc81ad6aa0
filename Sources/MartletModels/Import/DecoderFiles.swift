import MartletNN
import MartletWire

/// How a decoder's files were written: whole, or as the body alone, without an output layer, as makers of embeddings
/// save it (sentence-transformers, for one).
struct DecoderFiles {
    /// Whether there is no output layer: it makes vectors of texts and writes none.
    let isHeadless: Bool
    /// Why vectors of texts would be others than its makers': it reads what comes behind a token too.
    let vectorFault: MartletError?
    private let config: JSON
    private let hasBodyNames: Bool
    /// Whether there is a weight of the output layer, and one of the embedding.
    private let hasHead: Bool
    private let hasEmbedding: Bool

    /// The classes whose bodies are known.
    private static let whole = ["Llama", "Mistral", "Qwen2", "Qwen3"].map { $0 + "ForCausalLM" }
    /// What names of a body's tensors begin with.
    private static let parts = ["embed_tokens.", "layers.", "norm."]
    private static let prefix = "model."
    private static let headName = "lm_head.weight"
    private static let embeddingNames = ["embed_tokens.weight", "wte.weight"]

    /// - Parameter tensors: the names in the files.
    /// - Throws: `unsupportedFormat` for a body that reads what comes behind a token too, and has no other use.
    init(config json: JSON, tensors: [String]) throws {
        let config = try ModelConfig(json)
        let name = config.architecture ?? ""
        let body = Self.whole.first { $0.replacing("ForCausalLM", with: "Model") == name }
        let isKnown = body != nil || Self.whole.contains(name)
        hasBodyNames = isKnown && tensors.contains { $0.hasPrefix(Self.parts[0]) }
        hasHead = tensors.contains(Self.headName)
        hasEmbedding = tensors.contains(where: Self.isEmbedding)
        let isTied = try config.flag("tie_word_embeddings", false)
        isHeadless = body != nil || hasBodyNames && !isTied && !hasHead
        do {
            try config.refuse("is_causal", unless: true)
            try config.refuse("use_bidirectional_attention", unless: false)
            vectorFault = nil
        } catch let error as MartletError where !isHeadless {
            vectorFault = error
        }
        guard isHeadless, var object = json.object else {
            self.config = json
            return
        }
        object["architectures"] = [.string(body ?? name)]
        // Nothing asks for the output layer, which so has no weights of its own.
        object["tie_word_embeddings"] = true
        self.config = .object(object)
    }

    private static func isEmbedding(_ name: String) -> Bool { embeddingNames.contains { name.hasSuffix($0) } }

    /// The model, without memory for its weights. An output layer that is in the files beside the embedding is one of
    /// its own, whatever the config says.
    func make() throws -> any LanguageModel {
        let model = try Parameter.withoutMemory { try LanguageModelCatalog.make(config: config) }
        guard hasHead, hasEmbedding, !isHeadless, Self.isTied(model), var object = config.object else { return model }
        object["tie_word_embeddings"] = false
        return try Parameter.withoutMemory { try LanguageModelCatalog.make(config: .object(object)) }
    }

    private static func isTied(_ model: any LanguageModel) -> Bool { model.aliases().contains(headName) }

    func checkpoint(of model: any LanguageModel) -> CheckpointMap {
        let map = model.checkpoint
        if hasHead, !hasEmbedding, Self.isTied(model),
            let embedding = model.parameters().first(where: { Self.isEmbedding($0.name) })?.name
        {
            // Of two names of one weight, some programs write the first in the alphabet alone.
            return CheckpointMap(
                parameterName: { $0 == Self.headName ? embedding : map.parameterName($0) },
                isTransposed: map.isTransposed, isIgnored: map.isIgnored)
        }
        guard hasBodyNames else { return map }
        return CheckpointMap(
            parameterName: { name in
                let isBodys = Self.parts.contains { name.hasPrefix($0) }
                return map.parameterName(isBodys ? Self.prefix + name : name)
            },
            isTransposed: map.isTransposed, isIgnored: map.isIgnored)
    }
}

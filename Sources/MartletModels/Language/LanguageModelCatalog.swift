import MartletNN
import MartletWire

/// The language models that this program can compute, by the class that Hugging Face's config.json names.
public enum LanguageModelCatalog {
    typealias Maker = @Sendable (ModelConfig) throws -> any LanguageModel

    private static let makers: [(architecture: String, modelType: String, make: Maker)] = [
        ("LlamaForCausalLM", "llama", Llama.make),
        ("MistralForCausalLM", "mistral", Mistral.make),
        ("MinistralForCausalLM", "ministral", Mistral.make),
        ("MixtralForCausalLM", "mixtral", Mixtral.make),
        ("Qwen2ForCausalLM", "qwen2", Qwen2.make),
        ("Qwen2MoeForCausalLM", "qwen2_moe", QwenMoE.make2),
        ("Qwen3ForCausalLM", "qwen3", Qwen3.make),
        ("Qwen3MoeForCausalLM", "qwen3_moe", QwenMoE.make3),
        ("Phi3ForCausalLM", "phi3", Phi3.make),
        ("Gemma2ForCausalLM", "gemma2", Gemma.make2),
        ("Gemma3ForCausalLM", "gemma3_text", Gemma.make3),
        ("GPT2LMHeadModel", "gpt2", GPT2.make),
    ]

    /// The architectures' names, in the order of the documentation.
    public static var architectures: [String] { makers.map(\.architecture) }

    /// A model of a config's form; its parameters are to be loaded or initialized.
    /// - Throws: `MartletError` with `unsupportedFormat` that names what is not supported.
    public static func make(config json: JSON) throws -> any LanguageModel {
        let config = try ModelConfig(json)
        let found =
            if let architecture = config.architecture {
                makers.first { $0.architecture == architecture }
            } else {
                makers.first { $0.modelType == config.modelType }
            }
        guard let found else {
            let name = config.architecture ?? config.modelType ?? "without a name"
            let all = architectures + TextPart.architectures + TextEncoderCatalog.architectures + T5.architectures
            throw MartletError(
                .unsupportedFormat,
                "the architecture \(name) is not supported; supported are \(all.joined(separator: ", "))")
        }
        try config.refuse("quantization_config")
        return try found.make(config)
    }
}

import MartletNN

/// Llama 1 to 3 (Touvron and others, 2023; Llama team, 2024), and the many models of the same form.
enum Llama {
    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try DecoderConfig(config)
        let bias = try config.flag("attention_bias", false)
        decoder.hasInputBias = bias
        decoder.hasOutputBias = bias
        decoder.hasFeedforwardBias = try config.flag("mlp_bias", false)
        return try CausalDecoder(decoder)
    }
}

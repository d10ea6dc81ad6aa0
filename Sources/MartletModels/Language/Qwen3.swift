/// Qwen 3 (Qwen team, 2025): no biases by default, and a norm over each head's queries and keys.
enum Qwen3 {
    static func decoder(_ config: ModelConfig) throws -> DecoderConfig {
        var decoder = try DecoderConfig(config, headSize: 128)
        let bias = try config.flag("attention_bias", false)
        decoder.hasInputBias = bias
        decoder.hasOutputBias = bias
        decoder.hasHeadNorms = true
        try decoder.slideAsQwen(config)
        return decoder
    }

    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        try CausalDecoder(decoder(config))
    }
}

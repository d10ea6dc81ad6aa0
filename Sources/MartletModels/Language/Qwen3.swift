/// Qwen 3 (Qwen team, 2025): no biases by default, and a norm over each head's queries and keys.
enum Qwen3 {
    /// - Parameters:
    ///   - headSize: where the config has none; nil divides the width by the heads.
    ///   - keyValueHeads: where the config has none.
    static func decoder(_ config: ModelConfig, headSize: Int?, keyValueHeads: Int) throws -> DecoderConfig {
        var decoder = try DecoderConfig(
            config, headSize: headSize, keyValueHeads: keyValueHeads, rotary: RotaryDefaults(context: 32_768))
        let bias = try config.flag("attention_bias", false)
        decoder.hasInputBias = bias
        decoder.hasOutputBias = bias
        decoder.hasHeadNorms = true
        return decoder
    }

    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try decoder(config, headSize: 128, keyValueHeads: 32)
        try decoder.slideAsQwen(config)
        return try CausalDecoder(decoder)
    }
}

/// Mistral 7B (Jiang and others, 2023): Llama with a window over the last tokens.
enum Mistral {
    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try DecoderConfig(config)
        decoder.slide(try config.window(4096))
        return try CausalDecoder(decoder)
    }
}

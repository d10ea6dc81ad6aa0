/// Mistral 7B (Jiang and others, 2023): Llama with a window over the last tokens; Ministral has it in some layers.
enum Mistral {
    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try DecoderConfig(config, keyValueHeads: 8, rotary: RotaryDefaults(context: 131_072))
        let layers = try config.slidingLayers(decoder.layerCount) { _ in true }
        decoder.slide(try config.window(4096)) { layers[$0] }
        return try CausalDecoder(decoder)
    }
}

/// Qwen 2 and 2.5 (Qwen team, 2024): Llama with biases in the layers that make queries, keys and values.
enum Qwen2 {
    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try DecoderConfig(config)
        decoder.hasInputBias = true
        try decoder.slideAsQwen(config)
        return try CausalDecoder(decoder)
    }
}

extension DecoderConfig {
    /// A window in the layers from `max_window_layers` on, where `use_sliding_window` says so.
    mutating func slideAsQwen(_ config: ModelConfig) throws {
        guard try config.flag("use_sliding_window", false) else { return }
        let first = config.value("max_window_layers") == .int(0) ? 0 : try config.size("max_window_layers", 28)
        let layers = try config.slidingLayers(layerCount) { $0 >= first }
        slide(try config.window(4096)) { layers[$0] }
    }
}

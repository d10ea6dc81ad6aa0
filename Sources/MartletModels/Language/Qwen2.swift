/// Qwen 2 and 2.5 (Qwen team, 2024): Llama with biases in the layers that make queries, keys and values.
enum Qwen2 {
    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try DecoderConfig(config, keyValueHeads: 32, rotary: RotaryDefaults(context: 32_768))
        decoder.hasInputBias = true
        try decoder.slideAsQwen(config)
        return try CausalDecoder(decoder)
    }
}

extension DecoderConfig {
    /// A window in some layers, where `use_sliding_window` says so.
    /// - Parameter isSliding: of the layer's number and `max_window_layers`, where the config has no `layer_types`.
    mutating func slideAsQwen(
        _ config: ModelConfig, _ isSliding: (_ layer: Int, _ bound: Int) -> Bool = { $0 >= $1 }
    ) throws {
        guard try config.flag("use_sliding_window", false) else { return }
        let bound = config.value("max_window_layers") == .int(0) ? 0 : try config.size("max_window_layers", 28)
        let layers = try config.slidingLayers(layerCount) { isSliding($0, bound) }
        slide(try config.window(4096)) { layers[$0] }
    }
}

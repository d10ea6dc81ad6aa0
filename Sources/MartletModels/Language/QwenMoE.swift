/// Qwen 2 and 3 with a mixture of experts in some or all layers; version 2 has an expert that all tokens share.
enum QwenMoE {
    static func make2(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try DecoderConfig(config, keyValueHeads: 16, rotary: RotaryDefaults(context: 32_768))
        decoder.hasInputBias = try config.flag("qkv_bias", true)
        // Every other one of the first layers, unlike the models without experts.
        try decoder.slideAsQwen(config) { $0 % 2 == 0 && $0 < $1 }
        return try model(
            decoder, config, experts: 60, chosen: 4, inner: 1408, normalizes: false,
            shared: config.size("shared_expert_intermediate_size", 5632))
    }

    static func make3(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try Qwen3.decoder(config, headSize: nil, keyValueHeads: 4)
        // All layers, or none.
        if try config.flag("use_sliding_window", false) { decoder.slide(try config.window(4096)) }
        return try model(
            decoder, config, experts: 128, chosen: 8, inner: 768, normalizes: false, shared: nil)
    }

    private static func model(
        _ decoder: DecoderConfig, _ config: ModelConfig, experts: Int, chosen: Int, inner: Int, normalizes: Bool,
        shared: Int?
    ) throws -> any LanguageModel {
        let experts = try config.size("num_experts", config.size("num_local_experts", experts))
        let chosen = try config.size("num_experts_per_tok", chosen)
        let inner = try config.size("moe_intermediate_size", inner)
        let normalizes = try config.flag("norm_topk_prob", normalizes)
        let step = try config.size("decoder_sparse_step", 1)
        let dense = Set(config.value("mlp_only_layers")?.array?.compactMap(\.int) ?? [])
        return try CausalDecoder(decoder, attention: { try DecoderAttention(decoder, layer: $0) }) { layer in
            guard !dense.contains(layer), (layer + 1) % step == 0 else { return ("mlp", try GatedMLP(decoder)) }
            let mlp = try SparseMLP(
                decoder, expertCount: experts, chosenCount: chosen, inner: inner, normalizes: normalizes,
                shared: shared)
            return ("mlp", mlp)
        }
    }
}

/// Mixtral (Jiang and others, 2024): Mistral with a mixture of experts in every layer.
enum Mixtral {
    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try DecoderConfig(
            config, keyValueHeads: 8, epsilon: 1e-5, rotary: RotaryDefaults(theta: 1_000_000, context: 131_072))
        decoder.slide(try config.window(nil))
        let (count, chosen) = (try config.size("num_local_experts", 8), try config.size("num_experts_per_tok", 2))
        return try CausalDecoder(decoder, attention: { try DecoderAttention(decoder, layer: $0) }) { _ in
            let mlp = try SparseMLP(
                decoder, expertCount: count, chosenCount: chosen, inner: decoder.feedforward, normalizes: true,
                renames: ["gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"])
            return ("block_sparse_moe", mlp)
        }
    }
}

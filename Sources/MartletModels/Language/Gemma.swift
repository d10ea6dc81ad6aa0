import MartletNN
import MartletTensor
import MartletWire

// N tokens, D width

/// Gemma 2 and 3 (Gemma team, 2024 and 2025): norms before and after each part, layers with and without a window,
/// scaled embeddings; version 2 has soft caps, version 3 norms of the heads and two rotary bases.
enum Gemma {
    static func make2(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try shared(config, pattern: 2)
        decoder.logitCap = try config.cap("final_logit_softcapping", 30)
        if let cap = try config.cap("attn_logit_softcapping", 50) {
            for layer in 0..<decoder.layerCount { decoder.attention[layer].softcap = cap }
        }
        return try model(decoder)
    }

    static func make3(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try shared(config, pattern: config.size("sliding_window_pattern", 6))
        decoder.hasHeadNorms = true
        decoder.logitCap = try config.cap("final_logit_softcapping", nil)
        // Its attention has no cap, whatever 'attn_logit_softcapping' says.
        decoder.rotaries.append(
            try config.rotary(
                headSize: decoder.headSize,
                RotaryDefaults(thetaKey: "rope_local_base_freq", context: Self.context3, layers: .sliding)))
        decoder.rotaryOfLayer = decoder.attention.map { $0.window == nil ? 0 : 1 }
        return try model(decoder)
    }

    /// The third's length of texts, where a config has none.
    private static let context3 = 131_072

    private static func shared(_ config: ModelConfig, pattern: Int) throws -> DecoderConfig {
        try config.refuse("use_bidirectional_attention", unless: false)
        let isThird = config.modelType == "gemma3_text" || config.architecture == "Gemma3ForCausalLM"
        var decoder = try DecoderConfig(
            config, headSize: 256, keyValueHeads: 4, isTied: true,
            rotary: isThird
                ? RotaryDefaults(theta: 1_000_000, context: context3, layers: .full) : RotaryDefaults(context: 8192),
            activationKey: "hidden_activation", activation: "gelu_pytorch_tanh")
        let bias = try config.flag("attention_bias", false)
        decoder.hasInputBias = bias
        decoder.hasOutputBias = bias
        // In the precision of the weights, as the model was trained.
        decoder.embeddingScale = Double(Float(decoder.width).squareRoot())
        let query = try config.number("query_pre_attn_scalar", 256)
        guard query > 0 else { throw config.unsupported("'query_pre_attn_scalar': \(query)") }
        for layer in 0..<decoder.layerCount { decoder.attention[layer].scale = 1 / query.squareRoot() }
        let layers = try config.slidingLayers(decoder.layerCount) { ($0 + 1) % pattern != 0 }
        decoder.slide(try config.window(4096)) { layers[$0] }
        return decoder
    }

    private static func model(_ config: DecoderConfig) throws -> any LanguageModel {
        try CausalDecoder(config, norm: Norm(config.width, config.normEpsilon)) { try Block(config, layer: $0) }
    }

    /// `x/√(mean(x²) + ε)·(1 + w)`.
    final class Norm: Layer {
        let weight: Parameter
        private let epsilon: Double

        init(_ width: Int, _ epsilon: Double) throws {
            weight = try Parameter([width], .norm, .zeros)
            self.epsilon = epsilon
        }

        func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
            let scale = try x.mul(x).mean([-1], keep: true).add(epsilon).rsqrt()
            return try x.mul(scale).mul(weight.value.add(1))
        }
    }

    final class Block: DecoderBlock {
        let input_layernorm: Norm
        let self_attn: DecoderAttention
        let post_attention_layernorm: Norm
        let pre_feedforward_layernorm: Norm
        let mlp: GatedMLP
        let post_feedforward_layernorm: Norm

        init(_ config: DecoderConfig, layer: Int) throws {
            let norm = { try Norm(config.width, config.normEpsilon) }
            input_layernorm = try norm()
            self_attn = try DecoderAttention(config, layer: layer) { try Norm($0.headSize, $0.normEpsilon) }
            post_attention_layernorm = try norm()
            pre_feedforward_layernorm = try norm()
            mlp = try GatedMLP(config)
            post_feedforward_layernorm = try norm()
        }

        var linearGroups: [LinearGroup] { self_attn.linearGroups + mlp.linearGroups }

        func callAsFunction(
            _ x: Tensor, _ angles: RotaryAngles, _ attention: any TokenAttention, _ forward: Forward
        ) throws -> Tensor {
            let y = try self_attn(input_layernorm(x, forward), adding: nil, angles, attention, forward)
            let x = try x.add(post_attention_layernorm(y, forward))
            let z = try mlp(pre_feedforward_layernorm(x, forward), adding: nil, forward)
            return try x.add(post_feedforward_layernorm(z, forward))
        }
    }
}

extension ModelConfig {
    /// A soft cap; nil where the config says null.
    fileprivate func cap(_ key: String, _ fallback: Double?) throws -> Double? {
        guard let value = json[key] else { return fallback }
        if value.isNull { return nil }
        let cap = try number(key)
        guard cap > 0 else { throw unsupported("'\(key)': \(cap)") }
        return cap
    }
}

import MartletNN
import MartletTensor

// N tokens, D width, V vocabulary

/// The decoder of Llama and its like: norms before attention and feedforward, rotary positions, no dropout.
///
/// Names are Hugging Face's: `model.embed_tokens`, `model.layers.0.self_attn.q_proj`, `model.norm`, `lm_head`.
final class CausalDecoder: LanguageModel {
    let model: Body
    let lm_head: Linear
    let geometry: LanguageGeometry
    private let head: LinearGroup

    /// - Parameter feedForward: what the block of each layer has after attention, and its name there.
    init(_ config: DecoderConfig, _ feedForward: (Int) throws -> (String, any FeedForward)) throws {
        model = try Body(config, feedForward)
        lm_head =
            config.isTied
            ? Linear(sharing: model.embed_tokens.weight)
            : try Linear(config.width, config.vocabularyCount, bias: false, std: config.initializerRange)
        head = LinearGroup(lm_head)
        geometry = config.geometry
    }

    convenience init(_ config: DecoderConfig) throws {
        try self.init(config) { _ in
            let mlp = try GatedMLP(
                config.width, config.feedforward, config.activation, bias: config.hasFeedforwardBias,
                std: config.initializerRange)
            return ("mlp", mlp)
        }
    }

    var linearGroups: [LinearGroup] {
        model.layers.flatMap { [$0.self_attn.input, $0.self_attn.output] + $0.mlp.linearGroups } + [head]
    }

    func hidden(_ tokens: Tensor, _ attention: any TokenAttention, _ forward: Forward) throws -> Tensor {
        try model(tokens, attention, forward)
    }

    func logits(_ hidden: Tensor, _ forward: Forward) throws -> Tensor { try head(hidden, forward)[0] }

    final class Body: Module {
        let embed_tokens: Embedding
        let layers: [Block]
        let norm: RMSNorm
        private let rotary: RotaryEmbedding

        init(_ config: DecoderConfig, _ feedForward: (Int) throws -> (String, any FeedForward)) throws {
            embed_tokens = try Embedding(config.vocabularyCount, config.width, std: config.initializerRange)
            layers = try (0..<config.layerCount).map { try Block(config, layer: $0, feedForward($0)) }
            norm = try RMSNorm(config.width, epsilon: config.normEpsilon)
            rotary = try RotaryEmbedding(config.rotary)
        }

        func callAsFunction(
            _ tokens: Tensor, _ attention: any TokenAttention, _ forward: Forward
        ) throws -> Tensor {
            var x_ND = try embed_tokens(tokens, forward)
            let angles = try rotary(attention.positions)
            for layer in layers { x_ND = try layer(x_ND, angles, attention, forward) }
            return try norm(x_ND, forward)
        }
    }

    final class Block: Module {
        let input_layernorm: RMSNorm
        let self_attn: DecoderAttention
        let post_attention_layernorm: RMSNorm
        let mlp: any FeedForward
        let renames: [String: String]

        init(_ config: DecoderConfig, layer: Int, _ feedForward: (name: String, module: any FeedForward)) throws {
            input_layernorm = try RMSNorm(config.width, epsilon: config.normEpsilon)
            self_attn = try DecoderAttention(config, layer: layer)
            post_attention_layernorm = try RMSNorm(config.width, epsilon: config.normEpsilon)
            mlp = feedForward.module
            renames = ["mlp": feedForward.name]
        }

        func callAsFunction(
            _ x: Tensor, _ angles: RotaryAngles, _ attention: any TokenAttention, _ forward: Forward
        ) throws -> Tensor {
            let x = try x.add(self_attn(input_layernorm(x, forward), angles, attention, forward))
            return try x.add(mlp(post_attention_layernorm(x, forward), forward))
        }
    }
}

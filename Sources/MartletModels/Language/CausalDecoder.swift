import MartletNN
import MartletTensor

// N tokens, D width, V vocabulary

/// The decoder of Llama and its like: an embedding, blocks with rotary positions, a norm and an output layer.
///
/// Names are Hugging Face's: `model.embed_tokens`, `model.layers.0.self_attn.q_proj`, `model.norm`, `lm_head`.
final class CausalDecoder: LanguageModel {
    let model: Body
    let lm_head: Linear
    let geometry: LanguageGeometry
    let attentionDropout: Double
    private let head: LinearGroup
    private let logitCap: Double?

    /// - Parameters:
    ///   - norm: what stands after the last block.
    ///   - block: the block of each layer.
    init(_ config: DecoderConfig, norm: any Layer, _ block: (Int) throws -> any DecoderBlock) throws {
        model = try Body(config, norm, block)
        lm_head =
            config.isTied
            ? Linear(sharing: model.embed_tokens.weight)
            : try Linear(config.width, config.vocabularyCount, bias: false, std: config.initializerRange)
        head = LinearGroup(lm_head)
        geometry = config.geometry
        attentionDropout = config.attentionDropout
        logitCap = config.logitCap
    }

    /// Llama's own blocks, with what they have after attention where that is another than a gated MLP.
    convenience init(
        _ config: DecoderConfig,
        attention: (Int) throws -> any AttentionPart,
        mlp: (Int) throws -> (name: String, module: any FeedForward)
    ) throws {
        try self.init(config, norm: RMSNorm(config.width, epsilon: config.normEpsilon)) {
            try PreNormBlock(config, attention($0), mlp($0))
        }
    }

    convenience init(_ config: DecoderConfig) throws {
        try self.init(
            config, attention: { try DecoderAttention(config, layer: $0) }, mlp: { _ in ("mlp", try GatedMLP(config)) })
    }

    var linearGroups: [LinearGroup] { model.layers.flatMap(\.linearGroups) + [head] }

    func hidden(_ tokens: Tensor, _ attention: any TokenAttention, _ forward: Forward) throws -> Tensor {
        try model(tokens, attention, forward)
    }

    func logits(_ hidden: Tensor, _ forward: Forward) throws -> Tensor {
        let logits = try head(hidden, forward)[0]
        return try logitCap.map { try logits.mul(1 / $0).tanh().mul($0) } ?? logits
    }

    final class Body: Module {
        let embed_tokens: Embedding
        let layers: [any DecoderBlock]
        let norm: any Layer
        private let embeddingScale: Double?
        private let rotaries: [RotaryEmbedding]
        private let rotaryOfLayer: [Int]

        init(_ config: DecoderConfig, _ norm: any Layer, _ block: (Int) throws -> any DecoderBlock) throws {
            embed_tokens = try Embedding(config.vocabularyCount, config.width, std: config.initializerRange)
            layers = try (0..<config.layerCount).map(block)
            self.norm = norm
            embeddingScale = config.embeddingScale
            rotaries = try config.rotaries.map { try RotaryEmbedding($0) }
            rotaryOfLayer = config.rotaryOfLayer
        }

        func callAsFunction(
            _ tokens: Tensor, _ attention: any TokenAttention, _ forward: Forward
        ) throws -> Tensor {
            var x_ND = try embed_tokens(tokens, forward)
            if let embeddingScale { x_ND = try x_ND.mul(embeddingScale) }
            let angles = try rotaries.map { try $0(attention.positions) }
            for (layer, block) in layers.enumerated() {
                x_ND = try block(x_ND, angles[rotaryOfLayer[layer]], attention, forward)
            }
            return try norm(x_ND, forward)
        }
    }
}

/// A norm before attention and one before the feedforward part, each summed with what went in.
final class PreNormBlock: DecoderBlock {
    let input_layernorm: RMSNorm
    let self_attn: any AttentionPart
    let post_attention_layernorm: RMSNorm
    let mlp: any FeedForward
    let renames: [String: String]

    init(
        _ config: DecoderConfig, _ attention: any AttentionPart, _ feedForward: (name: String, module: any FeedForward)
    ) throws {
        input_layernorm = try RMSNorm(config.width, epsilon: config.normEpsilon)
        self_attn = attention
        post_attention_layernorm = try RMSNorm(config.width, epsilon: config.normEpsilon)
        mlp = feedForward.module
        renames = ["mlp": feedForward.name]
    }

    var linearGroups: [LinearGroup] { self_attn.linearGroups + mlp.linearGroups }

    func callAsFunction(
        _ x: Tensor, _ angles: RotaryAngles, _ attention: any TokenAttention, _ forward: Forward
    ) throws -> Tensor {
        let x = try self_attn(input_layernorm(x, forward), adding: x, angles, attention, forward)
        return try mlp(post_attention_layernorm(x, forward), adding: x, forward)
    }
}

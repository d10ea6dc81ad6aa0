import MartletNN
import MartletTensor
import MartletWire

// N tokens, D width, H heads, K head size

/// GPT-2 (Radford and others, 2019), which is also nanoGPT's model: learned positions, layer norms, tied output.
///
/// Files hold the weights of its layers with rows and columns exchanged.
final class GPT2: LanguageModel {
    let transformer: Body
    let lm_head: Linear
    let geometry: LanguageGeometry
    let attentionDropout: Double
    private let head: LinearGroup

    struct Config {
        var width: Int
        var layerCount: Int
        var headCount: Int
        var inner: Int
        var context: Int
        var vocabularyCount: Int
        var epsilon: Double
        var activation: Activation
        var dropouts: (embedding: Double, residual: Double, attention: Double)
        var std: Double
        /// False leaves all biases out, as nanoGPT can.
        var bias: Bool
        var isTied: Bool
        var isScaled: Bool
        var isScaledByLayer: Bool
    }

    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        try config.refuse("add_cross_attention", unless: false)
        let width = try config.size("n_embd", config.size("hidden_size", 768))
        let heads = try config.size("n_head", config.size("num_attention_heads", 12))
        guard width % heads == 0 else {
            throw MartletError(
                .invalidData, "the \(heads) heads of config.json do not divide its width \(width) evenly")
        }
        return try GPT2(
            Config(
                width: width, layerCount: config.layers("n_layer", config.layers("num_hidden_layers", 12)),
                headCount: heads, inner: config.size("n_inner", wide(4, width)),
                context: config.size(
                    "n_positions", config.size("max_position_embeddings", config.size("n_ctx", 1024))),
                vocabularyCount: config.size("vocab_size", 50_257),
                epsilon: config.epsilon("layer_norm_epsilon", 1e-5),
                activation: config.activation("activation_function", "gelu_new"),
                dropouts: (
                    config.probability("embd_pdrop", 0.1), config.probability("resid_pdrop", 0.1),
                    config.probability("attn_pdrop", 0.1)
                ), std: config.initializerRange(), bias: config.flag("bias", true),
                isTied: config.flag("tie_word_embeddings", true),
                isScaled: config.flag("scale_attn_weights", true),
                isScaledByLayer: config.flag("scale_attn_by_inverse_layer_idx", false)))
    }

    init(_ config: Config) throws {
        transformer = try Body(config)
        lm_head =
            config.isTied
            ? Linear(sharing: transformer.wte.weight)
            : try Linear(config.width, config.vocabularyCount, bias: false, std: config.std)
        head = LinearGroup(lm_head)
        attentionDropout = config.dropouts.attention
        geometry = LanguageGeometry(
            layerCount: config.layerCount, headCount: config.headCount, keyValueHeadCount: config.headCount,
            headSize: config.width / config.headCount, width: config.width, vocabularyCount: config.vocabularyCount,
            contextLength: config.context)
    }

    var linearGroups: [LinearGroup] { transformer.h.flatMap { $0.attn.groups + $0.mlp.groups } + [head] }

    var checkpoint: CheckpointMap {
        CheckpointMap(
            parameterName: { $0.hasPrefix("transformer.") || $0.hasPrefix("lm_head.") ? $0 : "transformer." + $0 },
            isTransposed: { name in
                ["c_attn.weight", "c_proj.weight", "c_fc.weight"].contains { name.hasSuffix("." + $0) }
            },
            // The causal mask, which old files hold.
            isIgnored: { $0.hasSuffix(".attn.bias") || $0.hasSuffix(".attn.masked_bias") })
    }

    func hidden(_ tokens: Tensor, _ attention: any TokenAttention, _ forward: Forward) throws -> Tensor {
        try transformer(tokens, attention, forward)
    }

    func logits(_ hidden: Tensor, _ forward: Forward) throws -> Tensor { try head(hidden, forward)[0] }

    final class Body: Module {
        let wte: Embedding
        let wpe: Embedding
        let h: [Block]
        let ln_f: LayerNorm
        private let dropout: Double

        init(_ config: Config) throws {
            wte = try Embedding(config.vocabularyCount, config.width, std: config.std)
            wpe = try Embedding(config.context, config.width, std: config.std)
            h = try (0..<config.layerCount).map { try Block(config, layer: $0) }
            ln_f = try LayerNorm(config.width, epsilon: config.epsilon, bias: config.bias)
            dropout = config.dropouts.embedding
        }

        func callAsFunction(
            _ tokens: Tensor, _ attention: any TokenAttention, _ forward: Forward
        ) throws -> Tensor {
            let x = try wte(tokens, forward).add(wpe(attention.positions, forward))
            return try ln_f(
                h.reduce(forward.dropout(x, dropout)) { try $1($0, attention, forward) }, forward)
        }
    }

    final class Block: Module {
        let ln_1: LayerNorm
        let attn: SelfAttention
        let ln_2: LayerNorm
        let mlp: MLP

        init(_ config: Config, layer: Int) throws {
            ln_1 = try LayerNorm(config.width, epsilon: config.epsilon, bias: config.bias)
            attn = try SelfAttention(config, layer: layer)
            ln_2 = try LayerNorm(config.width, epsilon: config.epsilon, bias: config.bias)
            mlp = try MLP(config)
        }

        func callAsFunction(_ x: Tensor, _ attention: any TokenAttention, _ forward: Forward) throws -> Tensor {
            try mlp(attn(x, after: ln_1, attention, forward), after: ln_2, forward)
        }
    }

    final class SelfAttention: Module {
        let c_attn: Linear
        let c_proj: Linear
        let groups: [LinearGroup]
        private let layer: Int
        private let heads: Int
        private let options: AttentionOptions
        private let dropout: Double

        init(_ config: Config, layer: Int) throws {
            c_attn = try Linear(config.width, wide(3, config.width), bias: config.bias, std: config.std)
            c_proj = try Linear(config.width, config.width, bias: config.bias, std: config.residualStd)
            groups = [LinearGroup(c_attn), LinearGroup(c_proj)]
            self.layer = layer
            heads = config.headCount
            let usual = config.isScaled ? 1 / Double(config.width / config.headCount).squareRoot() : 1
            options = AttentionOptions(scale: config.isScaledByLayer ? usual / Double(layer + 1) : usual)
            dropout = config.dropouts.residual
        }

        /// x + attention(norm(x)).
        func callAsFunction(
            _ x: Tensor, after norm: LayerNorm, _ attention: any TokenAttention, _ forward: Forward
        ) throws -> Tensor {
            let qkv = try groups[0](x, after: norm, forward).reshape([x.size(0), 3 * heads, -1])
            let y_NHK = try attention.attend(layer: layer, joined: qkv, groups: heads, rotatedBy: nil, options)
            return try groups[1](y_NHK.flatten(), after: nil, adding: x, dropout: dropout, forward)
        }
    }

    final class MLP: Module {
        let c_fc: Linear
        let c_proj: Linear
        let groups: [LinearGroup]
        private let activation: Activation
        private let dropout: Double

        init(_ config: Config) throws {
            c_fc = try Linear(config.width, config.inner, bias: config.bias, std: config.std)
            c_proj = try Linear(config.inner, config.width, bias: config.bias, std: config.residualStd)
            groups = [LinearGroup(c_fc), LinearGroup(c_proj)]
            activation = config.activation
            dropout = config.dropouts.residual
        }

        /// x + mlp(norm(x)).
        func callAsFunction(_ x: Tensor, after norm: LayerNorm, _ forward: Forward) throws -> Tensor {
            let y = try groups[0](x, after: norm, then: activation, forward)
            return try groups[1](y, after: nil, adding: x, dropout: dropout, forward)
        }
    }
}

extension GPT2.Config {
    /// The layers that add to the sum of the blocks start smaller, by their number.
    fileprivate var residualStd: Double { std / (2 * Double(layerCount)).squareRoot() }
}

import MartletNN
import MartletTensor
import MartletWire

/// The numbers that decoders of the Llama family share. An architecture's file makes one from its config.json.
struct DecoderConfig: Sendable {
    var width: Int
    var layerCount: Int
    var headCount: Int
    var keyValueHeadCount: Int
    var headSize: Int
    var feedforward: Int
    var vocabularyCount: Int
    var normEpsilon: Double
    var activation: Activation
    /// Of the layers that make queries, keys and values.
    var hasInputBias = false
    var hasOutputBias = false
    var hasFeedforwardBias = false
    /// Each head's queries and keys are normalized before they are turned.
    var hasHeadNorms = false
    /// What embeddings are multiplied by; nil leaves them.
    var embeddingScale: Double?
    /// `cap · tanh(logits / cap)`.
    var logitCap: Double?
    /// The output layer's weight is the embedding's.
    var isTied: Bool
    /// The deviation of the first weights, for training from scratch.
    var initializerRange: Double
    var attentionDropout: Double
    /// The kinds of rotary positions, and which of them each layer uses.
    var rotaries: [RotaryConfig]
    var rotaryOfLayer: [Int]
    /// How attention works in each layer.
    var attention: [AttentionOptions]

    /// Reads what Llama, Mistral, Qwen and their like have in common.
    /// - Parameters:
    ///   - headSize: where the config has none; nil divides the width by the heads.
    ///   - keyValueHeads: where the config leaves the key out; nil is as many as there are heads.
    init(
        _ config: ModelConfig, headSize usualHeadSize: Int? = nil, keyValueHeads: Int? = nil, isTied: Bool = false,
        epsilon: Double = 1e-6, rotary defaults: RotaryDefaults = RotaryDefaults(),
        activationKey: String = "hidden_act", activation: String = "silu"
    ) throws {
        width = try config.size("hidden_size")
        layerCount = try config.layers("num_hidden_layers")
        headCount = try config.size("num_attention_heads")
        let isLeftOut = config.json["num_key_value_heads"] == nil
        keyValueHeadCount = try config.size(
            "num_key_value_heads", isLeftOut ? keyValueHeads ?? headCount : headCount)
        guard headCount % keyValueHeadCount == 0 else {
            throw MartletError(
                .invalidData,
                "'num_attention_heads' of config.json is \(headCount), no multiple of 'num_key_value_heads', "
                    + "\(keyValueHeadCount)")
        }
        headSize = try config.size("head_dim", usualHeadSize ?? max(1, width / headCount))
        feedforward = try config.size("intermediate_size")
        vocabularyCount = try config.size("vocab_size")
        normEpsilon = try config.epsilon("rms_norm_eps", epsilon)
        self.activation = try config.activation(activationKey, activation)
        self.isTied = try config.flag("tie_word_embeddings", isTied)
        initializerRange = try config.initializerRange()
        attentionDropout = try config.probability("attention_dropout", 0)
        rotaries = [try config.rotary(headSize: headSize, defaults)]
        rotaryOfLayer = Array(repeating: 0, count: layerCount)
        attention = Array(repeating: AttentionOptions(), count: layerCount)
    }

    /// Lets the layers that `isSliding` names see only the last `window` tokens.
    mutating func slide(_ window: Int?, _ isSliding: (Int) -> Bool = { _ in true }) {
        guard let window else { return }
        for layer in 0..<layerCount where isSliding(layer) { attention[layer].window = window }
    }

    /// As long as no layer's angles hang on the text's length.
    private var contextLength: Int {
        Set(rotaryOfLayer).map { min(rotaries[$0].contextLength, rotaries[$0].stableLength ?? .max) }.min() ?? 1
    }

    var geometry: LanguageGeometry {
        LanguageGeometry(
            layerCount: layerCount, headCount: headCount, keyValueHeadCount: keyValueHeadCount, headSize: headSize,
            width: width, vocabularyCount: vocabularyCount, contextLength: contextLength)
    }
}

extension ModelConfig {
    /// `sliding_window`; what `fallback` says where the key is left out.
    func window(_ fallback: Int?) throws -> Int? {
        json["sliding_window"] == nil ? fallback : value("sliding_window") == nil ? nil : try size("sliding_window")
    }

    /// Which layers have a window: `layer_types`, or `fallback` where the config has none.
    func slidingLayers(_ count: Int, _ fallback: (Int) -> Bool) throws -> [Bool] {
        guard let value = value("layer_types") else { return (0..<count).map(fallback) }
        guard let kinds = value.array, kinds.count == count else {
            throw MartletError(.invalidData, "'layer_types' of config.json does not name the \(count) layers' types")
        }
        return try kinds.map { kind in
            switch kind.string {
            case "sliding_attention": true
            case "full_attention": false
            default: throw unsupported("the layer type \(kind.serialized().prefix(60))")
            }
        }
    }
}

import MartletNN
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
    var contextLength: Int
    var normEpsilon: Double
    var activation: Activation
    /// Of the layers that make queries, keys and values.
    var hasInputBias = false
    var hasOutputBias = false
    var hasFeedforwardBias = false
    /// Each head's queries and keys are normalized before they are turned.
    var hasHeadNorms = false
    /// The output layer's weight is the embedding's.
    var isTied: Bool
    /// The deviation of the first weights, for training from scratch.
    var initializerRange: Double
    var rotary: RotaryConfig
    /// How attention works in each layer.
    var attention: [AttentionOptions]

    /// Reads what Llama, Mistral, Qwen and their like have in common.
    init(_ config: ModelConfig, isTied: Bool = false, epsilon: Double = 1e-6, theta: Double = 10_000) throws {
        width = try config.size("hidden_size")
        layerCount = try config.layers("num_hidden_layers")
        headCount = try config.size("num_attention_heads")
        keyValueHeadCount = try config.size("num_key_value_heads", headCount)
        guard headCount % keyValueHeadCount == 0 else {
            throw MartletError(
                .invalidData,
                "'num_attention_heads' of config.json is \(headCount), no multiple of 'num_key_value_heads', "
                    + "\(keyValueHeadCount)")
        }
        headSize = try config.size("head_dim", max(1, width / headCount))
        feedforward = try config.size("intermediate_size")
        vocabularyCount = try config.size("vocab_size")
        normEpsilon = try config.number("rms_norm_eps", epsilon)
        activation = try config.activation("hidden_act", "silu")
        self.isTied = try config.flag("tie_word_embeddings", isTied)
        initializerRange = try config.initializerRange()
        rotary = try config.rotary(headSize: headSize, theta: theta)
        contextLength = min(rotary.contextLength, rotary.stableLength ?? .max)
        attention = Array(repeating: AttentionOptions(), count: layerCount)
    }

    var geometry: LanguageGeometry {
        LanguageGeometry(
            layerCount: layerCount, headCount: headCount, keyValueHeadCount: keyValueHeadCount, headSize: headSize,
            width: width, vocabularyCount: vocabularyCount, contextLength: contextLength)
    }
}

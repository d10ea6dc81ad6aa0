import MartletWire

/// nanoGPT's model, for training from scratch: GPT-2 with the exact GELU, and biases only where they are asked for.
public struct GPTConfig: Codable, Sendable, Equatable {
    public var layers: Int = 6
    public var heads: Int = 6
    public var width: Int = 384
    /// Most tokens of a text.
    public var context: Int = 256
    public var dropout: Double = 0
    public var bias: Bool = false

    public init(
        layers: Int = 6, heads: Int = 6, width: Int = 384, context: Int = 256, dropout: Double = 0, bias: Bool = false
    ) {
        self.layers = layers
        self.heads = heads
        self.width = width
        self.context = context
        self.dropout = dropout
        self.bias = bias
    }

    /// The config.json of such a model, for `LanguageModelCatalog.make`.
    public func config(vocabularyCount: Int) -> JSON {
        [
            "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": JSON(vocabularyCount),
            "n_positions": JSON(context), "n_embd": JSON(width), "n_layer": JSON(layers), "n_head": JSON(heads),
            "activation_function": "gelu", "layer_norm_epsilon": 1e-5, "embd_pdrop": .double(dropout),
            "resid_pdrop": .double(dropout), "attn_pdrop": .double(dropout), "initializer_range": 0.02,
            "tie_word_embeddings": true, "bias": .bool(bias),
        ]
    }
}

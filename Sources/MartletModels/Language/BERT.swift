import MartletNN
import MartletTensor
import MartletWire

// N tokens of all texts side by side, R texts, D width, H heads, K head size

/// BERT (Devlin and others, 2019) and RoBERTa (Liu and others, 2019): encoders for embeddings, classes and answers.
enum BERT {
    struct Config {
        var width: Int
        var layerCount: Int
        var headCount: Int
        var inner: Int
        var vocabularyCount: Int
        var positionCount: Int
        /// Before the first position: RoBERTa counts from after its padding token.
        var firstPosition: Int
        var typeCount: Int
        var epsilon: Double
        var activation: Activation
        var dropout: Double
        var attentionDropout: Double
        var std: Double

        init(_ config: ModelConfig, isRoberta: Bool) throws {
            try config.refuse("position_embedding_type", unless: "absolute")
            try config.refuse("is_decoder", unless: false)
            width = try config.size("hidden_size", 768)
            layerCount = try config.layers("num_hidden_layers", 12)
            headCount = try config.size("num_attention_heads", 12)
            guard width % headCount == 0 else {
                throw MartletError(
                    .invalidData, "the \(headCount) heads of config.json do not divide its width \(width) evenly")
            }
            inner = try config.size("intermediate_size", 3072)
            vocabularyCount = try config.size("vocab_size", 30_522)
            positionCount = try config.size("max_position_embeddings", 512)
            let padding = isRoberta ? config.value("pad_token_id")?.int ?? 1 : -1
            let (first, isOverflow) = padding.addingReportingOverflow(1)
            firstPosition = first
            guard !isOverflow, first >= 0, first < positionCount else {
                throw MartletError(.invalidData, "'pad_token_id' of config.json leaves none of \(positionCount) places")
            }
            typeCount = try config.size("type_vocab_size", 2)
            epsilon = try config.epsilon("layer_norm_eps", 1e-12)
            activation = try config.activation("hidden_act", "gelu")
            dropout = try config.probability("hidden_dropout_prob", 0.1)
            attentionDropout = try config.probability("attention_probs_dropout_prob", 0.1)
            std = try config.initializerRange()
        }
    }

    final class Embeddings: Module {
        let word_embeddings: Embedding
        let position_embeddings: Embedding
        let token_type_embeddings: Embedding
        let LayerNorm: LayerNorm
        private let firstPosition: Int
        private let dropout: Double

        init(_ config: Config) throws {
            word_embeddings = try Embedding(config.vocabularyCount, config.width, std: config.std)
            position_embeddings = try Embedding(config.positionCount, config.width, std: config.std)
            token_type_embeddings = try Embedding(config.typeCount, config.width, std: config.std)
            LayerNorm = try MartletNN.LayerNorm(config.width, epsilon: config.epsilon)
            firstPosition = config.firstPosition
            dropout = config.dropout
        }

        func callAsFunction(
            _ tokens: Tensor, _ types: Tensor?, _ positions: Tensor, _ forward: Forward
        ) throws -> Tensor {
            let places = try firstPosition == 0 ? positions : positions.add(Double(firstPosition)).to(.int64)
            let types = try types ?? tokens.zerosLike()
            let x = try word_embeddings(tokens, forward).add(token_type_embeddings(types, forward))
                .add(position_embeddings(places, forward))
            return try forward.dropout(LayerNorm(x, forward), dropout)
        }
    }

    /// A linear layer whose result is added to another input and normalized.
    final class Output: Module {
        let dense: Linear
        let LayerNorm: LayerNorm
        let group: LinearGroup
        private let dropout: Double

        init(_ inputs: Int, _ config: Config) throws {
            dense = try Linear(inputs, config.width, bias: true, std: config.std)
            LayerNorm = try MartletNN.LayerNorm(config.width, epsilon: config.epsilon)
            group = LinearGroup(dense)
            dropout = config.dropout
        }

        func callAsFunction(_ x: Tensor, adding rest: Tensor, _ forward: Forward) throws -> Tensor {
            try LayerNorm(forward.dropout(group(x, forward)[0], dropout).add(rest), forward)
        }
    }

    final class SelfAttention: Module {
        let query: Linear
        let key: Linear
        let value: Linear
        let group: LinearGroup
        private let layer: Int
        private let headSize: Int

        init(_ config: Config, layer: Int) throws {
            let make = { try Linear(config.width, config.width, bias: true, std: config.std) }
            query = try make()
            key = try make()
            value = try make()
            group = LinearGroup(query, key, value)
            self.layer = layer
            headSize = config.width / config.headCount
        }

        func callAsFunction(_ x: Tensor, _ attention: any TokenAttention, _ forward: Forward) throws -> Tensor {
            let qkv = try group(x, forward).map { try $0.reshape([$0.size(0), -1, headSize]) }
            return try attention.attend(layer: layer, qkv[0], qkv[1], qkv[2], AttentionOptions()).flatten()
        }
    }

    final class AttentionPart: Module {
        let attention: SelfAttention
        let output: Output

        init(_ config: Config, layer: Int) throws {
            attention = try SelfAttention(config, layer: layer)
            output = try Output(config.width, config)
        }

        var renames: [String: String] { ["attention": "self"] }
    }

    final class Intermediate: Module {
        let dense: Linear
        let group: LinearGroup

        init(_ config: Config) throws {
            dense = try Linear(config.width, config.inner, bias: true, std: config.std)
            group = LinearGroup(dense)
        }
    }

    final class Layer: Module {
        let attention: AttentionPart
        let intermediate: Intermediate
        let output: Output
        private let activation: Activation

        init(_ config: Config, layer: Int) throws {
            attention = try AttentionPart(config, layer: layer)
            intermediate = try Intermediate(config)
            output = try Output(config.inner, config)
            activation = config.activation
        }

        var linearGroups: [LinearGroup] {
            [attention.attention.group, attention.output.group, intermediate.group, output.group]
        }

        func callAsFunction(_ x: Tensor, _ tokens: any TokenAttention, _ forward: Forward) throws -> Tensor {
            let x = try attention.output(attention.attention(x, tokens, forward), adding: x, forward)
            return try output(activation(intermediate.group(x, forward)[0]), adding: x, forward)
        }
    }

    final class Encoder: Module {
        let layer: [Layer]
        init(_ config: Config) throws { layer = try (0..<config.layerCount).map { try Layer(config, layer: $0) } }
    }

    final class Pooler: Module {
        let dense: Linear
        init(_ config: Config) throws { dense = try Linear(config.width, config.width, bias: true, std: config.std) }
    }

    final class Body: Module {
        let embeddings: Embeddings
        let encoder: Encoder
        let pooler: Pooler?

        init(_ config: Config, hasPooler: Bool) throws {
            embeddings = try Embeddings(config)
            encoder = try Encoder(config)
            pooler = hasPooler ? try Pooler(config) : nil
        }
    }
}

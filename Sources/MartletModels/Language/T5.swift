import Foundation
import MartletNN
import MartletTensor
import MartletWire

// R texts, T tokens of the answer, S tokens of the source, D width, H heads, K head size

/// T5 (Raffel and others, 2020) and its successors: an encoder of the source and a decoder of the answer, with biases
/// by distance in place of positions.
public final class T5: Module {
    /// Of the decoder; its context is the most tokens of a source, and of an answer.
    public let geometry: LanguageGeometry
    public var width: Int { geometry.width }
    public var vocabularyCount: Int { geometry.vocabularyCount }
    /// The token that an answer starts from.
    public let startToken: Int
    let shared: Embedding
    let encoder: Stack
    let decoder: Stack
    let lm_head: Linear
    private let head: LinearGroup
    private let isScaled: Bool

    /// The most tokens of a source or an answer, whatever a config says: what the encoder keeps for its distances grows
    /// with the square of that.
    public static let lengthLimit = 2_048

    struct Config {
        var width: Int
        var headSize: Int
        var headCount: Int
        var inner: Int
        var encoderCount: Int
        var decoderCount: Int
        var vocabularyCount: Int
        var bucketCount: Int
        var maxDistance: Int
        var epsilon: Double
        var dropout: Double
        var activation: Activation
        var isGated: Bool
        /// Whether each block has biases by distance of its own, and not only the first.
        var biasesEachBlock: Bool
        var isTied: Bool
        /// Whether hidden states are divided by √D before the output layer.
        var isScaled: Bool
        var startToken: Int
        var length: Int
        var std: Double
    }

    /// Whether a config is that of such a model.
    public static func has(_ config: JSON) -> Bool {
        (try? ModelConfig(config).architecture).flatMap { $0 }.map(architectures.contains) ?? false
    }

    /// The one whose blocks have their own biases by distance.
    private static let umt5 = "UMT5ForConditionalGeneration"

    /// The one whose hidden states are never scaled, whatever a config says.
    private static let mt5 = "MT5ForConditionalGeneration"

    private static let gatedGelu = "gated-gelu"

    /// The architectures' names; the last is an old one of the first.
    static let architectures = ["T5ForConditionalGeneration", mt5, umt5, "T5WithLMHeadModel"]

    /// Tokens that a model of a config's form is served with: those that it was trained for, since its distances have no
    /// end of their own.
    static func length(_ config: JSON) throws -> Int {
        try min(lengthLimit, ModelConfig(config).size("n_positions", 512))
    }

    /// A model of a config's form; its parameters are to be loaded or initialized.
    /// - Parameter hasHead: whether the output layer has a weight of its own, as the weights say; configs do not.
    public static func make(config json: JSON, hasHead: Bool) throws -> T5 {
        let config = try ModelConfig(json)
        let isFirst = ![mt5, umt5].contains(config.architecture)
        let kind = try config.text("feed_forward_proj") ?? (isFirst ? "relu" : gatedGelu)
        let isGated = kind.hasPrefix("gated-")
        let name = isGated ? String(kind.dropFirst("gated-".count)) : kind
        // The paper's gated form has the approximation, whatever the name says.
        guard let activation = kind == gatedGelu ? .geluTanh : ModelConfig.activation(name) else {
            throw config.unsupported("'feed_forward_proj': \"\(kind)\"")
        }
        let layers = try config.layers("num_layers", 6)
        let start = config.value("decoder_start_token_id")?.int ?? config.value("pad_token_id")?.int ?? 0
        let count = try config.size("vocab_size", 32_128)
        guard start >= 0, start < count else {
            throw MartletError(.invalidData, "'decoder_start_token_id' of config.json is \(start), none of \(count)")
        }
        let buckets = try config.size("relative_attention_num_buckets", 32)
        let distance = try config.size("relative_attention_max_distance", 128)
        guard buckets >= 4, distance > buckets / 2 else {
            throw config.unsupported("\(buckets) buckets for distances up to \(distance)")
        }
        return try T5(
            Config(
                width: config.size("d_model", 512), headSize: config.size("d_kv", 64),
                headCount: config.size("num_heads", 8), inner: config.size("d_ff", 2048), encoderCount: layers,
                decoderCount: config.layers("num_decoder_layers", layers), vocabularyCount: count,
                bucketCount: buckets, maxDistance: distance, epsilon: config.epsilon("layer_norm_epsilon", 1e-6),
                dropout: config.probability("dropout_rate", 0.1), activation: activation, isGated: isGated,
                biasesEachBlock: config.architecture == umt5, isTied: !hasHead,
                isScaled: isScaled(config),
                startToken: start, length: length(json),
                std: config.number("initializer_factor", 1) * 0.05))
    }

    /// The first model alone has a key for it; others go by their embedding.
    private static func isScaled(_ config: ModelConfig) throws -> Bool {
        let isTied = try config.flag("tie_word_embeddings", true)
        return switch config.architecture {
        case mt5: false
        case umt5: isTied
        default: try config.flag("scale_decoder_outputs", isTied)
        }
    }

    init(_ config: Config) throws {
        geometry = LanguageGeometry(
            layerCount: config.decoderCount, headCount: config.headCount, keyValueHeadCount: config.headCount,
            headSize: config.headSize, width: config.width, vocabularyCount: config.vocabularyCount,
            contextLength: config.length)
        startToken = config.startToken
        isScaled = config.isScaled
        shared = try Embedding(config.vocabularyCount, config.width, std: config.std)
        encoder = try Stack(config, count: config.encoderCount, isDecoder: false)
        decoder = try Stack(config, count: config.decoderCount, isDecoder: true)
        lm_head =
            config.isTied
            ? Linear(sharing: shared.weight)
            : try Linear(config.width, config.vocabularyCount, bias: false, std: config.std)
        head = LinearGroup(lm_head)
    }

    /// The embedding's other names, and biases by distance that the first models have and nobody reads.
    public var checkpoint: CheckpointMap {
        CheckpointMap(isIgnored: {
            $0 == "encoder.embed_tokens.weight" || $0 == "decoder.embed_tokens.weight"
                || $0 == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        })
    }

    /// Groups of linear layers in the order of use, for serving to pack.
    public var linearGroups: [LinearGroup] {
        (encoder.block + decoder.block).flatMap { block in block.layer.flatMap(\.linearGroups) } + [head]
    }

    /// Sources [R, S] int64 → their hidden states [R, S, D].
    /// - Parameter mask: [R, S] of booleans, which tokens are real; nil is all.
    public func encode(
        _ tokens: Tensor, mask: Tensor? = nil, betweenLayers: () -> Void = {}, _ forward: Forward
    ) throws -> Tensor {
        try encoder(shared(tokens, forward), nil, mask, betweenLayers: betweenLayers, forward)
    }

    /// Answers [R, T] int64, each starting with `startToken`, → scores of what comes after each token, [R, T, V].
    public func decode(
        _ tokens: Tensor, memory: Tensor, memoryMask: Tensor? = nil, _ forward: Forward
    ) throws -> Tensor {
        try logits(decoder(shared(tokens, forward), memory, memoryMask, forward), forward)
    }

    /// The decoder's hidden states [.., D] → scores [.., V].
    public func logits(_ hidden: Tensor, _ forward: Forward) throws -> Tensor {
        try head(isScaled ? hidden.mul(1 / Double(width).squareRoot()) : hidden, forward)[0]
    }

    final class Stack: Module {
        let block: [Block]
        let final_layer_norm: RMSNorm
        private let isDecoder: Bool
        private let dropout: Double

        init(_ config: Config, count: Int, isDecoder: Bool) throws {
            block = try (0..<count).map {
                try Block(config, hasBias: $0 == 0 || config.biasesEachBlock, isDecoder: isDecoder)
            }
            final_layer_norm = try RMSNorm(config.width, epsilon: config.epsilon)
            self.isDecoder = isDecoder
            dropout = config.dropout
        }

        /// - Parameter mask: of the keys that the encoder attends to, or of the decoder's memory.
        func callAsFunction(
            _ x: Tensor, _ memory: Tensor?, _ mask: Tensor?, betweenLayers: () -> Void = {}, _ forward: Forward
        ) throws -> Tensor {
            let length = x.size(1)
            let allowed = try mask.map { try $0.reshape([$0.size(0), 1, 1, $0.size(1)]).logicalNot() }
            let hidden =
                try isDecoder ? Attention.causalMask(length, length, x.device).logicalNot() : allowed
            var bias: Tensor?
            let cross =
                try isDecoder
                ? allowed.map { try Tensor.zeros($0.shape, device: x.device).maskedFill($0, -.infinity) } : nil
            var x = try forward.dropout(x, dropout)
            for block in block {
                betweenLayers()
                if let own = try block.bias(0..<length, keys: length, x.device) {
                    bias = try hidden.map { try own.maskedFill($0, -.infinity) } ?? own
                }
                x = try block(x, bias, memory, cross, forward)
            }
            return try forward.dropout(final_layer_norm(x, forward), dropout)
        }
    }
}

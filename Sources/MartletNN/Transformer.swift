import MartletTensor
import MartletWire

/// What the blocks of a Transformer share.
public struct TransformerConfig: Codable, Sendable, Equatable {
    /// The model's width E.
    public var width: Int
    public var headCount: Int
    /// The width between the two linear layers of a block.
    public var feedforward: Int = 2048
    public var dropout: Double = 0.1
    public var activation: Activation = .relu
    /// Normalize before each part (true) or after its sum (false, as in the first paper).
    public var normFirst: Bool = false
    public var normEpsilon: Double = 1e-5

    public init(
        width: Int, headCount: Int, feedforward: Int = 2048, dropout: Double = 0.1, activation: Activation = .relu,
        normFirst: Bool = false
    ) {
        self.width = width
        self.headCount = headCount
        self.feedforward = feedforward
        self.dropout = dropout
        self.activation = activation
        self.normFirst = normFirst
    }

    enum CodingKeys: String, CodingKey {
        case width, headCount = "heads", feedforward, dropout, activation, normFirst = "norm_first"
        case normEpsilon = "norm_epsilon"
    }
}

/// Self-attention and two linear layers, each with a sum and a norm: [B, T, E] → [B, T, E]. Names and formulas are
/// those of PyTorch's `nn.TransformerEncoderLayer`.
public final class TransformerEncoderLayer: Layer {
    public let self_attn: MultiheadAttention
    public let linear1: Linear
    public let linear2: Linear
    public let norm1: LayerNorm
    public let norm2: LayerNorm
    private let config: TransformerConfig

    public init(_ config: TransformerConfig) throws {
        self_attn = try MultiheadAttention(config.width, heads: config.headCount, dropout: config.dropout)
        linear1 = try Linear(config.width, config.feedforward)
        linear2 = try Linear(config.feedforward, config.width)
        norm1 = try LayerNorm(config.width, epsilon: config.normEpsilon)
        norm2 = try LayerNorm(config.width, epsilon: config.normEpsilon)
        self.config = config
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try callAsFunction(x, mask: nil, forward)
    }

    /// Masks are as in `MultiheadAttention`.
    public func callAsFunction(
        _ x: Tensor, mask: Tensor? = nil, keyMask: Tensor? = nil, causal: Bool = false, _ forward: Forward
    ) throws -> Tensor {
        let x = try config.residual(x, norm1, forward) {
            try self_attn($0, mask: mask, keyMask: keyMask, causal: causal, forward)
        }
        return try config.residual(x, norm2, forward) {
            try config.feedforward($0, linear1, linear2, forward)
        }
    }
}

/// Self-attention, attention to an encoder's output, and two linear layers: [B, T, E] with [B, S, E] → [B, T, E].
/// Names and formulas are those of PyTorch's `nn.TransformerDecoderLayer`.
public final class TransformerDecoderLayer: Module {
    public let self_attn: MultiheadAttention
    public let multihead_attn: MultiheadAttention
    public let linear1: Linear
    public let linear2: Linear
    public let norm1: LayerNorm
    public let norm2: LayerNorm
    public let norm3: LayerNorm
    private let config: TransformerConfig

    public init(_ config: TransformerConfig) throws {
        self_attn = try MultiheadAttention(config.width, heads: config.headCount, dropout: config.dropout)
        multihead_attn = try MultiheadAttention(config.width, heads: config.headCount, dropout: config.dropout)
        linear1 = try Linear(config.width, config.feedforward)
        linear2 = try Linear(config.feedforward, config.width)
        norm1 = try LayerNorm(config.width, epsilon: config.normEpsilon)
        norm2 = try LayerNorm(config.width, epsilon: config.normEpsilon)
        norm3 = try LayerNorm(config.width, epsilon: config.normEpsilon)
        self.config = config
    }

    /// - Parameters:
    ///   - keyMask: [B, T], which of the decoder's own places are real.
    ///   - memoryMask: [B, S], which of the encoder's places are real.
    ///   - causal: whether a place sees only those before it and itself.
    public func callAsFunction(
        _ x: Tensor, memory: Tensor, keyMask: Tensor? = nil, memoryMask: Tensor? = nil, causal: Bool = true,
        _ forward: Forward
    ) throws -> Tensor {
        var x = try config.residual(x, norm1, forward) {
            try self_attn($0, keyMask: keyMask, causal: causal, forward)
        }
        x = try config.residual(x, norm2, forward) {
            try multihead_attn($0, memory: memory, keyMask: memoryMask, forward)
        }
        return try config.residual(x, norm3, forward) {
            try config.feedforward($0, linear1, linear2, forward)
        }
    }
}

/// Encoder layers one after another, with a last norm where the layers normalize first.
public final class TransformerEncoder: Layer {
    public let layers: [TransformerEncoderLayer]
    public let norm: LayerNorm?

    public init(_ config: TransformerConfig, layerCount: Int) throws {
        layers = try (0..<layerCount).map { _ in try TransformerEncoderLayer(config) }
        norm = config.normFirst ? try LayerNorm(config.width, epsilon: config.normEpsilon) : nil
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try callAsFunction(x, mask: nil, forward)
    }

    /// Masks are as in `MultiheadAttention`.
    public func callAsFunction(
        _ x: Tensor, mask: Tensor? = nil, keyMask: Tensor? = nil, causal: Bool = false, _ forward: Forward
    ) throws -> Tensor {
        var x = x
        for layer in layers { x = try layer(x, mask: mask, keyMask: keyMask, causal: causal, forward) }
        return try norm.map { try $0(x, forward) } ?? x
    }
}

extension TransformerConfig {
    /// x + part(norm(x)), or norm(x + part(x)).
    fileprivate func residual(
        _ x: Tensor, _ norm: LayerNorm, _ forward: Forward, _ part: (Tensor) throws -> Tensor
    ) throws -> Tensor {
        if normFirst { return try x.add(forward.dropout(part(norm(x, forward)), dropout)) }
        return try norm(x.add(forward.dropout(part(x), dropout)), forward)
    }

    fileprivate func feedforward(
        _ x: Tensor, _ linear1: Linear, _ linear2: Linear, _ forward: Forward
    ) throws -> Tensor {
        try linear2(forward.dropout(linear1(x, then: activation, forward), dropout), forward)
    }
}

import MartletTensor

// N tokens of all sequences side by side, H heads, G heads of keys and values, K head size

/// What a layer's attention does beside the plain formula.
public struct AttentionOptions: Sendable, Equatable {
    /// 1/√K where it is nil.
    public var scale: Double?
    /// A token sees itself and the `window - 1` before it; nil is all before it.
    public var window: Int?
    /// `cap · tanh(scores / cap)` before the softmax (Gemma 2).
    public var softcap: Double?
    public init(scale: Double? = nil, window: Int? = nil, softcap: Double? = nil) {
        self.scale = scale
        self.window = window
        self.softcap = softcap
    }
}

/// How the tokens of one pass see each other and what came before them.
///
/// A model is written once against this: training gives whole sequences, serving a paged cache, and both run the same
/// layers.
public protocol TokenAttention: AnyObject {
    /// [N] int64: each token's place in its sequence.
    var positions: Tensor { get }

    /// Causal attention of layer `layer`; where there is a cache, these keys and values join it first.
    /// - Parameters:
    ///   - q: [N, H, K].
    ///   - k: [N, G, K], H a multiple of G, already rotated; `v` is the same shape.
    /// - Returns: [N, H, K].
    func attend(layer: Int, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ options: AttentionOptions) throws -> Tensor

    /// The same where one product gave them side by side.
    /// - Parameters:
    ///   - qkv: [N, H + 2·G, K]; its numbers may be written over.
    ///   - angles: what queries and keys are turned by first; nil is not at all.
    func attend(
        layer: Int, joined qkv: Tensor, groups: Int, rotatedBy angles: RotaryAngles?, _ options: AttentionOptions
    ) throws -> Tensor
}

extension TokenAttention {
    public func attend(
        layer: Int, joined qkv: Tensor, groups: Int, rotatedBy angles: RotaryAngles?, _ options: AttentionOptions
    ) throws -> Tensor {
        try attend(layer: layer, parts: qkv, groups: groups, rotatedBy: angles, options)
    }

    /// As three tensors.
    public func attend(
        layer: Int, parts qkv: Tensor, groups: Int, rotatedBy angles: RotaryAngles?, _ options: AttentionOptions
    ) throws -> Tensor {
        let parts = try qkv.split([qkv.size(1) - 2 * groups, groups, groups], axis: 1)
        return try attend(
            layer: layer, angles?(parts[0]) ?? parts[0], angles?(parts[1]) ?? parts[1], parts[2], options)
    }
}

import MartletTensor

extension Op {
    static let scaledDotProductAttention = Op("aten::scaled_dot_product_attention")
}

// B rows, T queries, S keys, E width, H heads, K head size

/// softmax(q·kᵀ/√K + mask)·v (Vaswani and others, 2017).
public enum Attention {
    /// - Parameters:
    ///   - q: [B, H, T, K]; keys and values are [B, H, S, K].
    ///   - mask: broadcast to [B, H, T, S]; booleans say which keys a query may see, numbers are added to the scores.
    ///   - causal: a query sees keys up to its own place only.
    ///   - scale: 1/√K where it is nil.
    public static func scaledDotProduct(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, mask: Tensor? = nil, causal: Bool = false, scale: Double? = nil,
        dropout: Double = 0, _ forward: Forward
    ) throws -> Tensor {
        var mask = mask
        if causal, let given = mask {
            mask = try merged(given, causalMask(q.size(-2), k.size(-2), q.device))
        }
        guard forward.training, dropout > 0 else {
            return try Op.scaledDotProductAttention.tensor(
                .tensor(q), .tensor(k), .tensor(v), .optional(mask), 0.0, .bool(causal && mask == nil),
                scale.map(Value.double) ?? .none)
        }
        // libtorch's own operator would draw its dropout from the global generator.
        if causal, mask == nil { mask = try causalMask(q.size(-2), k.size(-2), q.device) }
        var scores = try q.mul(scale ?? 1 / Double(q.size(-1)).squareRoot()).matmul(k.transpose())
        if let mask {
            scores =
                mask.scalarType == .bool
                ? try scores.maskedFill(mask.logicalNot(), -.infinity) : try scores.add(mask)
        }
        return try forward.dropout(scores.softmax(), dropout).matmul(v)
    }

    /// [T, S] with true where key s ≤ query t.
    public static func causalMask(_ queries: Int, _ keys: Int, _ device: Device = .cpu) throws -> Tensor {
        try Tensor.ones([queries, keys], type: .bool, device: device).tril()
    }

    /// What both masks allow.
    static func merged(_ mask: Tensor, _ allowed: Tensor) throws -> Tensor {
        mask.scalarType == .bool
            ? try mask.logicalAnd(allowed) : try mask.maskedFill(allowed.logicalNot(), -.infinity)
    }
}

/// Attention in several heads, with PyTorch's parameter names and first values: `in_proj_weight` [3E, E],
/// `in_proj_bias` [3E], `out_proj.weight`, `out_proj.bias`.
public final class MultiheadAttention: Module {
    public let in_proj_weight: Parameter
    public let in_proj_bias: Parameter?
    public let out_proj: OutputProjection
    private let width: Int
    private let heads: Int
    private let dropout: Double

    public init(_ width: Int, heads: Int, dropout: Double = 0, bias: Bool = true) throws {
        guard heads > 0, width > 0, width % heads == 0 else {
            throw TensorError(.value, "\(heads) heads do not divide the width \(width) evenly")
        }
        self.width = width
        self.heads = heads
        self.dropout = dropout
        // Glorot's uniform bound for a matrix of [3E, E].
        in_proj_weight = try Parameter([3 * width, width], .weight, .uniform((6 / Double(4 * width)).squareRoot()))
        in_proj_bias = bias ? try Parameter([3 * width], .bias, .zeros) : nil
        out_proj = try OutputProjection(width, bias: bias)
    }

    /// The projection after the heads: a linear layer whose bias starts at zero.
    public final class OutputProjection: Layer {
        public let weight: Parameter
        public let bias: Parameter?

        init(_ width: Int, bias: Bool) throws {
            weight = try Parameter([width, width], .weight, Bound.fan(width))
            self.bias = bias ? try Parameter([width], .bias, .zeros) : nil
        }

        public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
            try x.linear(weight.value, bias?.value)
        }
    }

    /// [B, T, E] attending to itself.
    public func callAsFunction(
        _ x: Tensor, mask: Tensor? = nil, keyMask: Tensor? = nil, causal: Bool = false, _ forward: Forward
    ) throws -> Tensor {
        let parts = try x.linear(in_proj_weight.value, in_proj_bias?.value).chunk(3, axis: -1)
        return try attend(parts[0], parts[1], parts[2], mask, keyMask, causal, forward)
    }

    /// [B, T, E] attending to [B, S, E].
    /// - Parameters:
    ///   - mask: as in `Attention.scaledDotProduct`.
    ///   - keyMask: [B, S] of booleans, which keys are real; a row must have at least one.
    public func callAsFunction(
        _ query: Tensor, memory: Tensor, mask: Tensor? = nil, keyMask: Tensor? = nil, causal: Bool = false,
        _ forward: Forward
    ) throws -> Tensor {
        let weight = in_proj_weight.value
        let bias = in_proj_bias?.value
        let q = try query.linear(
            weight.narrow(0, from: 0, length: width), bias?.narrow(0, from: 0, length: width))
        let parts = try memory.linear(
            weight.narrow(0, from: width, length: 2 * width), bias?.narrow(0, from: width, length: 2 * width)
        ).chunk(2, axis: -1)
        return try attend(q, parts[0], parts[1], mask, keyMask, causal, forward)
    }

    private func attend(
        _ q_BTE: Tensor, _ k_BSE: Tensor, _ v_BSE: Tensor, _ mask: Tensor?, _ keyMask: Tensor?, _ causal: Bool,
        _ forward: Forward
    ) throws -> Tensor {
        guard q_BTE.rank == 3 else {
            throw TensorError(.value, "attention takes [rows, places, width], not the shape \(q_BTE.shape)")
        }
        var mask = mask
        if let keyMask {
            let allowed = try keyMask.reshape([keyMask.size(0), 1, 1, keyMask.size(1)])
            mask = try mask.map { try Attention.merged($0, allowed) } ?? allowed
        }
        let split = { [heads] (x: Tensor) in
            try x.reshape([x.size(0), x.size(1), heads, -1]).transpose(1, 2)
        }
        let y_BHTK = try Attention.scaledDotProduct(
            split(q_BTE), split(k_BSE), split(v_BSE), mask: mask, causal: causal, dropout: dropout, forward)
        return try out_proj(y_BHTK.transpose(1, 2).reshape(q_BTE.shape), forward)
    }
}

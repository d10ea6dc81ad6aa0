import MartletTensor
import MartletWire

extension Op {
    /// Small products of float32 on the CPU with what stands around them, and their gradient.
    static let dense = Op("martlet::dense")
}

extension Linear {
    /// `act(norm(x)·Wᵀ + b) + residual`: [.., in] → [.., out]. While training it is one operator where that is faster
    /// than libtorch's own one after another; it has no gradient of its gradient.
    public func callAsFunction(
        _ x: Tensor, after norm: LayerNorm? = nil, then activation: Activation = .none, adding residual: Tensor? = nil,
        _ forward: Forward
    ) throws -> Tensor {
        if forward.training, let kind = activation.denseKind, suitsDense(x, norms: norm != nil) {
            return try Op.dense.tensor(
                .tensor(x), .tensor(weight.value), .optional(bias?.value), .optional(norm?.weight.value),
                .optional(norm?.bias?.value), .optional(residual), .double(norm?.epsilon ?? 0), .int(kind))
        }
        let rows = try norm.map { try $0(x, forward) } ?? x
        var y = try rows.linear(weight.value, bias?.value)
        if activation != .none { y = try activation(y) }
        return try residual.map { try $0.add(y) } ?? y
    }

    /// Beyond this, libtorch's products take what their own operators cost.
    private func suitsDense(_ x: Tensor, norms: Bool) -> Bool {
        let weight = weight.value
        guard x.scalarType == .float32, weight.scalarType == .float32, x.device == .cpu else { return false }
        let (count, inputs) = (weight.count, weight.size(1))
        // With few rows these are laid out for the product instead of the weight, which a norm is not made for.
        return count <= 16_384 || (count <= 1 << 20 && inputs <= 2_048 && x.count >= (norms ? 128 : 16) * inputs)
    }
}

extension LinearGroup {
    /// What a single layer gives with its surroundings, as `Linear` does; in another format, one after another.
    public func callAsFunction(
        _ x: Tensor, after norm: LayerNorm?, then activation: Activation = .none, adding residual: Tensor? = nil,
        dropout: Double = 0, _ forward: Forward
    ) throws -> Tensor {
        let drops = forward.training && dropout > 0
        if packed == nil, layers.count == 1, !drops {
            return try layers[0](x, after: norm, then: activation, adding: residual, forward)
        }
        if let packed, let residual, activation == .none, !drops {
            return try packed(norm.map { try $0(x, forward) } ?? x, adding: residual)
        }
        var y = try self(norm.map { try $0(x, forward) } ?? x, forward)[0]
        if activation != .none { y = try activation(y) }
        y = try forward.dropout(y, dropout)
        return try residual.map { try $0.add(y) } ?? y
    }
}

extension Activation {
    /// Its number in `martlet::dense`, nil where that has none.
    fileprivate var denseKind: Int? {
        switch self {
        case .none: 0
        case .relu: 1
        case .gelu: 2
        case .geluTanh: 3
        case .sigmoid, .tanh, .silu, .elu, .leakyRelu, .softplus, .softmax: nil
        }
    }
}

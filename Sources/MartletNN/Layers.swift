import MartletTensor
import MartletWire

extension Op {
    static let embedding = Op("aten::embedding")
}

/// A vector for each of `count` integers: [..] of int64 → [.., width]. Starts normally, with deviation 1 as
/// PyTorch's where none is given.
public final class Embedding: Layer {
    public let weight: Parameter
    private let padding: Int

    /// - Parameters:
    ///   - padding: an integer whose vector is zero and stays so.
    ///   - std: the deviation of the first values.
    public init(_ count: Int, _ width: Int, padding: Int? = nil, std: Double = 1) throws {
        guard padding.map({ $0 >= 0 && $0 < count }) ?? true else {
            throw TensorError(.value, "the padding \(padding ?? 0) is not one of \(count) rows")
        }
        self.padding = padding ?? -1
        weight = try Parameter(
            [count, width], .weight, padding.map { .normalExceptRow(std, index: $0) } ?? .normal(std))
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try Op.embedding.tensor(.tensor(weight.value), .tensor(x), .int(padding))
    }
}

/// Drops elements with probability `p` while training and scales the others by 1/(1-p) (Srivastava and others, 2014).
public final class Dropout: Layer {
    private let p: Double

    public init(_ p: Double) throws {
        guard p >= 0, p <= 1 else {
            throw TensorError(.value, "the probability of dropout is \(p); it must be from 0 to 1")
        }
        self.p = p
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor { try forward.dropout(x, p) }
}

extension Activation {
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        switch self {
        case .none: x
        case .relu: try x.relu()
        case .gelu: try x.gelu()
        case .geluTanh: try x.gelu(approximate: true)
        case .sigmoid: try x.sigmoid()
        case .tanh: try x.tanh()
        case .silu: try x.silu()
        case .elu: try x.elu()
        case .leakyRelu: try x.leakyRelu()
        case .softplus: try x.softplus()
        case .softmax: try x.softmax()
        }
    }

    /// Whether a larger input never gives a smaller result, so that taking a maximum before or after is the same.
    public var isMonotonic: Bool {
        switch self {
        case .none, .relu, .sigmoid, .tanh, .elu, .leakyRelu, .softplus: true
        case .gelu, .geluTanh, .silu, .softmax: false
        }
    }
}

/// An activation as a layer.
public final class ActivationLayer: Layer {
    public let activation: Activation

    public init(_ activation: Activation) { self.activation = activation }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor { try activation(x) }
}

/// Layers one after another; their names are their numbers, as in PyTorch's `nn.Sequential`.
public final class Sequential: Layer {
    public let layers: [any Layer]

    public init(_ layers: [any Layer]) { self.layers = layers }

    public var renames: [String: String] { ["layers": ""] }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        var x = x
        for layer in layers { x = try layer(x, forward) }
        return x
    }
}

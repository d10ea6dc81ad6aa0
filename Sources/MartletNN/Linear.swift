import MartletTensor

/// `y = x·Wᵀ + b`: [.., in] → [.., out].
///
/// `weight` [out, in] and `bias` [out] start evenly within ±1/√in, as PyTorch's `nn.Linear`.
public final class Linear: Layer {
    public let weight: Parameter
    public let bias: Parameter?

    public init(_ inputs: Int, _ outputs: Int, bias: Bool = true) throws {
        let bound = Bound.fan(inputs)
        weight = try Parameter([outputs, inputs], .weight, bound)
        self.bias = bias ? try Parameter([outputs], .bias, bound) : nil
    }

    /// A layer whose weight starts normally with deviation `std` and whose bias at zero, as language models do.
    public init(_ inputs: Int, _ outputs: Int, bias: Bool, std: Double) throws {
        weight = try Parameter([outputs, inputs], .weight, .normal(std))
        self.bias = bias ? try Parameter([outputs], .bias, .zeros) : nil
    }

    /// A layer whose weight is another module's too, such as an output tied to the embedding.
    public init(sharing weight: Parameter) {
        self.weight = weight
        bias = nil
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try self(x, after: nil, forward)
    }
}

enum Bound {
    /// Kaiming's uniform initialization with a = √5, as PyTorch's layers use it, is evenly within ±1/√fan.
    static func fan(_ fan: Int) -> Initialization {
        fan > 0 ? .uniform(1 / Double(fan).squareRoot()) : .zeros
    }
}

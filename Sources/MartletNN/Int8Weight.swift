import MartletTensor

extension Op {
    static let int8Linear = Op("martlet::int8_linear")
}

/// A weight in 8 bits with one scale a row, `W ≈ q·s` with `s = max|row|/127`: a quarter of float32's memory.
///
/// The gradient of its input passes through; the weight itself has none. The largest error of a weight is half its row's
/// scale.
public struct Int8Weight: LinearWeight {
    private let weight: Tensor
    private let scale: Tensor
    private let bias: Tensor?

    /// - Parameters:
    ///   - weight: [out, in], rounded; it is not kept.
    ///   - bias: [out].
    /// - Throws: `TensorError` where a number is not finite.
    public init(_ weight: Tensor, bias: Tensor?) throws {
        let weight = try weight.detach().to(.float32)
        let largest = try weight.abs().max([1])
        guard try largest.isfinite().all().item() != 0 else {
            throw TensorError(.value, "a weight that is not finite cannot be put into 8 bits")
        }
        // A row of zeros has no scale of its own.
        scale = try largest.div(127).maximum(Tensor(scalar: Float.leastNormalMagnitude))
        self.weight = try weight.div(scale.unsqueeze(1)).round().clamp(min: -127, max: 127).to(.int8)
        self.bias = try bias?.detach()
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        let y = try Op.int8Linear.tensor(.tensor(x), .tensor(weight), .tensor(scale))
        return try bias.map { try y.add($0) } ?? y
    }
}

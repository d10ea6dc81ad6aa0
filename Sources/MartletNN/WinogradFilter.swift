import MartletTensor

extension Op {
    static let winogradWeight = Op("martlet::winograd_weight")
    static let winogradConv2d = Op("martlet::winograd_conv2d")
}

/// The 3×3 filters of a convolution of stride 1, transformed for Winograd's F(4×4, 3×3): a quarter of the
/// multiplications, for about ten times float32's rounding (Lavin and Gray, 2015). It has no gradient.
struct WinogradFilter {
    private let weight: Tensor
    private let bias: Tensor?
    private let padding: Int

    /// - Parameters:
    ///   - weight: [out, in, 3, 3] in float32, in host memory.
    ///   - padding: 0, 1 or 2.
    /// - Returns: nil where the channels do not fill the kernel's vectors: 8 inputs, 16 outputs or multiples of these.
    init?(_ weight: Tensor, _ bias: Tensor?, padding: Int) throws {
        guard weight.size(0) % 16 == 0, weight.size(1) % 8 == 0 else { return nil }
        self.weight = try Op.winogradWeight.tensor(.tensor(weight))
        self.bias = bias
        self.padding = padding
    }

    /// x [B, in, H, W] → [B, out, H', W'], channels last.
    func callAsFunction(_ x: Tensor) throws -> Tensor {
        try Op.winogradConv2d.tensor(.tensor(x), .tensor(weight), .optional(bias), .int(padding))
    }
}

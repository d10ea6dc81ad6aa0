import MartletTensor

extension Op {
    static let maxPool2d = Op("aten::max_pool2d")
    /// Our own, for windows side by side in host memory.
    static let fastMaxPool2d = Op("martlet::max_pool2d")
}

/// The largest of each window: [B, C, H, W] → [B, C, H', W'].
public final class MaxPool2d: Layer {
    private let kernel: Int
    private let stride: Int
    private let padding: Int

    /// The stride is the kernel's length where none is given.
    public init(_ kernel: Int, stride: Int? = nil, padding: Int = 0) {
        self.kernel = kernel
        self.stride = stride ?? kernel
        self.padding = padding
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        if stride == kernel, padding == 0, (1...15).contains(kernel), x.rank == 4, x.isContiguous, x.device == .cpu,
            x.scalarType == .float32 || x.scalarType == .float64
        {
            return try Op.fastMaxPool2d.tensor(.tensor(x), .int(kernel))
        }
        return try Op.maxPool2d.tensor(.tensor(x), .int(kernel), .int(stride), .int(padding))
    }
}

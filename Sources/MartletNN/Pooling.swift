import MartletTensor

extension Op {
    static let maxPool1d = Op("aten::max_pool1d")
    static let maxPool2d = Op("aten::max_pool2d")
    /// Our own, for windows side by side in host memory.
    static let fastMaxPool2d = Op("martlet::max_pool2d")
    static let avgPool2d = Op("aten::avg_pool2d")
    static let adaptiveAvgPool2d = Op("aten::adaptive_avg_pool2d")
}

/// The largest of each window: [B, C, L] → [B, C, L'].
public final class MaxPool1d: Layer {
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
        try Op.maxPool1d.tensor(.tensor(x), .int(kernel), .int(stride), .int(padding))
    }
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

/// The mean of each window: [B, C, H, W] → [B, C, H', W'].
public final class AvgPool2d: Layer {
    private let kernel: Int
    private let stride: Int
    private let padding: Int

    /// The stride is the kernel's length where none is given; padding counts as zeros in the mean.
    public init(_ kernel: Int, stride: Int? = nil, padding: Int = 0) {
        self.kernel = kernel
        self.stride = stride ?? kernel
        self.padding = padding
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try Op.avgPool2d.tensor(.tensor(x), .int(kernel), .int(stride), .int(padding))
    }
}

/// Means over as many windows as are wanted, whatever the input's size: [B, C, H, W] → [B, C, height, width].
public final class AdaptiveAvgPool2d: Layer {
    private let height: Int
    private let width: Int

    public init(_ height: Int, _ width: Int) {
        self.height = height
        self.width = width
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try Op.adaptiveAvgPool2d.tensor(.tensor(x), .ints([height, width]))
    }
}

/// One number a channel from all its places: [B, C, ..] → [B, C].
public final class GlobalPool: Layer {
    public enum Kind: String, Codable, Sendable { case mean, max }
    private let kind: Kind

    public init(_ kind: Kind = .mean) { self.kind = kind }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        guard x.rank > 2 else { return x }
        let axes = Array(2..<x.rank)
        return try kind == .mean ? x.mean(axes) : x.max(axes)
    }
}

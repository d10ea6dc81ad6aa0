import MartletTensor

extension Op {
    static let conv1d = Op("aten::conv1d")
    static let conv2d = Op("aten::conv2d")
}

/// A convolution over one dimension: [B, in, L] → [B, out, L'].
///
/// `weight` [out, in/groups, kernel] and `bias` [out] start as PyTorch's `nn.Conv1d`.
public final class Conv1d: Layer {
    public let weight: Parameter
    public let bias: Parameter?
    private let stride: Int
    private let padding: Int
    private let dilation: Int
    private let groups: Int

    public init(
        _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1, padding: Int = 0, dilation: Int = 1,
        groups: Int = 1, bias: Bool = true
    ) throws {
        try checkGroups(groups, inputs, outputs)
        let bound = Bound.fan(inputs / groups * kernel)
        weight = try Parameter([outputs, inputs / groups, kernel], .weight, bound)
        self.bias = bias ? try Parameter([outputs], .bias, bound) : nil
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try Op.conv1d.tensor(
            .tensor(x), .tensor(weight.value), .optional(bias?.value), .int(stride), .int(padding), .int(dilation),
            .int(groups))
    }
}

/// A convolution over two dimensions: [B, in, H, W] → [B, out, H', W'].
///
/// `weight` [out, in/groups, kernel, kernel] and `bias` [out] start as PyTorch's `nn.Conv2d`.
public final class Conv2d: Layer {
    public let weight: Parameter
    public let bias: Parameter?
    /// What computes it instead where serving has packed it.
    private var packed: WinogradFilter?
    private let stride: Int
    private let padding: Int
    private let dilation: Int
    private let groups: Int

    public init(
        _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1, padding: Int = 0, dilation: Int = 1,
        groups: Int = 1, bias: Bool = true
    ) throws {
        try checkGroups(groups, inputs, outputs)
        let bound = Bound.fan(inputs / groups * kernel * kernel)
        weight = try Parameter([outputs, inputs / groups, kernel, kernel], .weight, bound)
        self.bias = bias ? try Parameter([outputs], .bias, bound) : nil
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
    }

    /// Prepares the weights for inference on the CPU, where there is a faster form of them; training goes by the old.
    public func pack() throws {
        let isPlain = stride == 1 && dilation == 1 && groups == 1 && weight.value.shape[2...] == [3, 3]
        guard isPlain, padding <= 2, weight.value.device == .cpu, weight.value.scalarType == .float32 else { return }
        packed = try WinogradFilter(weight.value, bias?.value, padding: padding)
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        if let packed, !forward.training { return try packed(x) }
        return try Op.conv2d.tensor(
            .tensor(x), .tensor(weight.value), .optional(bias?.value), .int(stride), .int(padding), .int(dilation),
            .int(groups))
    }
}

private func checkGroups(_ groups: Int, _ inputs: Int, _ outputs: Int) throws {
    guard groups > 0, inputs % groups == 0, outputs % groups == 0 else {
        throw TensorError(
            .value, "\(groups) groups do not divide \(inputs) input and \(outputs) output channels evenly")
    }
}

import MartletTensor

extension Op {
    static let batchNorm = Op("aten::batch_norm")
    static let layerNorm = Op("aten::layer_norm")
    static let groupNorm = Op("aten::group_norm")
    static let rmsNorm = Op("aten::rms_norm")
}

/// `y = (x - mean)/√(var + ε)·w + b` for each channel, over rows and places: [B, C] or [B, C, ..].
///
/// While training the moments are the batch's, and running ones follow with `momentum`; else the running ones are
/// used (Ioffe and Szegedy, 2015). `BatchNorm1d` and `BatchNorm2d` differ in the inputs that they take.
public class BatchNorm: Layer {
    public let weight: Parameter
    public let bias: Parameter
    public let running_mean: Buffer
    public let running_var: Buffer
    public let num_batches_tracked: Buffer
    private let momentum: Double
    private let epsilon: Double
    private let ranks: ClosedRange<Int>

    fileprivate init(_ channels: Int, _ momentum: Double, _ epsilon: Double, ranks: ClosedRange<Int>) throws {
        weight = try Parameter([channels], .norm, .ones)
        bias = try Parameter([channels], .bias, .zeros)
        running_mean = Buffer(try Tensor.zeros([channels]))
        running_var = Buffer(try Tensor.ones([channels]))
        num_batches_tracked = Buffer(try Tensor.zeros([], type: .int64))
        self.momentum = momentum
        self.epsilon = epsilon
        self.ranks = ranks
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        guard ranks.contains(x.rank) else {
            throw TensorError(.value, "batch norm takes \(ranks) dimensions, not the shape \(x.shape)")
        }
        if forward.training { try num_batches_tracked.value.add_(Tensor.ones([], type: .int64)) }
        return try Op.batchNorm.tensor(
            .tensor(x), .tensor(weight.value), .tensor(bias.value), .tensor(running_mean.value),
            .tensor(running_var.value), .bool(forward.training), .double(momentum), .double(epsilon), true)
    }
}

/// Batch normalization of [B, C] or [B, C, L].
public final class BatchNorm1d: BatchNorm {
    public init(_ channels: Int, momentum: Double = 0.1, epsilon: Double = 1e-5) throws {
        try super.init(channels, momentum, epsilon, ranks: 2...3)
    }
}

/// Batch normalization of [B, C, H, W].
public final class BatchNorm2d: BatchNorm {
    public init(_ channels: Int, momentum: Double = 0.1, epsilon: Double = 1e-5) throws {
        try super.init(channels, momentum, epsilon, ranks: 4...4)
    }
}

/// `y = (x - mean)/√(var + ε)·w + b` over the last dimension (Ba, Kiros and Hinton, 2016).
public final class LayerNorm: Layer {
    public let weight: Parameter
    public let bias: Parameter?
    private let width: Int
    let epsilon: Double

    public init(_ width: Int, epsilon: Double = 1e-5, bias: Bool = true) throws {
        weight = try Parameter([width], .norm, .ones)
        self.bias = bias ? try Parameter([width], .bias, .zeros) : nil
        self.width = width
        self.epsilon = epsilon
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try Op.layerNorm.tensor(
            .tensor(x), .ints([width]), .tensor(weight.value), .optional(bias?.value), .double(epsilon))
    }
}

/// Normalization over groups of channels and their places: [B, C, ..] (Wu and He, 2018).
public final class GroupNorm: Layer {
    public let weight: Parameter
    public let bias: Parameter
    private let groups: Int
    private let epsilon: Double

    public init(_ groups: Int, _ channels: Int, epsilon: Double = 1e-5) throws {
        guard groups > 0, channels % groups == 0 else {
            throw TensorError(.value, "\(groups) groups do not divide \(channels) channels evenly")
        }
        weight = try Parameter([channels], .norm, .ones)
        bias = try Parameter([channels], .bias, .zeros)
        self.groups = groups
        self.epsilon = epsilon
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try Op.groupNorm.tensor(
            .tensor(x), .int(groups), .tensor(weight.value), .tensor(bias.value), .double(epsilon))
    }
}

/// `y = x/√(mean(x²) + ε)·w` over the last dimension (Zhang and Sennrich, 2019).
public final class RMSNorm: Layer {
    public let weight: Parameter
    private let width: Int
    private let epsilon: Double

    public init(_ width: Int, epsilon: Double = 1e-6) throws {
        weight = try Parameter([width], .norm, .ones)
        self.width = width
        self.epsilon = epsilon
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        if let y = try x.rootMeanSquareNormalized(weight: weight.value, epsilon: epsilon) { return y }
        return try Op.rmsNorm.tensor(.tensor(x), .ints([width]), .tensor(weight.value), .double(epsilon))
    }
}

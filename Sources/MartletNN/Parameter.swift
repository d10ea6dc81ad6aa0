import MartletTensor

/// How a parameter's first values are drawn. The formulas are PyTorch's defaults for each layer.
public enum Initialization: Sendable, Equatable {
    case zeros
    case ones
    /// Evenly from -bound to bound.
    case uniform(Double)
    /// Normally around 0.
    case normal(Double)
    /// The same, with row `index` zero (an embedding's padding).
    case normalExceptRow(Double, index: Int)
}

/// A tensor that training changes, held by one object so that tied layers share it and serving can replace it.
public final class Parameter {
    /// What the parameter is to its layer: penalties and decay by role look at this.
    public enum Role: String, Sendable { case weight, bias, norm }

    public var value: Tensor
    public let role: Role
    let initialization: Initialization

    /// Whether parameters are made without memory, to be given a checkpoint's tensors by `replace`.
    @TaskLocal static var isDeferred = false

    /// Makes a model whose parameters have their shapes and no memory: each must be given its value by `replace`.
    public static func withoutMemory<Result>(_ body: () throws -> Result) rethrows -> Result {
        try $isDeferred.withValue(true, operation: body)
    }

    /// Zeros of a shape, to be filled by `Module.initialize(seed:)` or from a checkpoint.
    public init(_ shape: [Int], _ role: Role, _ initialization: Initialization) throws {
        self.role = role
        self.initialization = initialization
        if Parameter.isDeferred {
            _ = try Tensor.checkedCount(shape)
            value = try Tensor.zeros([]).expand(shape)
        } else {
            value = try Tensor.zeros(shape)
        }
        try value.requiresGrad(true)
    }

    /// Whether training changes it.
    public var isTrainable: Bool { value.requiresGrad }

    /// Keeps training from changing it, or lets it again.
    public func setTrainable(_ trainable: Bool) throws {
        try value.requiresGrad(trainable)
    }

    /// Puts other numbers of the same shape in its place, converted to its type and device.
    public func assign(_ tensor: Tensor) throws {
        guard tensor.shape == value.shape else {
            throw TensorError(.value, "a parameter of shape \(value.shape) was given \(tensor.shape)")
        }
        try Tensor.withoutGradients { try value.copy_(tensor) }
    }

    /// Takes a tensor of the same shape itself as its value, without a copy.
    public func replace(with tensor: Tensor) throws {
        guard tensor.shape == value.shape else {
            throw TensorError(.value, "a parameter of shape \(value.shape) was given \(tensor.shape)")
        }
        let trainable = isTrainable
        value = try tensor.detach()
        try value.requiresGrad(trainable && value.scalarType.isFloatingPoint)
    }

    func initialize(_ key: RandomKey) throws {
        let (shape, type) = (value.shape, value.scalarType)
        switch initialization {
        case .zeros: try Tensor.withoutGradients { try value.fill_(0) }
        case .ones: try Tensor.withoutGradients { try value.fill_(1) }
        case .uniform(let bound): try assign(Tensor.uniform(shape, low: -bound, high: bound, key: key, type: type))
        case .normal(let std): try assign(Tensor.normal(shape, std: std, key: key, type: type))
        case .normalExceptRow(let std, let index):
            try assign(Tensor.normal(shape, std: std, key: key, type: type))
            try Tensor.withoutGradients { try value.select(0, index).fill_(0) }
        }
    }

    func move(_ body: (Tensor) throws -> Tensor) throws {
        let trainable = isTrainable
        value = try body(value.detach()).detach()
        try value.requiresGrad(trainable)
    }
}

/// A tensor that belongs to a layer and its checkpoint but has no gradient, such as a running mean.
public final class Buffer {
    public var value: Tensor

    public init(_ value: Tensor) { self.value = value }
}

/// A parameter with its name in checkpoints.
public struct NamedParameter {
    public let name: String
    public let parameter: Parameter

    public init(name: String, parameter: Parameter) {
        self.name = name
        self.parameter = parameter
    }
}

import MartletTensor
import MartletWire

extension Op {
    static let panelWeight = Op("martlet::panel_weight")
    static let panelLinear = Op("martlet::panel_linear")
}

/// How the weights of a served model's linear layers lie in memory.
public enum WeightFormat: String, Codable, Sendable, CaseIterable {
    /// Float32 as in the checkpoint, with the results that training has.
    case dense = "float32"
    /// Float32 in panels of outputs, which our own product reads from end to end.
    case packed = "float32-packed"
    /// 16 bits in the same panels; sums are in float32.
    case half = "float16"
}

extension WeightFormat {
    /// The format that a configuration's `language_precision` asks for; nil where it is to be chosen.
    /// - Throws: `invalidRequest` for one that there is not.
    public static func asked(_ precision: String) throws -> WeightFormat? {
        guard precision != "auto" else { return nil }
        guard let format = WeightFormat(rawValue: precision) else {
            let known = allCases.map(\.rawValue).joined(separator: ", ")
            throw MartletError(
                .invalidRequest, "'\(precision)' is not a precision; use auto, \(known)", param: "precision")
        }
        return format
    }

    /// A weight [out, in] in float32, and its bias [out], as a product of this format reads them.
    public func weight(_ weight: Tensor, bias: Tensor?) throws -> any LinearWeight {
        switch self {
        case .dense: DenseWeight(weight, bias: bias)
        case .packed: try PanelWeight(weight, bias: bias, half: false)
        case .half: try PanelWeight(weight, bias: bias, half: true)
        }
    }
}

/// A weight as it is in the checkpoint.
public struct DenseWeight: LinearWeight {
    private let weight: Tensor
    private let bias: Tensor?

    /// - Parameters:
    ///   - weight: [out, in].
    ///   - bias: [out].
    public init(_ weight: Tensor, bias: Tensor?) {
        self.weight = weight
        self.bias = bias
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor { try x.linear(weight, bias) }
}

/// A weight in panels of 16 outputs, in float32 or rounded to 16 bits: half the memory to read for each token.
///
/// A row's result is the same to the bit whatever rows are computed beside it. There is no gradient.
public struct PanelWeight: LinearWeight {
    private let weight: Tensor
    private let bias: Tensor?
    private let outputs: Int

    /// - Parameters:
    ///   - weight: [out, in]; it is not kept.
    ///   - bias: [out].
    ///   - half: whether the weight is rounded to 16 bits.
    /// - Throws: `TensorError` where a number is outside what 16 bits hold.
    public init(_ weight: Tensor, bias: Tensor?, half: Bool) throws {
        let weight = try weight.detach()
        if half {
            let largest = weight.count == 0 ? 0 : try max(weight.max().item(), -weight.min().item())
            guard largest <= 65504 else {
                throw TensorError(
                    .value, "a weight of \(largest) is outside the range of 16 bits, ±65504; use float32")
            }
        }
        self.weight = try Op.panelWeight.tensor(.tensor(weight), .bool(half))
        self.bias = try bias?.detach()
        outputs = weight.size(0)
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor { try product(x, instructions: .all) }
    public func callAsFunction(_ x: Tensor, adding residual: Tensor) throws -> Tensor {
        try product(x, adding: residual, instructions: .all)
    }

    /// What the product may use of the CPU: a test walks all of them on one.
    package enum Instructions: Int, CaseIterable {
        case plain, avx2, all
    }

    package func product(_ x: Tensor, adding residual: Tensor? = nil, instructions: Instructions) throws -> Tensor {
        try Op.panelLinear.tensor(
            .tensor(x), .tensor(weight), .optional(bias), .optional(residual), .int(outputs),
            .int(instructions.rawValue))
    }
}

extension LinearGroup {
    /// Puts the layers' weights into one of a format; their own stay as they are.
    public func pack(_ format: WeightFormat) throws {
        guard !layers.isEmpty else { return }
        let weights = try layers.map { try $0.weight.value.detach().to(.float32) }
        packed = try format.weight(weights.count == 1 ? weights[0].contiguous() : Tensor.cat(weights), bias: bias())
    }

    /// The biases of all layers, one after another, zeros for those without one; nil where none has one.
    public func bias() throws -> Tensor? {
        guard layers.contains(where: { $0.bias != nil }) else { return nil }
        return try Tensor.cat(
            layers.map { try $0.bias?.value.detach().to(.float32) ?? Tensor.zeros([$0.weight.value.size(0)]) })
    }

    /// Gives back the memory of weights that are packed, but for those that `isUsedElsewhere` names. The layers cannot
    /// compute on their own or be saved any more.
    public func dropUnpacked(except isUsedElsewhere: (Parameter) -> Bool) throws {
        guard packed != nil else { return }
        for layer in layers where !isUsedElsewhere(layer.weight) {
            layer.weight.value = try Tensor.zeros([]).expand(layer.weight.value.shape)
        }
    }
}

extension Module {
    /// Parameters that more than one module holds, such as an embedding that is the output's weight as well.
    public func sharedParameters() -> Set<ObjectIdentifier> {
        var holders: [ObjectIdentifier: Set<ObjectIdentifier>] = [:]
        func visit(_ value: Any, in module: ObjectIdentifier) {
            if let parameter = value as? Parameter {
                holders[ObjectIdentifier(parameter), default: []].insert(module)
            } else if let inner = value as? any Module {
                for (_, child) in inner.children { visit(child, in: ObjectIdentifier(inner)) }
            } else {
                let mirror = Mirror(reflecting: value)
                guard mirror.displayStyle == .collection || mirror.displayStyle == .optional else { return }
                for child in mirror.children { visit(child.value, in: module) }
            }
        }
        visit(self, in: ObjectIdentifier(self))
        return Set(holders.filter { $0.value.count > 1 }.keys)
    }
}

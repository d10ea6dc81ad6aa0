import MartletTensor

extension Op {
    static let reorderLinearWeight = Op("mkldnn::_reorder_linear_weight")
    static let linearPointwise = Op("mkldnn::_linear_pointwise")
    static let linearPrepackHalf = Op("quantized::linear_prepack_fp16")
    static let linearDynamicHalf = Op("quantized::linear_dynamic_fp16")
}

/// How the weights of a served model's linear layers lie in memory.
public enum WeightFormat: String, Codable, Sendable, CaseIterable {
    /// Float32 as in the checkpoint, with the results that training has.
    case dense = "float32"
    /// Float32 in the order that oneDNN's product reads.
    case packed = "float32-packed"
    /// 16 bits in the order that FBGEMM's product reads; sums are in float32.
    case half = "float16"
}

extension WeightFormat {
    /// A weight [out, in] in float32, and its bias [out], as a product of this format reads them.
    public func weight(_ weight: Tensor, bias: Tensor?) throws -> any LinearWeight {
        switch self {
        case .dense: DenseWeight(weight, bias: bias)
        case .packed: try PackedWeight(weight, bias: bias)
        case .half: try HalfWeight(weight, bias: bias)
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

/// A float32 weight in oneDNN's own order, which spares the products of few rows a pass over it.
public struct PackedWeight: LinearWeight {
    private let weight: Tensor
    private let bias: Tensor?

    /// - Throws: `TensorError` where the CPU or the shape is none that oneDNN packs for.
    public init(_ weight: Tensor, bias: Tensor?) throws {
        self.weight = try Op.reorderLinearWeight.tensor(.tensor(weight))
        self.bias = bias
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try Op.linearPointwise.tensor(
            .tensor(x), .tensor(weight), .optional(bias), .string("none"), .ints([]), .none)
    }
}

/// A weight rounded to 16 bits, in FBGEMM's own order: half the memory to read for each token.
public struct HalfWeight: LinearWeight {
    private let weight: OpaqueObject

    /// - Throws: `TensorError` where FBGEMM does not run on this CPU or a number is outside what 16 bits hold.
    public init(_ weight: Tensor, bias: Tensor?) throws {
        let largest = try Self.largest(of: weight)
        guard largest <= 65504 else {
            throw TensorError(.value, "a weight of \(largest) is outside the range of 16 bits, ±65504; use float32")
        }
        guard case .object(let packed)? = try Op.linearPrepackHalf.call(.tensor(weight), .optional(bias)).first else {
            throw TensorError(.type, "no packed weight came back", operation: Op.linearPrepackHalf.name)
        }
        self.weight = packed
    }

    /// The largest magnitude, without a copy of the weight; any thread will do. Infinite or no number where one is.
    private static func largest(of weight: Tensor) throws -> Float {
        try weight.withUnsafeBytes { bytes in
            // Magnitudes are ordered as their bits are.
            Float(bitPattern: bytes.bindMemory(to: UInt32.self).reduce(0) { Swift.max($0, $1 & 0x7FFF_FFFF) })
        }
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try Op.linearDynamicHalf.tensor(.tensor(x), .object(weight))
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

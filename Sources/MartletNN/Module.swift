import MartletTensor
import MartletWire

/// Something with parameters. Names in checkpoints are the property names on the way to a parameter, joined by dots:
/// `layers.0.self_attn.q_proj.weight`.
public protocol Module: AnyObject {
    /// Property names whose checkpoint name is another; an empty one leaves the level out.
    var renames: [String: String] { get }

    /// The parts in order, by name: parameters, buffers and modules. By default those among the properties.
    var children: [(String, Any)] { get }
}

/// A module from one tensor to one tensor.
public protocol Layer: Module {
    func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor
}

extension Module {
    public var renames: [String: String] { [:] }

    public var children: [(String, Any)] {
        var found: [(String, Any)] = []
        var mirror: Mirror? = Mirror(reflecting: self)
        while let current = mirror {
            found = current.children.compactMap { child in child.label.map { ($0, child.value) } } + found
            mirror = current.superclassMirror
        }
        return found
    }

    /// The parameters in the order of the properties; one that is used in two places counts once, by its first name.
    /// This walks the properties: keep the result rather than asking at every step.
    public func parameters() -> [NamedParameter] { walked().parameters }

    /// The buffers in the order of the properties.
    public func buffers() -> [(String, Buffer)] { walked().buffers }

    /// Further names of parameters and buffers that are used in several places.
    public func aliases() -> Set<String> { walked().aliases }

    /// How many numbers training can change.
    public var parameterCount: Int {
        parameters().filter(\.parameter.isTrainable).reduce(0) { $0 + $1.parameter.value.count }
    }

    /// The modules of a kind, this one among them, in the order of the properties.
    public func modules<Kind: Module>(of kind: Kind.Type) -> [Kind] { walked().modules.compactMap { $0 as? Kind } }

    /// Every parameter and buffer by checkpoint name.
    public func state() -> [(String, Tensor)] {
        let all = walked()
        return all.parameters.map { ($0.name, $0.parameter.value) } + all.buffers.map { ($0.0, $0.1.value) }
    }

    /// Fills parameters and buffers from named tensors.
    /// - Throws: `MartletError` that names what is missing, left over or of another shape; then nothing has changed.
    public func load(_ tensors: [(String, Tensor)]) throws {
        let given = Dictionary(tensors, uniquingKeysWith: { first, _ in first })
        let all = walked()
        let wanted = state()
        for (name, tensor) in wanted {
            guard let found = given[name] else {
                throw MartletError(.invalidData, "the tensor '\(name)' is missing from the weights")
            }
            guard found.shape == tensor.shape else {
                throw MartletError(
                    .invalidData, "the tensor '\(name)' has the shape \(found.shape); the model takes \(tensor.shape)")
            }
        }
        let known = Set(wanted.map(\.0)).union(all.aliases)
        if let extra = tensors.first(where: { !known.contains($0.0) }) {
            throw MartletError(.invalidData, "the model has no tensor '\(extra.0)'")
        }
        for item in all.parameters {
            if let tensor = given[item.name] { try item.parameter.assign(tensor) }
        }
        for (name, buffer) in all.buffers {
            if let tensor = given[name] { try Tensor.withoutGradients { try buffer.value.copy_(tensor) } }
        }
    }

    /// Draws every parameter's first values, each from the seed and its own name, so that a part of a model starts
    /// the same whatever stands before it.
    public func initialize(seed: UInt64) throws {
        for item in parameters() {
            let stream = RandomKey.stream(named: item.name)
            try item.parameter.initialize(
                RandomKey(seed: seed, purpose: RandomPurpose.initialization, stream: stream))
        }
    }

    /// Moves all parameters and buffers to a device.
    public func move(to device: Device) throws {
        let all = walked()
        for item in all.parameters { try item.parameter.move { try $0.to(device) } }
        for (_, buffer) in all.buffers { buffer.value = try buffer.value.to(device) }
    }

    /// Converts all floating-point parameters and buffers to a type.
    public func convert(to type: ScalarType) throws {
        let all = walked()
        for item in all.parameters where item.parameter.value.scalarType.isFloatingPoint {
            try item.parameter.move { try $0.to(type) }
        }
        for (_, buffer) in all.buffers where buffer.value.scalarType.isFloatingPoint {
            buffer.value = try buffer.value.to(type)
        }
    }

    /// Lets training change all parameters, or none.
    public func setTrainable(_ trainable: Bool) throws {
        for item in parameters() { try item.parameter.setTrainable(trainable) }
    }

    private func walked() -> Walk {
        var walk = Walk()
        walk.visit(self, [])
        return walk
    }
}

/// What random numbers are for, so that no two uses share a stream.
public enum RandomPurpose {
    public static let initialization: UInt32 = 1
    public static let dropout: UInt32 = 2
    public static let shuffling: UInt32 = 3
}

/// One walk over a module's properties.
private struct Walk {
    private(set) var parameters: [NamedParameter] = []
    private(set) var buffers: [(String, Buffer)] = []
    private(set) var modules: [any Module] = []
    /// Further names of what was already counted.
    private(set) var aliases: Set<String> = []
    private var seen = Set<ObjectIdentifier>()

    mutating func visit(_ value: Any, _ path: [String]) {
        if let parameter = value as? Parameter {
            let name = path.joined(separator: ".")
            if seen.insert(ObjectIdentifier(parameter)).inserted {
                parameters.append(NamedParameter(name: name, parameter: parameter))
            } else {
                aliases.insert(name)
            }
        } else if let buffer = value as? Buffer {
            let name = path.joined(separator: ".")
            if seen.insert(ObjectIdentifier(buffer)).inserted {
                buffers.append((name, buffer))
            } else {
                aliases.insert(name)
            }
        } else if let module = value as? any Module {
            modules.append(module)
            for (label, child) in module.children {
                let name = module.renames[label] ?? label
                visit(child, name.isEmpty ? path : path + [name])
            }
        } else {
            let mirror = Mirror(reflecting: value)
            switch mirror.displayStyle {
            case .optional:
                if let child = mirror.children.first { visit(child.value, path) }
            case .collection:
                for (index, child) in mirror.children.enumerated() { visit(child.value, path + [String(index)]) }
            default: break
            }
        }
    }
}

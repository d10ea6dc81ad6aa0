import MartletNN
import MartletTensor
import MartletWire

/// Which tensor of the files is which parameter of a model: checked before anything is read.
public struct WeightPlan {
    private let pairs: [(parameter: NamedParameter, tensor: String)]
    private let map: CheckpointMap

    /// - Throws: `MartletError` that names what is missing, left over, of another shape or of a type that is no number.
    public init(_ model: any Module, _ files: WeightFiles, _ map: CheckpointMap) throws {
        self.map = map
        var stored: [String: String] = [:]
        for name in files.names where !map.isIgnored(name) {
            if let other = stored.updateValue(name, forKey: map.parameterName(name)) {
                throw MartletError(.invalidData, "the tensors '\(other)' and '\(name)' are the same parameter")
            }
        }
        pairs = try model.parameters().map { item in
            guard let name = stored.removeValue(forKey: item.name), let entry = files.entry(name) else {
                throw MartletError(.invalidData, "the tensor '\(item.name)' is missing from the weights")
            }
            let shape = map.isTransposed(item.name) ? entry.shape.reversed() : entry.shape
            guard shape == item.parameter.value.shape else {
                throw MartletError(
                    .invalidData,
                    "the tensor '\(name)' has the shape \(shape); the model takes \(item.parameter.value.shape)")
            }
            guard entry.type.isFloatingPoint else {
                throw MartletError(
                    .unsupportedFormat,
                    "the tensor '\(name)' is of \(entry.type.rawValue); quantized weights are not supported here")
            }
            return (item, name)
        }
        let aliases = model.aliases()
        if let extra = stored.keys.sorted().first(where: { !aliases.contains($0) }) {
            throw MartletError(.invalidData, "the model has no tensor '\(extra)'")
        }
    }

    /// Gives every parameter its tensor as float32, one after another, but for those that are to be read later.
    public func load(
        from files: WeightFiles, device: Device = .cpu, except deferred: Set<ObjectIdentifier> = []
    ) throws {
        for (item, name) in pairs where !deferred.contains(ObjectIdentifier(item.parameter)) {
            var tensor = try files.tensor(name).to(.float32)
            if map.isTransposed(item.name) { tensor = try tensor.transpose().contiguous() }
            try item.parameter.replace(with: tensor.to(device))
        }
    }

    /// These parameters' tensors, still in the files.
    func deferred(_ parameters: Set<ObjectIdentifier>, in files: WeightFiles) -> DeferredWeights {
        var places: [ObjectIdentifier: DeferredWeights.Place] = [:]
        for (item, name) in pairs where parameters.contains(ObjectIdentifier(item.parameter)) {
            let shape = item.parameter.value.shape
            places[ObjectIdentifier(item.parameter)] = DeferredWeights.Place(
                tensor: name, isTransposed: map.isTransposed(item.name), shape: shape)
        }
        return DeferredWeights(files, places)
    }
}

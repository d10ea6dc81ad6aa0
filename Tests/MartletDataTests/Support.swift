import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

extension Scratch {
    /// Prepares `recipe` from files under this folder.
    func prepare(_ recipe: Recipe, _ paths: [String], fold: Int? = nil) throws -> PreparedData {
        try prepare(recipe, ResolvedSources(all: paths), fold: fold)
    }

    func prepare(_ recipe: Recipe, _ sources: ResolvedSources, fold: Int? = nil) throws -> PreparedData {
        try DataPipeline.prepare(
            recipe, sources: sources, cacheDirectory: path + "/cache-" + UUID().uuidString, fold: fold)
    }
}

func input(_ name: String, _ type: InputConfig.Kind, _ change: (inout InputConfig) -> Void = { _ in }) -> InputConfig {
    var config = InputConfig()
    config.name = name
    config.type = type
    change(&config)
    return config
}

func output(_ name: String, _ type: OutputConfig.Kind, _ change: (inout OutputConfig) -> Void = { _ in })
    -> OutputConfig
{
    var config = OutputConfig()
    config.name = name
    config.type = type
    change(&config)
    return config
}

/// A recipe that trains on every row in its order, unless `change` says otherwise.
func recipe(
    _ inputs: [InputConfig], _ outputs: [OutputConfig], _ change: (inout Recipe) -> Void = { _ in }
) -> Recipe {
    var recipe = Recipe()
    recipe.inputs = inputs
    recipe.outputs = outputs
    recipe.data.split.train = 1
    recipe.data.split.validation = 0
    recipe.data.split.test = 0
    recipe.data.split.order = .sequential
    change(&recipe)
    return recipe
}

extension FeatureBatch {
    func floats(_ name: String) -> [Float] { if case .floats(let values) = self[name] { values } else { [] } }
    func ints(_ name: String) -> [Int64] { if case .ints(let values) = self[name] { values } else { [] } }
    func bytes(_ name: String) -> [UInt8] { if case .bytes(let values) = self[name] { values } else { [] } }
}

func expectClose(
    _ values: [Float], _ expected: [Float], tolerance: Float = 1e-6, _ location: SourceLocation = #_sourceLocation
) {
    #expect(values.count == expected.count, sourceLocation: location)
    for (value, wanted) in zip(values, expected) {
        #expect(
            abs(value - wanted) <= tolerance * max(1, abs(wanted)), "\(values) ≠ \(expected)", sourceLocation: location)
    }
}

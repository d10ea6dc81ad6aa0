import Foundation
import MartletData
import MartletWire
import Testing

/// A folder of its own for one test.
final class Scratch {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "martlet-data-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = path + "/" + name
        try FileManager.default.createDirectory(
            atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }

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

/// What `body` throws, with its message holding every one of `parts`.
@discardableResult
func expectFault(
    _ code: MartletError.Code, _ parts: [String], _ location: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
) -> MartletError? {
    do {
        try body()
    } catch let error as MartletError {
        #expect(error.code == code, "\(error.message)", sourceLocation: location)
        for part in parts {
            #expect(error.message.contains(part), "'\(part)' is not in: \(error.message)", sourceLocation: location)
        }
        return error
    } catch {
        Issue.record(error, sourceLocation: location)
        return nil
    }
    Issue.record("nothing was thrown", sourceLocation: location)
    return nil
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

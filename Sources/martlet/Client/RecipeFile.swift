import Foundation
import MartletWire

/// A recipe as it lies in a file, checked, with the data that it names.
struct RecipeFile {
    let path: String
    let recipe: Recipe
    let tree: JSON
    /// Where its relative paths are looked for: beside it, then in the working folder.
    let folders: [String]

    var name: String { recipe.name }

    /// Throws `invalidRecipe` with every fault, and `notFound` where there is no such file.
    init(path: String, settings: [String], name: String? = nil) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw MartletError(.notFound, "the recipe '\(path)' cannot be read; check the path")
        }
        guard let text = String(data: data, encoding: .utf8) else {
            throw MartletError(.invalidRecipe, "\(path): the recipe is not UTF-8 text; save it as UTF-8")
        }
        let settings = try settings + (name.map { ["name='\(try Name.check($0, what: "model"))'"] } ?? [])
        let result = try RecipeReader.read(text: text, file: path, settings: settings)
        self.path = path
        recipe = result.recipe
        tree = result.tree
        folders = [URL(fileURLWithPath: path).deletingLastPathComponent().path, "."]
    }

    /// Everything that `data.source` names.
    var sources: [String] {
        let source = recipe.data.source
        var seen: Set<String> = []
        return (source.all + source.train + source.validation + source.test).filter { seen.insert($0).inserted }
    }

    /// The tree with each entry of `data.source` replaced by what `resolve` makes of it.
    func resolved(_ resolve: (String) async throws -> String) async throws -> JSON {
        var names: [String: String] = [:]
        for source in sources { names[source] = try await resolve(source) }
        guard case .object(var root) = tree, case .object(var data)? = root["data"], let source = data["source"] else {
            return tree
        }
        data["source"] = Self.replace(source, names)
        root["data"] = .object(data)
        return .object(root)
    }

    private static func replace(_ value: JSON, _ names: [String: String]) -> JSON {
        switch value {
        case .string(let text): .string(names[text] ?? text)
        case .array(let values): .array(values.map { replace($0, names) })
        case .object(let object): .object(JSONObject(object.map { ($0.key, replace($0.value, names)) }))
        default: value
        }
    }
}

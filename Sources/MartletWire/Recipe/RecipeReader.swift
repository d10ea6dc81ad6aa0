/// Reads recipes, from files and from requests, and refuses what cannot be meant.
public enum RecipeReader {
    /// A recipe and the tree as it was written, which is what lineage keeps.
    public struct Result: Sendable {
        public var recipe: Recipe
        public var tree: JSON
    }

    /// Reads a file's text. `settings` are `key.path=value` from `--set`.
    /// Throws `invalidRecipe` whose message has one line per fault: file, line, path, expectation, nearest name.
    public static func read(text: String, file: String, settings: [String] = []) throws -> Result {
        var node = try ConfigNode(text: text, file: file)
        for setting in settings {
            let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw MartletError(.usage, "--set '\(setting)': write it as key.path=value")
            }
            let value = try ConfigNode(text: parts[1].isEmpty ? "null" : String(parts[1]), file: "--set \(setting)")
            try node.set(parts[0].split(separator: ".").map(String.init), to: value)
        }
        return try read(node, file: file)
    }

    /// Reads a recipe that came as JSON. Throws `invalidRecipe`.
    public static func read(json: JSON) throws -> Result {
        try read(ConfigNode(json), file: "recipe")
    }

    private static func read(_ node: ConfigNode, file: String) throws -> Result {
        var reader = SchemaReader()
        let value = reader.section(node, RecipeSchema.recipe, at: "")
        if reader.findings.isEmpty, let value {
            let recipe = try value.decode(Recipe.self)
            for (path, message) in RecipeChecks.findings(recipe) {
                reader.report(node.find(path), path, message)
            }
            if reader.findings.isEmpty { return Result(recipe: recipe, tree: node.json) }
        }
        let lines = reader.findings.map { finding in
            let place = finding.line.map { "\(file):\($0)" } ?? file
            return "\(place): \(finding.path.isEmpty ? "" : "\(finding.path): ")\(finding.message)"
        }
        throw MartletError(
            .invalidRecipe, lines.joined(separator: "\n"), param: reader.findings.first.map(\.path))
    }

    /// The whole recipe as JSON Schema (2020-12), for editors and the console.
    public static var jsonSchema: JSON {
        guard case .object(var object) = RecipeSchema.recipe.jsonSchema else { return .null }
        object["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        return .object(object)
    }
}

extension ConfigNode {
    /// The node at a dotted path, or the nearest one above it.
    func find(_ path: String) -> ConfigNode {
        var node = self
        for part in path.split(separator: ".") {
            guard case .map(let pairs) = node.value, let next = pairs.first(where: { $0.key == part }) else { break }
            node = next.node
        }
        return node
    }
}

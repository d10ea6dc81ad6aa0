/// Reads recipes, from files and from requests, and refuses what cannot be meant.
public enum RecipeReader {
    /// A recipe and the tree as it was written, which is what lineage keeps.
    public struct Result: Sendable {
        public var recipe: Recipe
        public var tree: JSON
    }

    /// Reads a file's text. `settings` are `key.path=value` from `--set`.
    /// Throws `invalidRecipe` whose message has one line per fault: file and line, or the option that set the value, path,
    /// expectation, nearest name.
    public static func read(text: String, file: String, settings: [String] = []) throws -> Result {
        var node = try ConfigNode(text: text, file: file)
        for setting in settings { try node.set(setting) }
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
            let place =
                switch finding.place {
                case .line(let line)?: "\(file):\(line)"
                case .setting(let setting)?: "--set \(setting)"
                case nil: file
                }
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
    /// The node at a dotted path, or the nearest one above it; of a section, what a `--set` option changed in it.
    func find(_ path: String) -> ConfigNode {
        var node = self
        for part in path.split(separator: ".") {
            guard let next = node.pairs.first(where: { $0.key == part }) else { return node }
            node = next.node
        }
        let changed = node.pairs.last { pair in if case .setting? = pair.node.place { true } else { false } }
        return changed?.node ?? node
    }

    private var pairs: [(key: String, node: ConfigNode)] {
        guard case .map(let pairs) = value else { return [] }
        return pairs
    }
}

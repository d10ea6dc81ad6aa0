import Foundation
import Yams

/// A value of a recipe or configuration file, with the place where it was written.
///
/// YAML and JSON files are both read by Yams (JSON is YAML); a recipe that came over the network has no places.
public struct ConfigNode: Sendable {
    /// Where a value was written.
    public enum Place: Sendable, Equatable {
        /// A line of the file.
        case line(Int)
        /// A `--set` option, as it was given.
        case setting(String)
    }
    public enum Value: Sendable {
        case scalar(JSON)
        case list([ConfigNode])
        case map([(key: String, node: ConfigNode)])
    }
    public var value: Value
    public var place: Place?

    public init(_ value: Value, place: Place? = nil) {
        self.value = value
        self.place = place
    }

    public init(_ json: JSON) {
        switch json {
        case .array(let values): self.init(.list(values.map { ConfigNode($0) }))
        case .object(let object): self.init(.map(object.map { ($0.key, ConfigNode($0.value)) }))
        default: self.init(.scalar(json))
        }
    }

    /// The text of a file. Throws `invalidRecipe` with the file and line where it is not YAML or JSON.
    public init(text: String, file: String) throws {
        guard text.utf8.count <= 4 << 20 else {
            throw MartletError(.invalidRecipe, "\(file): more than 4 MiB; a recipe is a short description")
        }
        var budget = 100_000
        do {
            guard try Self.deepest(text) <= 64 else {
                throw MartletError(.invalidRecipe, "\(file): nested deeper than 64 levels; a recipe is flat")
            }
            guard let root = try Yams.compose(yaml: text) else {
                throw MartletError(.invalidRecipe, "\(file): the file is empty; see examples/ for recipes")
            }
            try self.init(yaml: root, budget: &budget, depth: 0, file: file)
        } catch let error as YamlError {
            throw MartletError(.invalidRecipe, "\(file)\(Self.place(of: error))")
        }
    }

    private init(yaml: Node, budget: inout Int, depth: Int, file: String) throws {
        budget -= 1
        guard budget > 0, depth <= 64 else {
            throw MartletError(
                .invalidRecipe, "\(file): more than 100,000 values or 64 levels; a recipe is a short description")
        }
        let line = yaml.mark?.line
        let place = line.map(Place.line)
        switch yaml {
        case .scalar(let scalar): self.init(.scalar(Self.json(yaml, scalar)), place: place)
        case .sequence(let sequence):
            var nodes: [ConfigNode] = []
            for element in sequence {
                nodes.append(try ConfigNode(yaml: element, budget: &budget, depth: depth + 1, file: file))
            }
            self.init(.list(nodes), place: place)
        case .mapping(let mapping):
            var pairs: [(key: String, node: ConfigNode)] = []
            for (key, value) in mapping {
                guard let name = key.scalar?.string else {
                    throw MartletError(.invalidRecipe, "\(file):\(line ?? 0): a key must be a plain word")
                }
                var node = try ConfigNode(yaml: value, budget: &budget, depth: depth + 1, file: file)
                node.place = key.mark.map { .line($0.line) } ?? node.place
                pairs.append((name, node))
            }
            self.init(.map(pairs), place: place)
        case .alias:
            throw MartletError(
                .invalidRecipe, "\(file):\(line ?? 0): YAML aliases are not used in recipes; write it out")
        }
    }

    private static func json(_ node: Node, _ scalar: Node.Scalar) -> JSON {
        if scalar.style == .singleQuoted || scalar.style == .doubleQuoted { return .string(scalar.string) }
        if node.null != nil { return .null }
        // YAML 1.1 reads yes, no, on and off as booleans; as words of a table they are more often text.
        if scalar.string == "true" || scalar.string == "false" { return .bool(scalar.string == "true") }
        if let value = Int64(scalar.string) { return .int(value) }
        if let first = scalar.string.utf8.first, first == 0x2D || first == 0x2E || (0x30...0x39).contains(first),
            let value = Double(scalar.string), value.isFinite
        {
            return .double(value)
        }
        return .string(scalar.string)
    }

    /// The deepest flow nesting, so that no file can exhaust the stack of a recursive reader.
    private static func deepest(_ text: String) throws -> Int {
        var depth = 0
        var deepest = 0
        for byte in text.utf8 {
            if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") { depth += 1 }
            if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") { depth = max(0, depth - 1) }
            deepest = max(deepest, depth)
        }
        for line in text.utf8.split(separator: 0x0A) {
            deepest = max(deepest, line.prefix { $0 == 0x20 || $0 == 0x2D || $0 == 0x3F }.count / 2)
        }
        return deepest
    }

    private static func place(of error: YamlError) -> String {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            ":\(mark.line): \(problem); mend the YAML"
        case .duplicatedKeysInMapping(let duplicates, let context):
            ":\(context.mark.line): the key '\(duplicates.first ?? "")' stands twice; keep one of them"
        default: ": the YAML cannot be read; mend it"
        }
    }

    /// The tree without its lines.
    public var json: JSON {
        switch value {
        case .scalar(let json): json
        case .list(let nodes): .array(nodes.map(\.json))
        case .map(let pairs): .object(JSONObject(pairs.map { ($0.key, $0.node.json) }))
        }
    }

    /// Sets what a `--set` option says, `key.path=value`, making the maps on the way.
    /// Throws `usage` where it has another form or its path leads through what is no section, and `invalidRecipe` where
    /// the value is not YAML.
    public mutating func set(_ setting: String) throws {
        let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            throw MartletError(.usage, "--set '\(setting)': write it as key.path=value")
        }
        let value = try ConfigNode(text: parts[1].isEmpty ? "null" : String(parts[1]), file: "--set \(setting)")
        try set(parts[0].split(separator: ".").map(String.init), to: value.placed(at: .setting(setting)), setting)
    }

    private mutating func set(_ path: [String], to node: ConfigNode, _ setting: String) throws {
        guard let key = path.first else {
            self = node
            return
        }
        if case .scalar(.null) = value { value = .map([]) }
        if case .list(var nodes) = value, let index = Int(key), nodes.indices.contains(index) {
            try nodes[index].set(Array(path.dropFirst()), to: node, setting)
            value = .list(nodes)
            return
        }
        guard case .map(var pairs) = value else {
            throw MartletError(.usage, "--set \(setting): '\(key)' is not inside a section; check the path")
        }
        if let index = pairs.firstIndex(where: { $0.key == key }) {
            try pairs[index].node.set(Array(path.dropFirst()), to: node, setting)
        } else {
            var inner = ConfigNode(.map([]), place: node.place)
            try inner.set(Array(path.dropFirst()), to: node, setting)
            pairs.append((key, inner))
        }
        value = .map(pairs)
    }

    /// The same tree, all of it written at one place.
    private func placed(at place: Place) -> ConfigNode {
        let value: Value =
            switch value {
            case .scalar: value
            case .list(let nodes): .list(nodes.map { $0.placed(at: place) })
            case .map(let pairs): .map(pairs.map { ($0.key, $0.node.placed(at: place)) })
            }
        return ConfigNode(value, place: place)
    }
}

/// Reads a tree by a schema: fills in defaults and collects every fault instead of stopping at the first.
struct SchemaReader {
    struct Finding {
        var place: ConfigNode.Place?
        var path: String
        var message: String
    }
    private(set) var findings: [Finding] = []

    mutating func report(_ node: ConfigNode?, _ path: String, _ message: String) {
        findings.append(Finding(place: node?.place, path: path, message: message))
    }

    /// The value with its defaults; nil where it was at fault and has been reported.
    mutating func read(_ node: ConfigNode, as schema: Schema, at path: String) -> JSON? {
        switch schema {
        case .list(let element): return list(node, of: element, at: path)
        case .section(let section): return self.section(node, section, at: path)
        case .named(let section): return named(node, section, at: path)
        case .map(let element):
            guard case .map(let pairs) = node.value else { break }
            return .object(
                JSONObject(
                    pairs.compactMap { pair in
                        read(pair.node, as: element, at: Self.join(path, pair.key)).map { (pair.key, $0) }
                    }))
        case .custom(let custom):
            let before = findings.count
            if let value = custom.read(node, &self, path) { return value }
            if findings.count > before { return nil }
        default:
            if case .scalar(let value) = node.value, let accepted = scalar(value, as: schema) { return accepted }
        }
        mismatch(node, schema, at: path)
        return nil
    }

    private func scalar(_ value: JSON, as schema: Schema) -> JSON? {
        switch schema {
        case .string:
            switch value {
            case .string: return value
            case .int, .double, .bool: return .string(value.serialized())
            default: return nil
            }
        case .bool: return value.bool.map(JSON.bool)
        case .integer(let range):
            guard let number = value.int, range.contains(number) else { return nil }
            return JSON(number)
        case .number(let range):
            guard let number = value.double, range.contains(number) else { return nil }
            return .double(number)
        case .choice(let words):
            guard let word = value.string, words.contains(word) else { return nil }
            return value
        default: return nil
        }
    }

    mutating func mismatch(_ node: ConfigNode, _ schema: Schema, at path: String) {
        var message = "\(Self.shown(node)) is not \(schema.expectation)"
        if case .choice(let words) = schema, case .scalar(.string(let word)) = node.value,
            let near = Self.nearest(to: word, in: words)
        {
            message += "; did you mean '\(near)'?"
        }
        report(node, path, message)
    }

    private mutating func list(_ node: ConfigNode, of element: Schema, at path: String) -> JSON? {
        guard case .list(let nodes) = node.value else {
            return read(node, as: element, at: path).map { .array([$0]) }
        }
        var values: [JSON] = []
        for (index, node) in nodes.enumerated() {
            if let value = read(node, as: element, at: "\(path)[\(index)]") { values.append(value) }
        }
        return .array(values)
    }

    mutating func section(_ node: ConfigNode, _ section: Schema.Section, at path: String) -> JSON? {
        var node = node
        if case .scalar(.null) = node.value { node.value = .map([]) }
        if case .scalar = node.value, let shorthand = section.shorthand {
            node = ConfigNode(.map([(shorthand, node)]), place: node.place)
        }
        guard case .map(let pairs) = node.value, case .object(var result) = section.defaults else {
            mismatch(node, .section(section), at: path)
            return nil
        }
        for field in section.fields {
            guard let pair = pairs.first(where: { $0.key == field.name }) else { continue }
            if case .scalar(.null) = pair.node.value, result[field.name] == nil { continue }
            if let value = read(pair.node, as: field.schema, at: Self.join(path, field.name)) {
                result[field.name] = value
            }
        }
        let names = section.fields.map(\.name)
        for pair in pairs where !names.contains(pair.key) {
            var message = "unknown key '\(pair.key)'"
            if let near = Self.nearest(to: pair.key, in: names) {
                message += "; did you mean '\(near)'?"
            } else {
                message += "; known here: \(names.joined(separator: ", "))"
            }
            report(pair.node, Self.join(path, pair.key), message)
        }
        return .object(result)
    }

    private mutating func named(_ node: ConfigNode, _ section: Schema.Section, at path: String) -> JSON? {
        guard case .map(let pairs) = node.value else {
            mismatch(node, .named(section), at: path)
            return nil
        }
        var sections: [JSON] = []
        for (key, node) in pairs {
            guard case .object(var object)? = self.section(node, section, at: Self.join(path, key)) else { continue }
            object["name"] = .string(key)
            sections.append(.object(object))
        }
        return .array(sections)
    }

    static func join(_ path: String, _ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    static func shown(_ node: ConfigNode) -> String {
        switch node.value {
        case .scalar(.string(let text)): "'\(text.count > 60 ? text.prefix(60) + "…" : Substring(text))'"
        case .scalar(let json): json.serialized()
        case .list: "a list"
        case .map: "a section"
        }
    }

    /// The name within two edits (or a third of its length), if any.
    static func nearest(to word: String, in names: [String]) -> String? {
        let limit = max(2, word.count / 3)
        return names.map { ($0, distance(word.lowercased(), $0.lowercased())) }
            .filter { $0.1 <= limit }.min { $0.1 < $1.1 }?.0
    }

    /// Levenshtein's edit distance.
    private static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.unicodeScalars.prefix(64))
        let right = Array(right.unicodeScalars.prefix(64))
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let next = min(row[j] + 1, row[j + 1] + 1, diagonal + (a == b ? 0 : 1))
                diagonal = row[j + 1]
                row[j + 1] = next
            }
        }
        return row[right.count]
    }
}

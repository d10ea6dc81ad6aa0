import MartletWire

/// Checks a value against a JSON schema, at every level: `type`, `required`, `properties`, `additionalProperties`,
/// `items`, `enum`, `const`, bounds of numbers, texts and lists, `anyOf`, `oneOf`, `allOf`, and `$ref` within the schema.
/// Other keywords say nothing here.
package struct ItemSchema: Sendable {
    private let root: JSON
    /// A schema that leads to itself without going deeper into the value is not followed for ever.
    private static let depthLimit = 256
    /// Places of a schema that are looked at for one value. A schema whose alternatives lead back to it would double
    /// them with each level.
    private static let stepLimit = 1_000_000

    private final class Steps {
        var left = ItemSchema.stepLimit
    }

    package init(_ root: JSON) { self.root = root }

    /// What is wrong, in words that go behind the value's name; nil where nothing is.
    package func fault(_ value: JSON) -> String? { fault(value, root, path: "", depth: 0, Steps()) }

    private func fault(_ value: JSON, _ schema: JSON, path: String, depth: Int, _ steps: Steps) -> String? {
        steps.left -= 1
        guard steps.left > 0 else { return "\(place(path)) a schema with too many alternatives to try" }
        guard depth < Self.depthLimit else { return "\(place(path)) a schema that refers to itself without end" }
        if schema.bool == false { return "\(place(path)) something that the schema does not allow" }
        guard let object = schema.object else { return nil }
        if let reference = object["$ref"]?.string {
            guard let target = resolve(reference) else {
                return "\(place(path)) a schema with '\(reference.prefix(80))', which leads nowhere"
            }
            if let found = fault(value, target, path: path, depth: depth + 1, steps) { return found }
        }
        if let found = kindFault(value, object, path) { return found }
        if let found = choiceFault(value, object, path, depth, steps) { return found }
        if let members = value.object, let found = memberFault(members, object, path, depth, steps) { return found }
        if let elements = value.array {
            if let found = countFault(elements.count, object, "minItems", "maxItems", "elements", path) { return found }
            let first = object["prefixItems"]?.array ?? []
            for (index, element) in elements.enumerated() {
                guard let inner = index < first.count ? first[index] : object["items"] else { continue }
                if let found = fault(element, inner, path: "\(path)[\(index)]", depth: depth + 1, steps) {
                    return found
                }
            }
        }
        if let text = value.string {
            return countFault(text.unicodeScalars.count, object, "minLength", "maxLength", "characters", path)
        }
        return numberFault(value, object, path)
    }

    private func place(_ path: String) -> String { path.isEmpty ? "has" : "has in '\(path.prefix(200))'" }

    private func kindFault(_ value: JSON, _ schema: JSONObject, _ path: String) -> String? {
        let types = schema["type"]?.string.map { [$0] } ?? schema["type"]?.array?.compactMap(\.string) ?? []
        if !types.isEmpty, !types.contains(where: { Self.fits(value, $0) }) {
            let kind = path.isEmpty ? "is \(value.kind)" : "\(place(path)) \(value.kind)"
            return "\(kind) but the schema wants \(types.joined(separator: " or "))"
        }
        if let allowed = schema["enum"]?.array, !allowed.contains(value) {
            return "\(place(path)) \(shown(value)), which is none of the schema's values"
        }
        if let only = schema["const"], only != value {
            return "\(place(path)) \(shown(value)) but the schema wants \(shown(only))"
        }
        return nil
    }

    private func choiceFault(_ value: JSON, _ schema: JSONObject, _ path: String, _ depth: Int, _ steps: Steps)
        -> String?
    {
        for inner in schema["allOf"]?.array ?? [] {
            if let found = fault(value, inner, path: path, depth: depth + 1, steps) { return found }
        }
        if let some = schema["anyOf"]?.array, !some.isEmpty {
            let faults = some.map { fault(value, $0, path: path, depth: depth + 1, steps) }
            if faults.allSatisfy({ $0 != nil }) { return faults.first ?? nil }
        }
        if let one = schema["oneOf"]?.array, !one.isEmpty {
            let faults = one.map { fault(value, $0, path: path, depth: depth + 1, steps) }
            let fitting = faults.count { $0 == nil }
            if fitting == 0 { return faults.first ?? nil }
            if fitting > 1 { return "\(place(path)) what fits \(fitting) of the schema's oneOf, and must fit one" }
        }
        return nil
    }

    private func memberFault(
        _ members: JSONObject, _ schema: JSONObject, _ path: String, _ depth: Int, _ steps: Steps
    ) -> String? {
        func inner(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
        for name in schema["required"]?.array?.compactMap(\.string) ?? [] where members[name] == nil {
            return "has no '\(inner(name))', which the schema requires"
        }
        let known = schema["properties"]?.object ?? JSONObject()
        for (name, member) in members {
            if let own = known[name] {
                if let found = fault(member, own, path: inner(name), depth: depth + 1, steps) { return found }
            } else if let others = schema["additionalProperties"] {
                if others.bool == false { return "has '\(inner(name).prefix(200))', which the schema does not know" }
                if let found = fault(member, others, path: inner(name), depth: depth + 1, steps) { return found }
            }
        }
        return nil
    }

    private func countFault(
        _ count: Int, _ schema: JSONObject, _ least: String, _ most: String, _ what: String, _ path: String
    ) -> String? {
        if let bound = schema[least]?.int, count < bound { return "\(place(path)) \(count) \(what); at least \(bound)" }
        if let bound = schema[most]?.int, count > bound { return "\(place(path)) \(count) \(what); at most \(bound)" }
        return nil
    }

    private func numberFault(_ value: JSON, _ schema: JSONObject, _ path: String) -> String? {
        guard let number = value.double else { return nil }
        let bounds: [(String, (Double, Double) -> Bool)] = [
            ("minimum", { $0 >= $1 }), ("maximum", { $0 <= $1 }), ("exclusiveMinimum", { $0 > $1 }),
            ("exclusiveMaximum", { $0 < $1 }),
        ]
        for (name, holds) in bounds {
            guard let bound = schema[name]?.double, !holds(number, bound) else { continue }
            return "\(place(path)) \(shown(value)), past the schema's \(name) \(bound)"
        }
        return nil
    }

    private func shown(_ value: JSON) -> String { String(value.serialized().prefix(80)) }

    /// `#`, or `#/a/b` with `~1` for `/` and `~0` for `~` (RFC 6901).
    private func resolve(_ reference: String) -> JSON? {
        guard reference.hasPrefix("#") else { return nil }
        var found = root
        for part in reference.dropFirst().split(separator: "/") {
            let name = String(part).replacing("~1", with: "/").replacing("~0", with: "~")
            guard let next = found[name] else { return nil }
            found = next
        }
        return found
    }

    private static func fits(_ value: JSON, _ type: String) -> Bool {
        switch type {
        case "string": value.string != nil
        case "number": value.double != nil
        case "integer": value.int != nil
        case "boolean": value.bool != nil
        case "array": value.array != nil
        case "object": value.object != nil
        case "null": value.isNull
        default: true
        }
    }
}

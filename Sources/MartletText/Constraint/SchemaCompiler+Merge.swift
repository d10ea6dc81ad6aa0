import MartletWire

extension SchemaCompiler {
    /// A schema with `$ref` and `allOf` replaced by what they say.
    func merged(_ object: JSONObject, at path: String, depth: Int = 0) throws -> JSONObject {
        guard depth <= 32 else { throw refusal("'$ref' and 'allOf' lead to each other too deeply", at: path) }
        // Each level may name the next one more than once.
        try builder.checkTime()
        var base = object
        var parts: [JSON] = []
        if let pointer = base["$ref"] {
            guard let pointer = pointer.string else { throw refusal("'$ref' must be a string", at: path) }
            parts.append(try resolve(pointer))
        }
        if let list = base["allOf"] {
            guard let list = list.array, !list.isEmpty else {
                throw refusal("'allOf' must be a list that is not empty", at: path)
            }
            parts += list
        }
        base["$ref"] = nil
        base["allOf"] = nil
        for part in parts {
            var next = part
            if let inner = part.object, inner["$ref"] != nil || inner["allOf"] != nil {
                next = .object(try merged(inner, at: path, depth: depth + 1))
            }
            guard let object = try merge(.object(base), next, at: path, depth: depth + 1).object else { continue }
            base = object
        }
        return base
    }

    /// A schema that holds where both hold.
    func merge(_ left: JSON, _ right: JSON, at path: String, depth: Int = 0) throws -> JSON {
        guard depth <= 32 else { throw refusal("'$ref' and 'allOf' lead to each other too deeply", at: path) }
        try builder.checkTime()
        if right.bool == true || left == right { return left }
        if left.bool == true { return right }
        guard var one = left.object, var other = right.object else {
            throw refusal("nothing fits both of two schemas", at: path)
        }
        if one["$ref"] != nil { one = try merged(one, at: path, depth: depth + 1) }
        if other["$ref"] != nil || other["allOf"] != nil { other = try merged(other, at: path, depth: depth + 1) }
        try checkClosed(one, other, at: path)
        for (key, value) in other where !Self.annotations.contains(key) {
            guard let own = one[key] else {
                one[key] = value
                continue
            }
            if own == value, key != "properties" { continue }
            one[key] = try merge(key, own, value, at: path, depth: depth + 1)
        }
        for (key, value) in other where Self.annotations.contains(key) && one[key] == nil { one[key] = value }
        return .object(one)
    }

    private func merge(_ key: String, _ own: JSON, _ value: JSON, at path: String, depth: Int) throws -> JSON {
        switch key {
        case "properties":
            guard var properties = own.object, let more = value.object else {
                throw refusal("'properties' must be an object", at: path)
            }
            for (name, schema) in more {
                properties[name] =
                    try properties[name].map { try merge($0, schema, at: "\(path)/\(name)", depth: depth) } ?? schema
            }
            return .object(properties)
        case "required": return .array((own.array ?? []) + (value.array ?? []))
        case "minimum", "exclusiveMinimum", "minLength", "minItems":
            if let left = own.double, let right = value.double { return left >= right ? own : value }
        case "maximum", "exclusiveMaximum", "maxLength", "maxItems":
            if let left = own.double, let right = value.double { return left <= right ? own : value }
        case "items", "additionalProperties":
            if own.bool == false || value.bool == false { return .bool(false) }
            return try merge(own, value, at: "\(path)/\(key)", depth: depth)
        case "type":
            let (left, right) = (own.array ?? [own], value.array ?? [value])
            var shared = left.filter { right.contains($0) }
            if shared.isEmpty,
                left.contains("number") && right.contains("integer")
                    || left.contains("integer") && right.contains("number")
            {
                shared = ["integer"]
            }
            guard !shared.isEmpty else {
                throw refusal("two schemas that must hold at once have no type in common", at: path)
            }
            return shared.count == 1 ? shared[0] : .array(shared)
        case "enum":
            let shared = (own.array ?? []).filter { (value.array ?? []).contains($0) }
            guard !shared.isEmpty else { throw refusal("two 'enum's that must hold at once share no value", at: path) }
            return .array(shared)
        default: break
        }
        throw refusal("two schemas that must hold at once differ in '\(key)'; write them as one", at: path)
    }

    /// `additionalProperties: false` speaks of the properties beside it alone: one that the other schema adds would break it.
    private func checkClosed(_ one: JSONObject, _ other: JSONObject, at path: String) throws {
        for (closed, open) in [(one, other), (other, one)] {
            guard let additional = closed["additionalProperties"], additional.bool != true else { continue }
            for (name, _) in open["properties"]?.object ?? [:] where closed["properties"]?[name] == nil {
                throw refusal(
                    "'additionalProperties' of one schema forbids '\(name.prefix(80))' of another that must hold too",
                    at: path)
            }
        }
    }

    // MARK: Apartness

    /// Whether no answer that is written for one schema fits the other: what `oneOf` asks.
    func areApart(_ left: JSON, _ right: JSON, depth: Int) throws -> Bool {
        try builder.checkTime()
        guard depth < 4, var one = left.object, var other = right.object else { return false }
        if one["$ref"] != nil || one["allOf"] != nil { one = try merged(one, at: "") }
        if other["$ref"] != nil || other["allOf"] != nil { other = try merged(other, at: "") }
        for (object, rest) in [(one, other), (other, one)] {
            guard let options = (object["anyOf"] ?? object["oneOf"])?.array else { continue }
            return try options.allSatisfy { try areApart($0, .object(rest), depth: depth + 1) }
        }
        if let values = Self.constants(one), let others = Self.constants(other) {
            return !values.contains { others.contains($0) }
        }
        if let left = Self.typeNames(one), let right = Self.typeNames(other) {
            var left = left
            if left.contains("number") { left.insert("integer") }
            // What fits a schema without a type is more than what is written for it.
            let areTyped = [one, other].allSatisfy { $0["type"] != nil || Self.constants($0) != nil }
            if areTyped, !left.contains("integer") || !right.contains("number") {
                if left.isDisjoint(with: right) { return true }
            }
            guard left == ["object"], right == ["object"] else { return false }
        } else {
            return false
        }
        let (mine, theirs) = (Self.required(one), Self.required(other))
        for name in mine.intersection(theirs) {
            guard let first = one["properties"]?[name], let second = other["properties"]?[name] else { continue }
            if try areApart(first, second, depth: depth + 1) { return true }
        }
        return Self.isOut(one, of: other) && Self.isOut(other, of: one)
    }

    private static func required(_ object: JSONObject) -> Set<String> {
        Set((object["required"]?.array ?? []).compactMap(\.string))
    }

    private static func constants(_ object: JSONObject) -> [JSON]? {
        object["const"].map { [$0] } ?? object["enum"]?.array
    }

    private static func typeNames(_ object: JSONObject) -> Set<String>? {
        if let values = constants(object) {
            let names = ["object", "array", "string", "number", "boolean", "null"]
            return Set(values.flatMap { value in names.filter { has(value, type: $0) } })
        }
        if let type = object["type"] { return Set((type.array ?? [type]).compactMap(\.string)) }
        return object["properties"] == nil ? nil : ["object"]
    }

    /// Whether an answer written for `one` misses a property that `other` needs, or has one that it forbids.
    private static func isOut(_ one: JSONObject, of other: JSONObject) -> Bool {
        let known = Set(one["properties"]?.object?.keys ?? []).union(required(one))
        let isOpen = one["additionalProperties"].map { $0.bool != false } ?? false
        if !isOpen, !required(other).isSubset(of: known) { return true }
        guard other["additionalProperties"]?.bool == false else { return false }
        return !required(one).isSubset(of: Set(other["properties"]?.object?.keys ?? []))
    }
}

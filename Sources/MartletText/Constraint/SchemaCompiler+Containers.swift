import MartletWire

extension SchemaCompiler {
    mutating func object(_ object: JSONObject, at path: String, from: Int) throws -> Int {
        let (properties, extra) = try members(of: object, at: path)
        if properties.isEmpty, object["properties"] == nil, object["additionalProperties"] == nil {
            return try builder.jsonObject(from: from)
        }
        // `first`: no property is written yet; `rest`: at least one is.
        var first: Int? = try builder.literal("{", from: from)
        var rest: Int?
        func begin(_ compiler: inout SchemaCompiler) throws -> Int {
            let start = try compiler.builder.state()
            if let first { compiler.builder.join(first, start) }
            if let rest { compiler.builder.join(try compiler.builder.separator(",", from: rest), start) }
            return start
        }
        for property in properties {
            let start = try begin(&self)
            let name = try builder.jsonLiteral(property.name, from: start)
            let colon = try builder.separator(":", from: name)
            let end = try value(property.schema, at: "\(path)/\(property.name)", from: colon)
            let next = try builder.state()
            builder.join(end, next)
            if property.isRequired {
                first = nil
            } else if let rest {
                builder.join(rest, next)
            }
            rest = next
        }
        if let extra {
            let start = try begin(&self)
            let name = try builder.jsonString(except: properties.map(\.name), from: start)
            let colon = try builder.separator(":", from: name)
            let end = try value(extra, at: "\(path)/additionalProperties", from: colon)
            let next = try builder.state()
            builder.join(end, next)
            builder.join(try builder.separator(",", from: next), start)
            if let rest { builder.join(rest, next) }
            rest = next
        }
        let close = try builder.state()
        if let first { builder.join(first, close) }
        if let rest { builder.join(rest, close) }
        return try builder.literal("}", from: close)
    }

    private struct Member {
        var name: String
        var schema: JSON
        var isRequired: Bool
    }

    /// The properties in order, and the schema of those without a name where they are allowed.
    private func members(of object: JSONObject, at path: String) throws -> ([Member], JSON?) {
        let properties = object["properties"] ?? .object([:])
        guard let properties = properties.object else { throw refusal("'properties' must be an object", at: path) }
        let required = object["required"].map { $0.array?.compactMap(\.string) ?? [] } ?? []
        guard required.count == (object["required"]?.array?.count ?? 0),
            object["required"]?.array != nil || required.isEmpty
        else { throw refusal("'required' must be a list of names", at: path) }
        let additional = object["additionalProperties"]
        if let additional, additional.bool == nil, additional.object == nil {
            throw refusal("'additionalProperties' must be true, false or a schema", at: path)
        }
        let names = Set(required)
        var members: [Member] = []
        for (name, schema) in properties {
            guard name.utf8.count <= 1024 else {
                throw refusal("a property's name has more than 1,024 bytes", at: path)
            }
            if schema.bool == false, !names.contains(name) { continue }
            members.append(Member(name: name, schema: schema, isRequired: names.contains(name)))
        }
        var seen = Set(properties.keys)
        for name in required where seen.insert(name).inserted {
            guard additional?.bool != false else {
                throw refusal(
                    "'\(name.prefix(80))' is required, but 'properties' lacks it and 'additionalProperties' forbids it",
                    at: path)
            }
            members.append(Member(name: name, schema: additional ?? .bool(true), isRequired: true))
        }
        return (members, additional?.bool == false ? nil : additional)
    }

    mutating func array(_ object: JSONObject, at path: String, from: Int) throws -> Int {
        let minimum = try count("minItems", of: object, at: path) ?? 0
        let maximum = try count("maxItems", of: object, at: path)
        if let maximum, maximum < minimum { throw refusal("'maxItems' is below 'minItems'", at: path) }
        let listed = object["items"]?.array
        let prefix = object["prefixItems"]?.array ?? listed ?? []
        // Items past the named ones are written only where the schema speaks of them or must have them.
        let rest: JSON?
        switch listed == nil ? object["items"] : object["additionalItems"] {
        case .bool(false)?: rest = nil
        case let schema?: rest = schema
        case nil: rest = prefix.isEmpty || minimum > prefix.count ? .bool(true) : nil
        }
        guard rest != nil || minimum <= prefix.count else {
            throw refusal("'minItems' asks for more items than there can be", at: path)
        }
        var current = try builder.literal("[", from: from)
        let close = try builder.state()
        for (index, schema) in prefix.enumerated() {
            if index >= minimum { builder.join(current, close) }
            if let maximum, index >= maximum { return try builder.literal("]", from: close) }
            let start = index == 0 ? current : try builder.separator(",", from: current)
            current = try value(schema, at: "\(path)/prefixItems/\(index)", from: start)
        }
        let left = maximum.map { $0 - prefix.count }
        guard let rest, left.map({ $0 > 0 }) ?? true else {
            builder.join(current, close)
            return try builder.literal("]", from: close)
        }
        let least = max(0, minimum - prefix.count)
        if prefix.isEmpty {
            current = try repeatedItems(rest, least, left, at: path, from: current)
        } else {
            if least == 0 { builder.join(current, close) }
            let comma = try builder.separator(",", from: current)
            current = try repeatedItems(rest, max(1, least), left, at: path, from: comma)
        }
        builder.join(current, close)
        return try builder.literal("]", from: close)
    }

    private mutating func repeatedItems(
        _ schema: JSON, _ minimum: Int, _ maximum: Int?, at path: String, from: Int
    ) throws -> Int {
        let open = try builder.openRepetition(separatedBy: ",", from: from)
        let end = try value(schema, at: "\(path)/items", from: open.first)
        return try builder.close(open, at: end, minimum: minimum, maximum: maximum)
    }
}

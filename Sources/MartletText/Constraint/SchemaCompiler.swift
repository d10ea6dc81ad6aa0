import MartletWire

/// A JSON schema (2020-12 and draft 7 as clients write them) as a grammar.
///
/// What comes out validates against the schema: properties come in the schema's order, those that are not named only where
/// `additionalProperties` allows them in so many words. A keyword that cannot be kept is refused by name; only
/// annotations are passed over.
struct SchemaCompiler {
    static let annotations: Set<String> = [
        "title", "description", "default", "examples", "example", "$schema", "$id", "id", "$comment", "$anchor",
        "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "discriminator", "externalDocs",
        "$defs", "definitions", "strict",
    ]
    static let keywords: Set<String> = [
        "type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const", "anyOf",
        "oneOf", "allOf", "$ref", "minLength", "maxLength", "pattern", "format", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "nullable", "uniqueItems",
        "additionalItems", "propertyNames",
    ]
    private static let maximumDepth = 64

    let root: JSON
    var builder: ConstraintBuilder
    var depth = 0

    /// The grammar's part for `schema`, with every rule that it needs.
    static func add(_ schema: JSON, to builder: inout ConstraintBuilder, from: Int) throws -> Int {
        try SchemaSize.check(schema, limits: builder.limits)
        builder.memo.references = [:]
        let limits = builder.limits
        // Moved, not copied: a copy of a large grammar for each of many tools would take its time.
        var compiler = SchemaCompiler(
            root: schema, builder: exchange(&builder, with: ConstraintBuilder(limits: limits)))
        defer { builder = compiler.builder }
        let end = try compiler.value(schema, at: "", from: from)
        while let (pointer, rule) = compiler.builder.memo.pending.popLast() {
            let target = try compiler.resolve(pointer)
            let start = Int(compiler.builder.grammar.rules[rule])
            compiler.builder.finishRule(at: try compiler.value(target, at: pointer, from: start))
        }
        return end
    }

    func refusal(_ what: String, at path: String) -> MartletError {
        let place = path.isEmpty ? "the schema" : "the schema at '\(path)'"
        return MartletError(.invalidRequest, "\(place): \(what)", param: "schema")
    }

    /// A value of `schema`, from one state to another.
    mutating func value(_ schema: JSON, at path: String, from: Int) throws -> Int {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else { throw refusal("it is nested deeper than 64 levels", at: path) }
        if let flag = schema.bool {
            guard flag else { throw refusal("nothing fits the schema 'false'", at: path) }
            return try builder.jsonValue(from: from)
        }
        guard let object = schema.object else { throw refusal("it must be an object, not \(schema.kind)", at: path) }
        let keys = try constraints(of: object, at: path)
        if keys.isEmpty { return try builder.jsonValue(from: from) }
        if object["nullable"]?.bool == true {
            var rest = object
            rest["nullable"] = nil
            return try builderAlternatives(["null", nil], from: from) { compiler, word, start in
                if let word { return try compiler.builder.literal(word, from: start) }
                return try compiler.value(.object(rest), at: path, from: start)
            }
        }
        // A reference alone is a rule, which may lead back to itself; what is merged is written out.
        if keys == ["$ref"], let pointer = object["$ref"]?.string { return try reference(pointer, from: from) }
        if keys == ["allOf"], let list = object["allOf"]?.array, list.count == 1 {
            return try value(list[0], at: "\(path)/allOf/0", from: from)
        }
        if keys.contains("$ref") || keys.contains("allOf") {
            return try value(.object(try merged(object, at: path)), at: path, from: from)
        }
        for key in ["anyOf", "oneOf"] where keys.contains(key) {
            return try choice(object, key, at: path, from: from)
        }
        if let values = try literals(object, at: path) { return try literal(values, from: from) }
        let types = try self.types(object, keys, at: path)
        return try builderAlternatives(types, from: from) { compiler, type, start in
            try compiler.value(ofType: type, object, at: path, from: start)
        }
    }

    /// The keywords that are more than annotations; one that is not known is refused.
    private func constraints(of object: JSONObject, at path: String) throws -> Set<String> {
        var keys: Set<String> = []
        for (key, _) in object where !Self.annotations.contains(key) && !key.hasPrefix("x-") {
            guard Self.keywords.contains(key) else {
                throw refusal("the keyword '\(key)' is not supported; leave it out", at: path)
            }
            keys.insert(key)
        }
        if object["uniqueItems"]?.bool == true {
            throw refusal("the keyword 'uniqueItems' is not supported; leave it out", at: path)
        }
        keys.remove("uniqueItems")
        if let names = object["propertyNames"], !Self.takesAnyName(names) {
            throw refusal(
                "the keyword 'propertyNames' is not supported but for names of any text; leave it out", at: path)
        }
        keys.remove("propertyNames")
        if object["nullable"]?.bool == false { keys.remove("nullable") }
        return keys
    }

    /// Whether a schema of names says no more than that they are texts, as Zod does of every record.
    private static func takesAnyName(_ schema: JSON) -> Bool {
        if schema.bool == true { return true }
        guard let object = schema.object, object["type"].map({ $0 == "string" }) ?? true else { return false }
        return object.keys.allSatisfy { $0 == "type" || annotations.contains($0) }
    }

    mutating func builderAlternatives<Item>(
        _ items: [Item], from: Int, _ build: (inout SchemaCompiler, Item, Int) throws -> Int
    ) throws -> Int {
        if items.count == 1 { return try build(&self, items[0], from) }
        let end = try builder.state()
        for item in items {
            let start = try builder.state()
            builder.join(from, start)
            builder.join(try build(&self, item, start), end)
        }
        return end
    }

    // MARK: References

    private mutating func reference(_ pointer: String, from: Int) throws -> Int {
        if let rule = builder.memo.references[pointer] { return try builder.call(rule, from: from) }
        _ = try resolve(pointer)
        let rule = try builder.newRule()
        builder.memo.references[pointer] = rule
        builder.memo.pending.append((pointer, rule))
        return try builder.call(rule, from: from)
    }

    func resolve(_ pointer: String) throws -> JSON {
        guard pointer == "#" || pointer.hasPrefix("#/") else {
            throw refusal(
                "the '$ref' '\(pointer.prefix(80))' must begin with '#': only this schema is looked into", at: "")
        }
        var value = root
        for part in pointer.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false) where pointer != "#" {
            let key = part.split(separator: "~1", omittingEmptySubsequences: false)
                .map { $0.split(separator: "~0", omittingEmptySubsequences: false).joined(separator: "~") }
                .joined(separator: "/")
            let next = value.array.flatMap { list in Int(key).flatMap { list.indices.contains($0) ? list[$0] : nil } }
            guard let found = value[key] ?? next else {
                throw refusal("the '$ref' '\(pointer.prefix(80))' names nothing", at: "")
            }
            value = found
        }
        return value
    }

    // MARK: Choices

    private mutating func choice(_ object: JSONObject, _ key: String, at path: String, from: Int) throws -> Int {
        guard var options = object[key]?.array, !options.isEmpty else {
            throw refusal("'\(key)' must be a list that is not empty", at: path)
        }
        if key == "anyOf" { options = Self.followed(options) }
        guard object[key == "anyOf" ? "oneOf" : "anyOf"] == nil else {
            throw refusal("'anyOf' and 'oneOf' cannot stand side by side", at: path)
        }
        var base = object
        base[key] = nil
        let isPlain = try constraints(of: base, at: path).isEmpty
        var merged = try options.map { option -> JSON in
            isPlain ? option : try merge(.object(base), option, at: path)
        }
        if key == "oneOf" {
            if let name = object["discriminator"]?["propertyName"]?.string {
                merged = try merged.map { try tagged($0, by: name, at: path) }
            }
            for (index, one) in merged.enumerated() {
                for other in merged[..<index] where try !areApart(one, other, depth: 0) {
                    throw refusal(
                        "two schemas of 'oneOf' can hold at once; use 'anyOf', or give them a property with different constants",
                        at: path)
                }
            }
        }
        return try builderAlternatives(Array(merged.enumerated()), from: from) { compiler, option, start in
            try compiler.value(option.element, at: "\(path)/\(key)/\(option.offset)", from: start)
        }
    }

    /// `option` with the property that tells it from the others of `oneOf`, which is always written: Pydantic does not
    /// require it where it has a default.
    private func tagged(_ option: JSON, by name: String, at path: String) throws -> JSON {
        guard let object = option.object else { return option }
        let target = try object["$ref"] == nil ? option : .object(merged(object, at: path))
        let required = target["required"]?.array ?? []
        guard target["properties"]?[name] != nil, !required.contains(.string(name)) else { return option }
        return try merge(["required": [.string(name)]], option, at: path)
    }

    /// Those whose patterns can be followed, where that leaves more than null; else all. What is written for them fits the
    /// whole: Pydantic's decimals are numbers, or texts of a pattern that looks ahead.
    private static func followed(_ options: [JSON]) -> [JSON] {
        let followed = options.filter { option in
            option["pattern"]?.string.map { (try? PatternParser.parse($0)) != nil } ?? true
        }
        return followed.contains { $0["type"] != "null" } ? followed : options
    }

    // MARK: Constants

    /// The values of `const` or `enum` that have the type that stands beside them.
    private func literals(_ object: JSONObject, at path: String) throws -> [JSON]? {
        let values: [JSON]
        if let constant = object["const"] {
            values = object["enum"].map { ($0.array ?? []).contains(constant) ? [constant] : [] } ?? [constant]
        } else if let list = object["enum"] {
            guard let list = list.array, !list.isEmpty else {
                throw refusal("'enum' must be a list that is not empty", at: path)
            }
            values = list
        } else {
            return nil
        }
        let others = try constraints(of: object, at: path).subtracting(["const", "enum", "type"])
        guard others.isEmpty else {
            throw refusal("'\(others.sorted()[0])' cannot stand beside 'enum' or 'const'; leave it out", at: path)
        }
        let types = object["type"] == nil ? nil : try self.types(object, ["type"], at: path)
        let kept = values.filter { value in types?.contains { Self.has(value, type: $0) } ?? true }
        guard !kept.isEmpty else { throw refusal("no value of 'enum' has the type that is asked for", at: path) }
        return kept
    }

    static func has(_ value: JSON, type: String) -> Bool {
        switch value {
        case .null: type == "null"
        case .bool: type == "boolean"
        case .int: type == "integer" || type == "number"
        case .double(let number): type == "number" || (type == "integer" && number == number.rounded())
        case .string: type == "string"
        case .array: type == "array"
        case .object: type == "object"
        }
    }

    // MARK: Types

    private func types(_ object: JSONObject, _ keys: Set<String>, at path: String) throws -> [String] {
        let known = ["object", "array", "string", "number", "integer", "boolean", "null"]
        guard let type = object["type"] else {
            // A keyword speaks of one type alone: where no type is named, that one is meant.
            var types: [String] = []
            let hints: [(String, [String])] = [
                ("object", ["properties", "required", "additionalProperties"]),
                ("array", ["items", "prefixItems", "minItems", "maxItems", "additionalItems"]),
                ("string", ["minLength", "maxLength", "pattern", "format"]),
                ("number", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
            ]
            for (type, words) in hints where !keys.isDisjoint(with: words) { types.append(type) }
            return types
        }
        let names = type.string.map { [$0] } ?? type.array?.compactMap(\.string) ?? []
        guard !names.isEmpty, names.allSatisfy(known.contains), names.count == (type.array?.count ?? 1) else {
            throw refusal("'type' must be one of \(known.joined(separator: ", "))", at: path)
        }
        var kept: [String] = []
        for name in names where !kept.contains(name) && !(name == "integer" && names.contains("number")) {
            kept.append(name)
        }
        return kept
    }

    private mutating func value(
        ofType type: String, _ object: JSONObject, at path: String, from: Int
    ) throws -> Int {
        switch type {
        case "object": try self.object(object, at: path, from: from)
        case "array": try array(object, at: path, from: from)
        case "string": try string(object, at: path, from: from)
        case "number", "integer": try number(object, isInteger: type == "integer", at: path, from: from)
        case "boolean": try builder.words(["true", "false"], from: from)
        default: try builder.literal("null", from: from)
        }
    }

    /// A number from a keyword that counts.
    func count(_ key: String, of object: JSONObject, at path: String) throws -> Int? {
        guard let value = object[key] else { return nil }
        guard let count = value.int, count >= 0 else {
            throw refusal("'\(key)' must be a whole number that is not negative", at: path)
        }
        return count
    }
}

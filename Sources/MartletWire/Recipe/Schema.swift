/// What a value of a recipe may be: one description for reading, for error messages and for `plan --schema`.
indirect enum Schema: Sendable {
    case string
    case bool
    case integer(ClosedRange<Int>)
    case number(ClosedRange<Double>)
    case choice([String])
    /// A list; one plain value stands for a list of it.
    case list(Schema)
    case section(Section)
    /// name → section, which becomes a list of sections with their `name`.
    case named(Section)
    /// Free keys.
    case map(Schema)
    /// A form with a reader of its own.
    case custom(Custom)

    struct Section: Sendable {
        var title: String
        var fields: [Field]
        /// The values of the fields that are left out.
        var defaults: JSON
        /// The field that a plain value stands for: `loss: mse` is `loss: {type: mse}`.
        var shorthand: String?

        init(_ title: String, _ defaults: some Encodable, shorthand: String? = nil, _ fields: [Field]) {
            self.title = title
            self.defaults = (try? JSON(encoding: defaults)) ?? .object([:])
            self.shorthand = shorthand
            self.fields = fields
        }
    }

    struct Field: Sendable {
        var name: String
        var schema: Schema
        init(_ name: String, _ schema: Schema) {
            self.name = name
            self.schema = schema
        }
    }

    struct Custom: Sendable {
        /// What must stand there, in a user's words.
        var expectation: String
        var jsonSchema: JSON
        /// nil where the node is not of the form.
        var read: @Sendable (ConfigNode, inout SchemaReader, String) -> JSON?
    }

    /// The expectation in a user's words.
    var expectation: String {
        switch self {
        case .string: "text"
        case .bool: "true or false"
        case .integer(let range): "a whole number" + Self.words(range.lowerBound, range.upperBound, Int.min, Int.max)
        case .number(let range):
            "a number"
                + Self.words(
                    range.lowerBound, range.upperBound, -Double.greatestFiniteMagnitude, Double.greatestFiniteMagnitude)
        case .choice(let words): "one of " + words.joined(separator: ", ")
        case .list(let element): "a list of \(element.expectation)"
        case .section(let section): "a section with " + section.fields.prefix(6).map(\.name).joined(separator: ", ")
        case .named: "names, each with a section"
        case .map(let element): "names, each with \(element.expectation)"
        case .custom(let custom): custom.expectation
        }
    }

    private static func words<Number: Comparable>(_ low: Number, _ high: Number, _ min: Number, _ max: Number) -> String
    {
        switch (low == min, high == max) {
        case (true, true): ""
        case (false, true): " of at least \(low)"
        case (true, false): " of at most \(high)"
        case (false, false): " from \(low) to \(high)"
        }
    }

    /// As JSON Schema (2020-12).
    var jsonSchema: JSON {
        switch self {
        case .string: ["type": "string"]
        case .bool: ["type": "boolean"]
        case .integer(let range):
            .object(
                JSONObject(
                    [("type", "integer"), ("minimum", .init(range.lowerBound))]
                        + (range.upperBound == .max ? [] : [("maximum", .init(range.upperBound))])))
        case .number(let range):
            .object(
                JSONObject(
                    [("type", JSON.string("number"))]
                        + (range.lowerBound == -.greatestFiniteMagnitude
                            ? [] : [("minimum", .double(range.lowerBound))])
                        + (range.upperBound == .greatestFiniteMagnitude ? [] : [("maximum", .double(range.upperBound))])
                ))
        case .choice(let words): ["enum": .array(words.map(JSON.string))]
        case .list(let element): ["anyOf": [["type": "array", "items": element.jsonSchema], element.jsonSchema]]
        case .section(let section): section.jsonSchema
        case .named(let section): ["type": "object", "additionalProperties": section.jsonSchema]
        case .map(let element): ["type": "object", "additionalProperties": element.jsonSchema]
        case .custom(let custom): custom.jsonSchema
        }
    }
}

extension Schema.Section {
    var jsonSchema: JSON {
        var properties = JSONObject()
        for field in fields {
            var schema = field.schema.jsonSchema
            if case .object(var object) = schema, let value = defaults[field.name], value.object == nil {
                object["default"] = value
                schema = .object(object)
            }
            properties[field.name] = schema
        }
        let object: JSON = [
            "type": "object", "title": .string(title), "additionalProperties": false, "properties": .object(properties),
        ]
        guard let shorthand, let field = fields.first(where: { $0.name == shorthand }) else { return object }
        return ["anyOf": [object, field.schema.jsonSchema]]
    }
}

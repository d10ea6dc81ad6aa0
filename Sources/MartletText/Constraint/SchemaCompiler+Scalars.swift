import MartletWire

extension SchemaCompiler {
    mutating func string(_ object: JSONObject, at path: String, from: Int) throws -> Int {
        let minimum = try count("minLength", of: object, at: path) ?? 0
        let maximum = try count("maxLength", of: object, at: path)
        if let maximum, maximum < minimum { throw refusal("'maxLength' is below 'minLength'", at: path) }
        if let pattern = try pattern(of: object, at: path) {
            guard let held = Self.held(try PatternParser.parse(pattern), to: minimum, maximum) else {
                throw refusal(
                    "'pattern' cannot stand beside this 'minLength' or 'maxLength'; put the length into the pattern",
                    at: path)
            }
            return try builder.jsonString(matching: held, from: from)
        }
        if let format = object["format"]?.string, let pattern = Self.formats[format] {
            let whole = try PatternParser.parse(pattern).map {
                PatternAlternative(startsAtStart: true, endsAtEnd: true, body: $0.body)
            }
            guard let held = Self.held(whole, to: minimum, maximum) else {
                throw refusal(
                    "the format '\(format)' cannot stand beside this 'minLength' or 'maxLength'; leave one out",
                    at: path)
            }
            return try builder.jsonString(matching: held, from: from)
        }
        return try builder.jsonString(minimum: minimum, maximum: maximum, from: from)
    }

    /// What `pattern` asks for; nil where there is none, or none that the format does not keep already. A format beside
    /// any other is the annotation that JSON schema says it is.
    private func pattern(of object: JSONObject, at path: String) throws -> String? {
        let format = object["format"]
        if let format, format.string == nil { throw refusal("'format' must be a string", at: path) }
        guard let pattern = object["pattern"] else {
            guard let name = format?.string, Self.formats[name] == nil, !Self.looseFormats.contains(name) else {
                return nil
            }
            throw refusal("the format '\(name.prefix(40))' is not supported; leave it out or use 'pattern'", at: path)
        }
        guard let pattern = pattern.string else { throw refusal("'pattern' must be a string", at: path) }
        return format?.string == "email" && pattern == Self.addressPattern ? nil : pattern
    }

    private static func held(
        _ alternatives: [PatternAlternative], to minimum: Int, _ maximum: Int?
    ) -> [PatternAlternative]? {
        let held = alternatives.compactMap { $0.held(to: minimum, maximum) }
        return held.count == alternatives.count ? held : nil
    }

    /// What Zod writes beside the format `email`. It looks ahead, for dots that no address of the format has.
    private static let addressPattern =
        #"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"#

    /// Formats that say how a string is read, not what is in it.
    private static let looseFormats: Set<String> = [
        "password", "binary", "byte", "path", "file-path", "directory-path", "json-string", "text", "regex",
    ]

    private static let formats: [String: String] = {
        let day =
            "[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
        let time =
            "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
        let label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
        let byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
        return [
            "date": day, "time": time, "date-time": "\(day)T\(time)",
            "duration":
                "P(?:[0-9]{1,3}D(?:T[0-9]{1,2}H(?:[0-9]{1,2}M(?:[0-9]{1,2}S)?)?)?|T(?:[0-9]{1,3}H(?:[0-9]{1,2}M(?:[0-9]{1,2}S)?)?|[0-9]{1,3}M(?:[0-9]{1,2}S)?|[0-9]{1,5}S)|[0-9]{1,3}W|[0-9]{1,3}Y(?:[0-9]{1,2}M(?:[0-9]{1,2}D)?)?|[0-9]{1,2}M(?:[0-9]{1,2}D)?)",
            "email":
                "[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,32}){0,3}@\(label)(?:\\.\(label)){0,3}\\.[A-Za-z]{2,12}",
            "hostname": "\(label)(?:\\.\(label)){0,7}", "ipv4": "\(byte)(?:\\.\(byte)){3}",
            "ipv6": "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}",
            "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "uri":
                "[a-z][a-z0-9+.-]{1,15}://\(label)(?:\\.\(label)){0,7}(?::[1-9][0-9]{0,3})?(?:/[A-Za-z0-9._~-]{0,64}){0,16}(?:\\?[A-Za-z0-9._~=&-]{0,256})?",
        ]
    }()

    mutating func number(
        _ object: JSONObject, isInteger: Bool, at path: String, from: Int
    ) throws -> Int {
        if let step = object["multipleOf"], !(isInteger && step.double == 1) {
            throw refusal("the keyword 'multipleOf' is not supported; leave it out", at: path)
        }
        let low = try bound("minimum", "exclusiveMinimum", isLow: true, of: object, at: path)
        let high = try bound("maximum", "exclusiveMaximum", isLow: false, of: object, at: path)
        // A bound past every number of the usual digits still forbids exponents.
        if low == nil, high == nil, isInteger || Self.bounds.allSatisfy({ object[$0]?.double == nil }) {
            if isInteger { return try builder.pattern("-?(?:0|[1-9][0-9]{0,15})", .plain, from: from) }
            return try builder.jsonNumber(from: from)
        }
        guard let pattern = NumberPattern.between(low, high, isInteger: isInteger) else {
            throw refusal("no number lies between its bounds", at: path)
        }
        return try builder.pattern(pattern, .plain, from: from)
    }

    private static let bounds = ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"]

    private func bound(
        _ key: String, _ strictKey: String, isLow: Bool, of object: JSONObject, at path: String
    ) throws -> NumberPattern.Decimal? {
        var bounds: [NumberPattern.Decimal] = []
        let isStrict = object[strictKey]?.bool ?? false
        for (word, isStrict) in [(key, isStrict), (strictKey, true)] {
            guard let json = object[word], json.bool == nil else { continue }
            guard let value = json.double, value.isFinite else { throw refusal("'\(word)' must be a number", at: path) }
            if let decimal = NumberPattern.Decimal(json, isLow: isLow, isStrict: isStrict) {
                bounds.append(decimal)
            } else if (value > 0) == isLow {
                throw refusal("the bound '\(word)' is too large", at: path)
            }
        }
        guard bounds.count == 2 else { return bounds.first }
        // Of two bounds the narrower holds; where they are the same number, the strict one.
        let values = [object[key]?.double ?? 0, object[strictKey]?.double ?? 0]
        return isLow == (values[0] > values[1]) && values[0] != values[1] ? bounds[0] : bounds[1]
    }

    // MARK: Constants

    /// One of `values`: scalars share their beginnings, so that thousands of names stay one path.
    mutating func literal(_ values: [JSON], from: Int) throws -> Int {
        let end = try builder.state()
        let root = try builder.state()
        builder.join(from, root)
        var children: [Int: Int] = [:]
        for value in values {
            switch value {
            case .array, .object:
                let start = try builder.state()
                builder.join(from, start)
                builder.join(try constant(value, from: start), end)
            default:
                let bytes = Self.scalarText(value)
                var current = root
                for byte in bytes {
                    let key = current << 8 | Int(byte)
                    let next = try children[key] ?? builder.byte(current, byte, byte)
                    children[key] = next
                    current = next
                }
                builder.join(current, end)
            }
        }
        return end
    }

    private static func scalarText(_ value: JSON) -> [UInt8] {
        guard case .string(let text) = value else { return Array(value.serialized().utf8) }
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{0}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        return Array((out + "\"").utf8)
    }

    private mutating func constant(_ value: JSON, from: Int) throws -> Int {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 64 else { throw refusal("a constant is nested deeper than 64 levels", at: "") }
        switch value {
        case .array(let items):
            var current = try builder.literal("[", from: from)
            for (index, item) in items.enumerated() {
                if index > 0 { current = try builder.separator(",", from: current) }
                current = try constant(item, from: current)
            }
            return try builder.literal("]", from: current)
        case .object(let object):
            var current = try builder.literal("{", from: from)
            for (index, pair) in object.enumerated() {
                if index > 0 { current = try builder.separator(",", from: current) }
                current = try builder.separator(":", from: try builder.jsonLiteral(pair.key, from: current))
                current = try constant(pair.value, from: current)
            }
            return try builder.literal("}", from: current)
        default: return try builder.literal(String(decoding: Self.scalarText(value), as: UTF8.self), from: from)
        }
    }
}

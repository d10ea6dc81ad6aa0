/// How `tojson` writes: Python's `json.dumps` as transformers calls it, without HTML escapes.
struct TemplateJSONStyle {
    var isASCII = false
    /// What one level of indentation is; nil writes one line.
    var indent: String?
    var itemSeparator = ", "
    var keySeparator = ": "
    var sortsKeys = false
}

extension TemplateValue {
    func appendJSON(_ style: TemplateJSONStyle, level: Int = 0, to out: inout String) throws {
        switch self {
        case .none: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .int(let value): out += String(value)
        case .float(let value): out += Self.jsonText(of: value)
        case .string(let text): Self.appendJSON(text, isASCII: style.isASCII, to: &out)
        case .list(let list), .tuple(let list):
            try Self.append(list.items.count, open: "[", close: "]", style, level, to: &out) { index, out in
                try list.items[index].appendJSON(style, level: level + 1, to: &out)
            }
        case .dictionary(let dictionary):
            var order = Array(0..<dictionary.count)
            if style.sortsKeys { try order.sort { try dictionary.keys[$0].isLess(than: dictionary.keys[$1]) } }
            try Self.append(order.count, open: "{", close: "}", style, level, to: &out) { index, out in
                Self.appendJSON(try Self.jsonKey(dictionary.keys[order[index]]), isASCII: style.isASCII, to: &out)
                out += style.keySeparator
                try dictionary.values[order[index]].appendJSON(style, level: level + 1, to: &out)
            }
        case .hidden(let name): throw Self.isHidden(name)
        case .undefined(let what): throw TemplateFault("\(what) is undefined and cannot be written as JSON")
        default: throw TemplateFault("\(typeName) cannot be written as JSON")
        }
    }

    private static func jsonText(of value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return text(of: value)
    }

    private static func jsonKey(_ key: TemplateValue) throws -> String {
        switch key {
        case .none: "null"
        case .bool(let value): value ? "true" : "false"
        case .float(let value): jsonText(of: value)
        default: try key.text()
        }
    }

    private static func append(
        _ count: Int, open: String, close: String, _ style: TemplateJSONStyle, _ level: Int, to out: inout String,
        item: (Int, inout String) throws -> Void
    ) throws {
        out += open
        for index in 0..<count {
            if index > 0 { out += style.itemSeparator }
            try TemplateSize.check(out)
            if let indent = style.indent { out += "\n" + String(repeating: indent, count: level + 1) }
            try item(index, &out)
        }
        if count > 0, let indent = style.indent { out += "\n" + String(repeating: indent, count: level) }
        out += close
    }

    private static func appendJSON(_ text: String, isASCII: Bool, to out: inout String) {
        out += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{8}": out += "\\b"
            case "\u{C}": out += "\\f"
            case "\u{0}"..."\u{1F}": appendUnit(UInt16(scalar.value), to: &out)
            default:
                if isASCII, scalar.value > 0x7E {
                    for unit in UTF16.encode(scalar) ?? .init() { appendUnit(unit, to: &out) }
                } else {
                    out.unicodeScalars.append(scalar)
                }
            }
        }
        out += "\""
    }

    private static func appendUnit(_ unit: UInt16, to out: inout String) {
        let digits = String(unit, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}

extension TemplateValue {
    /// Python's `str()`.
    func appendText(to out: inout String) throws {
        switch self {
        case .string(let text): out += text
        case .undefined, .hidden: break
        default: try appendLiteral(to: &out)
        }
    }

    static func isHidden(_ name: String) -> TemplateFault {
        TemplateFault("the attribute '\(name)' is hidden from templates")
    }

    func text() throws -> String {
        if case .string(let text) = self { return text }
        var out = ""
        try appendText(to: &out)
        return out
    }

    /// Python's `repr()`.
    func appendLiteral(to out: inout String) throws {
        switch self {
        case .undefined: out += "Undefined"
        case .hidden(let name): throw Self.isHidden(name)
        case .none: out += "None"
        case .bool(let value): out += value ? "True" : "False"
        case .int(let value): out += String(value)
        case .float(let value): out += Self.text(of: value)
        case .string(let text): Self.appendQuoted(text, to: &out)
        case .list(let list): try Self.append(list.items, open: "[", close: "]", to: &out)
        case .tuple(let list):
            try Self.append(list.items, open: "(", close: list.items.count == 1 ? ",)" : ")", to: &out)
        case .dictionary(let dictionary):
            out += "{"
            for index in 0..<dictionary.count {
                if index > 0 { out += ", " }
                try dictionary.keys[index].appendLiteral(to: &out)
                out += ": "
                try dictionary.values[index].appendLiteral(to: &out)
            }
            out += "}"
        case .range(_, let text): out += text
        case .namespace, .lazy, .loop, .macro, .function, .method, .cycler, .joiner:
            throw TemplateFault("\(typeName) cannot be printed")
        }
    }

    private static func append(_ items: [TemplateValue], open: String, close: String, to out: inout String) throws {
        out += open
        for (index, item) in items.enumerated() {
            if index > 0 { out += ", " }
            try TemplateSize.check(out)
            try item.appendLiteral(to: &out)
        }
        out += close
    }

    /// Python's `repr()` of a float: the shortest digits, with an exponent below 1e-4 and from 1e16.
    static func text(of value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }
        let sign = value < 0 ? "-" : ""
        // Swift's description has the same shortest digits in another shape.
        let parts = value.magnitude.description.split(separator: "e")
        let mantissa = parts[0].split(separator: ".")
        let whole = String(mantissa[0])
        var digits = whole + (mantissa.count > 1 ? mantissa[1] : "")
        var point = whole.count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        let leading = digits.prefix { $0 == "0" }.count
        digits.removeFirst(leading)
        point -= leading
        while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
        if point > 16 || point < -3 {
            let exponent = point - 1
            let tail = digits.dropFirst()
            let magnitude = String(abs(exponent))
            return sign + digits.prefix(1) + (tail.isEmpty ? "" : "." + tail) + "e" + (exponent < 0 ? "-" : "+")
                + (magnitude.count < 2 ? "0" : "") + magnitude
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
        if digits.count <= point { return sign + digits + String(repeating: "0", count: point - digits.count) + ".0" }
        return sign + digits.prefix(point) + "." + digits.dropFirst(point)
    }

    private static func appendQuoted(_ text: String, to out: inout String) {
        let quote: Unicode.Scalar =
            text.unicodeScalars.contains("'") && !text.unicodeScalars.contains("\"") ? "\"" : "'"
        out.unicodeScalars.append(quote)
        for scalar in text.unicodeScalars {
            switch scalar {
            case quote, "\\":
                out += "\\"
                out.unicodeScalars.append(scalar)
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            default:
                if isPrintable(scalar) {
                    out.unicodeScalars.append(scalar)
                } else {
                    let (mark, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
                    let digits = String(scalar.value, radix: 16)
                    out += "\\" + mark + String(repeating: "0", count: width - digits.count) + digits
                }
            }
        }
        out.unicodeScalars.append(quote)
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar == " " { return true }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }
}

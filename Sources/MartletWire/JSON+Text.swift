import Foundation

extension JSON {
    /// The document as text; keys stay in their order. Numbers that are not finite become null.
    public func serialized(pretty: Bool = false) -> String {
        var out = ""
        write(to: &out, indent: pretty ? 0 : nil)
        return out
    }

    public var data: Data { Data(serialized().utf8) }

    private func write(to out: inout String, indent: Int?) {
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .int(let value): out += String(value)
        case .double(let value): out += value.isFinite ? value.description : "null"
        case .string(let value): Self.quote(value, to: &out)
        case .array(let values):
            Self.write(values, open: "[", close: "]", to: &out, indent: indent) { value, out, inner in
                value.write(to: &out, indent: inner)
            }
        case .object(let object):
            Self.write(Array(object), open: "{", close: "}", to: &out, indent: indent) { pair, out, inner in
                Self.quote(pair.key, to: &out)
                out += inner == nil ? ":" : ": "
                pair.value.write(to: &out, indent: inner)
            }
        }
    }

    private static func write<Element>(
        _ elements: [Element], open: Character, close: Character, to out: inout String, indent: Int?,
        element write: (Element, inout String, Int?) -> Void
    ) {
        out.append(open)
        let inner = indent.map { $0 + 2 }
        for (index, element) in elements.enumerated() {
            if index > 0 { out += "," }
            if let inner { out += "\n" + String(repeating: " ", count: inner) }
            write(element, &out, inner)
        }
        if let indent, !elements.isEmpty { out += "\n" + String(repeating: " ", count: indent) }
        out.append(close)
    }

    /// `text` as a JSON string, quotes included.
    public static func quote(_ text: String, to out: inout String) {
        out += "\""
        defer { out += "\"" }
        if !mayNeedEscapes(text) {
            out += text
            return
        }
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{2028}", "\u{2029}", "\u{0}"..."\u{1F}", "\u{7F}":
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
    }

    /// Whether a byte of `text` stands for, or begins, a character that JSON strings do not take as it is.
    private static func mayNeedEscapes(_ text: String) -> Bool {
        text.utf8.withContiguousStorageIfAvailable { bytes in
            bytes.contains { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C || $0 == 0x7F || $0 == 0xE2 }
        } ?? true
    }
}

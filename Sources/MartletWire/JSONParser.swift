import Foundation

/// What a document may be at most.
public struct JSONLimits: Sendable {
    /// Nesting of lists and objects.
    public var depth: Int
    /// Values in all: in a tree each takes many times its bytes in a text.
    public var values: Int
    public init(depth: Int, values: Int = 4_000_000) {
        self.depth = depth
        self.values = values
    }
    /// For what a stranger sends: CONTRACT's depth of 64.
    public static let request = JSONLimits(depth: 64)
    /// For documents that our own encoder wrote a moment ago.
    public static let trusted = JSONLimits(depth: 256, values: .max)
}

/// A strict reader of RFC 8259: duplicate keys, trailing commas, bad UTF-8, lone surrogates, numbers past the range of
/// a double and documents nested deeper than the limit or with more values are refused, with the byte offset of the
/// fault.
///
/// Recursion is bounded by `JSONLimits.depth`, so no input can exhaust the stack.
public struct JSONParser: ~Copyable {
    package let bytes: UnsafeRawBufferPointer
    package var position = 0
    var depth = 0
    private var valueCount = 0
    let limits: JSONLimits

    package init(bytes: UnsafeRawBufferPointer, limits: JSONLimits) {
        self.bytes = bytes
        self.limits = limits
    }

    /// The whole of `data` as one value. Throws `invalidRequest`, `tooLarge` for too many values.
    public static func parse(_ data: some ContiguousBytes, limits: JSONLimits = .request) throws -> JSON {
        try data.withUnsafeBytes { bytes in
            var parser = JSONParser(bytes: bytes, limits: limits)
            parser.skipSpace()
            let value = try parser.value()
            parser.skipSpace()
            guard parser.position == bytes.count else { throw parser.fault("text after the end of the document") }
            return value
        }
    }

    public static func parse(_ text: String, limits: JSONLimits = .request) throws -> JSON {
        try parse(Array(text.utf8), limits: limits)
    }

    package func fault(_ what: String) -> MartletError {
        MartletError(.invalidRequest, "the JSON is not valid at byte \(position): \(what); mend the document")
    }

    package mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    package mutating func value() throws -> JSON {
        guard position < bytes.count else { throw fault("the document ends early") }
        valueCount += 1
        guard valueCount <= limits.values else {
            throw MartletError(.tooLarge, "the JSON has more than \(limits.values) values; send it in parts")
        }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try list()
        case UInt8(ascii: "\""): return .string(try text())
        case UInt8(ascii: "t"):
            try word("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try word("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try word("null")
            return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw fault("a value must start here")
        }
    }

    private mutating func word(_ word: StaticString) throws {
        let count = word.utf8CodeUnitCount
        guard bytes.count - position >= count else { throw fault("the document ends early") }
        for offset in 0..<count where bytes[position + offset] != word.utf8Start[offset] {
            throw fault("a value must start here")
        }
        position += count
    }

    private mutating func descend() throws {
        depth += 1
        guard depth <= limits.depth else {
            throw fault("it is nested deeper than \(limits.depth) levels")
        }
    }

    private mutating func list() throws -> JSON {
        try descend()
        position += 1
        var values: [JSON] = []
        skipSpace()
        if try take("]") {
            depth -= 1
            return .array(values)
        }
        while true {
            skipSpace()
            values.append(try value())
            skipSpace()
            if try take(",") { continue }
            guard try take("]") else { throw fault("',' or ']' must follow") }
            depth -= 1
            return .array(values)
        }
    }

    private mutating func object() throws -> JSON {
        try descend()
        position += 1
        var object = JSONObject()
        skipSpace()
        if try take("}") {
            depth -= 1
            return .object(object)
        }
        while true {
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
                throw fault("a key must follow")
            }
            let key = try text()
            guard object[key] == nil else {
                throw MartletError(
                    .invalidRequest, "duplicate_key: the key '\(key)' stands twice in one object; keep one of them",
                    param: key)
            }
            skipSpace()
            guard try take(":") else { throw fault("':' must follow the key '\(key)'") }
            skipSpace()
            object[key] = try value()
            skipSpace()
            if try take(",") { continue }
            guard try take("}") else { throw fault("',' or '}' must follow") }
            depth -= 1
            return .object(object)
        }
    }

    package mutating func take(_ character: Unicode.Scalar) throws -> Bool {
        guard position < bytes.count else { throw fault("the document ends early") }
        guard bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    mutating func number() throws -> JSON {
        let start = position
        var isInteger = true
        if bytes[position] == UInt8(ascii: "-") { position += 1 }
        let digits = position
        skipDigits()
        guard position > digits else { throw fault("a digit must follow '-'") }
        if bytes[digits] == UInt8(ascii: "0"), position - digits > 1 { throw fault("a number must not start with 0") }
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            let fraction = position
            skipDigits()
            guard position > fraction else { throw fault("a digit must follow '.'") }
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            position += 1
            if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") {
                position += 1
            }
            let exponent = position
            skipDigits()
            guard position > exponent else { throw fault("a digit must follow the exponent") }
        }
        guard position - start <= 1024 else { throw fault("a number has more than 1,024 characters") }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let value = Int64(text) { return .int(value) }
        guard let value = Double(text), value.isFinite else {
            throw fault("the number \(text.prefix(40)) is past the range of a double")
        }
        return .double(value)
    }

    private mutating func skipDigits() {
        while position < bytes.count, bytes[position] >= 0x30, bytes[position] <= 0x39 { position += 1 }
    }

    package mutating func text() throws -> String {
        position += 1
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                let slice = UnsafeRawBufferPointer(rebasing: bytes[start..<position])
                guard let text = String(validating: slice, as: UTF8.self) else {
                    throw fault("a string is not valid UTF-8")
                }
                position += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { return try escapedText(from: start) }
            guard byte >= 0x20 else { throw fault("a control character in a string; write it as \\u00XX") }
            position += 1
        }
        throw fault("a string does not end")
    }

    private mutating func escapedText(from start: Int) throws -> String {
        var buffer = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") {
                guard let text = String(validating: buffer, as: UTF8.self) else {
                    throw fault("a string is not valid UTF-8")
                }
                return text
            }
            guard byte >= 0x20 else { throw fault("a control character in a string; write it as \\u00XX") }
            guard byte == UInt8(ascii: "\\") else {
                buffer.append(byte)
                continue
            }
            guard position < bytes.count else { break }
            let escape = bytes[position]
            position += 1
            switch escape {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(escape)
            case UInt8(ascii: "b"): buffer.append(0x08)
            case UInt8(ascii: "f"): buffer.append(0x0C)
            case UInt8(ascii: "n"): buffer.append(0x0A)
            case UInt8(ascii: "r"): buffer.append(0x0D)
            case UInt8(ascii: "t"): buffer.append(0x09)
            case UInt8(ascii: "u"): buffer.append(contentsOf: Array(String(try escapedScalar()).utf8))
            default: throw fault("an unknown escape in a string")
            }
        }
        throw fault("a string does not end")
    }

    private mutating func escapedScalar() throws -> Character {
        let first = try hex4()
        var code = UInt32(first)
        if (0xD800..<0xDC00).contains(first) {
            guard bytes.count - position >= 6, bytes[position] == UInt8(ascii: "\\"),
                bytes[position + 1] == UInt8(ascii: "u")
            else { throw fault("half of a surrogate pair") }
            position += 2
            let second = try hex4()
            guard (0xDC00..<0xE000).contains(second) else { throw fault("half of a surrogate pair") }
            code = 0x10000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw fault("half of a surrogate pair") }
        return Character(scalar)
    }

    private mutating func hex4() throws -> UInt16 {
        guard bytes.count - position >= 4,
            let text = String(validating: bytes[position..<position + 4], as: UTF8.self),
            !text.hasPrefix("+"), !text.hasPrefix("-"), let code = UInt16(text, radix: 16)
        else { throw fault("four hexadecimal digits must follow \\u") }
        position += 4
        return code
    }
}

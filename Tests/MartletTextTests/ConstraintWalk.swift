import Foundation
import MartletText
import MartletWire

/// A generator with a seed (Steele, Lea and Flood's SplitMix64).
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}

enum ConstraintWalk {
    static let end = 256

    /// Every byte, an end token, a special token, and pieces of texts as a tokenizer has them.
    static func vocabulary(_ count: Int = 2000, seed: UInt64 = 1) -> TokenVocabulary {
        var random = SplitMix(seed)
        var bytes: [[UInt8]?] = (0...255).map { [UInt8($0)] }
        bytes += [nil, nil]
        let text = Array(
            "{\"name\": \"get\", \"arguments\": {\"place\": \"Zürich 東京 😀\", \"days\": [1, 2.5, -3e10, true, false, null]}}\n<tool_call>\n</tool_call>, [{}], \"\\u00e9\\n\\\"\", 2024-01-31T12:59:00Z aaaaaaaabbbb    word-Word_word"
                .utf8)
        while bytes.count < count {
            let start = Int.random(in: 0..<text.count, using: &random)
            let length = Int.random(in: 2...12, using: &random)
            bytes.append(Array(text[start..<min(text.count, start + length)]))
        }
        return TokenVocabulary(bytes: bytes, endTokens: [end])
    }

    /// A random walk over the allowed tokens, closed as fast as can be after `limit` of them; the text, and the tokens.
    static func walk(
        _ machine: ConstraintMachine, from start: ConstraintState? = nil, seed: UInt64, limit: Int = 200
    ) throws -> (text: [UInt8], tokens: [Int]) {
        var random = SplitMix(seed)
        var state = try start ?? machine.start()
        var text: [UInt8] = []
        var tokens: [Int] = []
        var words: [UInt64] = []
        var closing: Int?
        while !state.hasEnded {
            if tokens.count >= limit {
                if closing == nil { closing = state.closingDistance + 1 }
                guard let left = closing, left > 0 else { throw MartletError(.internal, "closing took too long") }
                closing = left - 1
                try state.closingMask(into: &words)
            } else {
                try state.mask(into: &words)
            }
            var allowed: [Int] = []
            for (index, word) in words.enumerated() {
                for bit in 0..<64 where word >> UInt64(bit) & 1 == 1 { allowed.append(index * 64 + bit) }
            }
            guard let token = allowed.randomElement(using: &random) else {
                throw MartletError(.internal, "no token is allowed after \(String(decoding: text, as: UTF8.self))")
            }
            try state.advance(token: token)
            tokens.append(token)
            text += machine.index.vocabulary.bytes[token] ?? []
        }
        return (text, tokens)
    }

    /// Whether a text can be written whole, byte by byte.
    static func accepts(_ machine: ConstraintMachine, _ text: String) throws -> Bool {
        var state = try machine.start()
        var words: [UInt64] = []
        for byte in text.utf8 {
            try state.mask(into: &words)
            guard words[Int(byte) >> 6] >> UInt64(byte & 63) & 1 == 1 else { return false }
            try state.advance(token: Int(byte))
        }
        return state.canEnd
    }

    static func machine(_ constraint: Constraint, _ index: TokenMaskIndex) throws -> ConstraintMachine {
        ConstraintMachine(try CompiledConstraint(constraint), index)
    }
}

/// A validator of JSON schema for what the tests use, written apart from the compiler.
struct SchemaCheck {
    let root: JSON

    func holds(_ value: JSON, _ schema: JSON) throws -> Bool {
        if let flag = schema.bool { return flag }
        if let pointer = schema["$ref"]?.string {
            var target = root
            for part in pointer.split(separator: "/").dropFirst() { target = target[String(part)] ?? .bool(false) }
            guard try holds(value, target) else { return false }
        }
        if let options = schema["allOf"]?.array, try !options.allSatisfy({ try holds(value, $0) }) { return false }
        if let options = schema["anyOf"]?.array, try !options.contains(where: { try holds(value, $0) }) { return false }
        if let options = schema["oneOf"]?.array, try options.count(where: { try holds(value, $0) }) != 1 {
            return false
        }
        if let list = schema["enum"]?.array, !list.contains(value) { return false }
        if let constant = schema["const"], constant != value { return false }
        if let type = schema["type"] {
            let names = (type.array ?? [type]).compactMap(\.string)
            let isNullable = schema["nullable"]?.bool == true && value.isNull
            guard isNullable || names.contains(where: { Self.has(value, $0) }) else { return false }
        }
        switch value {
        case .object(let object):
            for name in schema["required"]?.array ?? [] where object[name.string ?? ""] == nil { return false }
            for (name, item) in object {
                if let inner = schema["properties"]?[name] {
                    guard try holds(item, inner) else { return false }
                } else if let rest = schema["additionalProperties"], try !holds(item, rest) {
                    return false
                }
            }
        case .array(let items):
            if let least = schema["minItems"]?.int, items.count < least { return false }
            if let most = schema["maxItems"]?.int, items.count > most { return false }
            let prefix = schema["prefixItems"]?.array ?? []
            for (index, item) in items.enumerated() {
                let inner = index < prefix.count ? prefix[index] : schema["items"] ?? .bool(true)
                guard try holds(item, inner) else { return false }
            }
        case .string(let text):
            let count = text.unicodeScalars.count
            if let least = schema["minLength"]?.int, count < least { return false }
            if let most = schema["maxLength"]?.int, count > most { return false }
            if let pattern = schema["pattern"]?.string {
                let regex = try NSRegularExpression(pattern: pattern)
                let range = NSRange(text.startIndex..., in: text)
                if regex.firstMatch(in: text, range: range) == nil { return false }
            }
        case .int, .double:
            let number = value.double ?? .nan
            if let bound = schema["minimum"]?.double, number < bound { return false }
            if let bound = schema["maximum"]?.double, number > bound { return false }
            if let bound = schema["exclusiveMinimum"]?.double, number <= bound { return false }
            if let bound = schema["exclusiveMaximum"]?.double, number >= bound { return false }
        default: break
        }
        return true
    }

    private static func has(_ value: JSON, _ type: String) -> Bool {
        switch (type, value) {
        case ("object", .object), ("array", .array), ("string", .string), ("boolean", .bool), ("null", .null),
            ("number", .int), ("number", .double), ("integer", .int):
            true
        case ("integer", .double(let number)): number == number.rounded()
        default: false
        }
    }
}

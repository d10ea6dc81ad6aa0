import MartletWire

/// The header of a safetensors file, parsed by hand: its grammar is small and fixed, so nothing nests, nothing is
/// allocated for what was not there, and a name given twice is seen.
struct SafeTensorsHeader {
    private(set) var entries: [SafeTensors.Entry] = []
    private(set) var metadata: [String: String] = [:]

    static let typeNames: [(String, ScalarType)] = [
        ("F64", .float64), ("F32", .float32), ("F16", .float16), ("BF16", .bfloat16), ("I64", .int64),
        ("I32", .int32), ("I16", .int16), ("I8", .int8), ("U8", .uint8), ("BOOL", .bool),
    ]

    static func parse(_ bytes: [UInt8]) throws -> SafeTensorsHeader {
        guard bytes.first == UInt8(ascii: "{") else { throw fault("the header does not start with '{'") }
        var scanner = HeaderScanner(bytes: bytes)
        var header = SafeTensorsHeader()
        var names = Set<String>()
        try scanner.object { scanner, name in
            guard names.insert(name).inserted else { throw fault("the name '\(name)' is given twice") }
            if name == "__metadata__" {
                header.metadata = try metadata(&scanner)
            } else {
                header.entries.append(try entry(name, &scanner))
            }
        }
        // The format pads its header with spaces.
        guard bytes[scanner.position...].allSatisfy({ $0 == UInt8(ascii: " ") }) else {
            throw fault("something follows the header's closing '}'")
        }
        return header
    }

    private static func metadata(_ scanner: inout HeaderScanner) throws -> [String: String] {
        var found: [String: String] = [:]
        try scanner.object { scanner, key in
            guard found.updateValue(try scanner.string(), forKey: key) == nil else {
                throw fault("the metadata '\(key)' is given twice")
            }
        }
        return found
    }

    private static func entry(_ name: String, _ scanner: inout HeaderScanner) throws -> SafeTensors.Entry {
        var type: ScalarType?
        var shape: [Int]?
        var offsets: [Int]?
        try scanner.object { scanner, key in
            switch key {
            case "dtype" where type == nil:
                let text = try scanner.string()
                guard let known = typeNames.first(where: { $0.0 == text })?.1 else {
                    throw fault("the tensor '\(name)' has the type '\(text)', which is not supported")
                }
                type = known
            case "shape" where shape == nil: shape = try scanner.numbers(limit: 64)
            case "data_offsets" where offsets == nil: offsets = try scanner.numbers(limit: 2)
            default: throw fault("the tensor '\(name)' has the key '\(key)' twice or it is unknown")
            }
        }
        guard let type, let shape, let offsets, offsets.count == 2 else {
            throw fault("the tensor '\(name)' lacks dtype, shape or two data_offsets")
        }
        guard offsets[0] <= offsets[1] else { throw fault("the tensor '\(name)' ends before it starts") }
        guard let count = try? Tensor.checkedCount(shape, type: type) else {
            throw fault("the tensor '\(name)' has a shape whose product is too large: \(shape.prefix(8))")
        }
        guard count * type.size == offsets[1] - offsets[0] else {
            throw fault(
                "the tensor '\(name)' has \(offsets[1] - offsets[0]) bytes, but its shape takes \(count * type.size)")
        }
        return SafeTensors.Entry(name: name, type: type, shape: shape, range: offsets[0]..<offsets[1])
    }

    /// The length and the header, padded to a multiple of 8 bytes.
    static func encode(
        _ tensors: [(name: String, type: ScalarType, shape: [Int], count: Int)], metadata: [String: String]
    ) throws -> [UInt8] {
        var names = Set<String>()
        var text = "{"
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            text +=
                "\"__metadata__\":{" + pairs.map { quoted($0.key) + ":" + quoted($0.value) }.joined(separator: ",")
                + "}"
        }
        var start = 0
        for tensor in tensors {
            guard names.insert(tensor.name).inserted, tensor.name != "__metadata__" else {
                throw MartletError(.internal, "two tensors have the name '\(tensor.name)'")
            }
            let type = typeNames.first { $0.1 == tensor.type }?.0 ?? ""
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            if text.utf8.count > 1 { text += "," }
            text += quoted(tensor.name)
            text += ":{\"dtype\":\"\(type)\",\"shape\":[\(shape)],\"data_offsets\":[\(start),\(start + tensor.count)]}"
            start += tensor.count
        }
        text += "}"
        var bytes = [UInt8](text.utf8)
        bytes += [UInt8](repeating: UInt8(ascii: " "), count: (8 - bytes.count % 8) % 8)
        let length = UInt64(bytes.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + bytes
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{0}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    static func fault(_ message: String) -> MartletError { MartletError(.invalidData, message) }
}

/// Reads the few forms of JSON that a header may have, from bytes.
struct HeaderScanner {
    let bytes: [UInt8]
    private(set) var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
    }

    private mutating func take(_ character: Character) throws {
        skipSpace()
        guard let byte = next, byte == character.asciiValue else {
            throw SafeTensorsHeader.fault("'\(character)' is missing at byte \(position) of the header")
        }
        position += 1
    }

    private mutating func takes(_ character: Character) -> Bool {
        skipSpace()
        guard let byte = next, byte == character.asciiValue else { return false }
        position += 1
        return true
    }

    mutating func object(_ member: (inout HeaderScanner, String) throws -> Void) throws {
        try take("{")
        if takes("}") { return }
        repeat {
            skipSpace()
            let name = try string()
            try take(":")
            try member(&self, name)
        } while takes(",")
        try take("}")
    }

    /// A list of whole numbers from 0 on, without signs, leading zeros or more than `limit` of them.
    mutating func numbers(limit: Int) throws -> [Int] {
        try take("[")
        var found: [Int] = []
        if takes("]") { return found }
        repeat {
            skipSpace()
            let start = position
            var number = 0
            while let byte = next, byte >= 0x30, byte <= 0x39 {
                let (tens, over) = number.multipliedReportingOverflow(by: 10)
                let (sum, more) = tens.addingReportingOverflow(Int(byte - 0x30))
                guard !over, !more else {
                    throw SafeTensorsHeader.fault("a number at byte \(start) of the header is too large")
                }
                number = sum
                position += 1
            }
            guard position > start, bytes[start] != 0x30 || position == start + 1, found.count < limit else {
                throw SafeTensorsHeader.fault("at byte \(start) of the header stands no valid list of whole numbers")
            }
            found.append(number)
        } while takes(",")
        try take("]")
        return found
    }

    mutating func string() throws -> String {
        try take("\"")
        var text: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw SafeTensorsHeader.fault("a name before byte \(position) of the header is not UTF-8")
                }
                return string
            case UInt8(ascii: "\\"): try escape(&text)
            case 0..<0x20: throw SafeTensorsHeader.fault("a raw control character stands at byte \(position - 1)")
            default: text.append(byte)
            }
        }
        throw SafeTensorsHeader.fault("a string does not end")
    }

    private mutating func escape(_ text: inout [UInt8]) throws {
        guard let byte = next else { throw SafeTensorsHeader.fault("a string does not end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = try unit()
            if (0xD800..<0xDC00).contains(code), position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
                bytes[position + 1] == UInt8(ascii: "u")
            {
                position += 2
                let low = try unit()
                guard (0xDC00..<0xE000).contains(low) else {
                    throw SafeTensorsHeader.fault("half a surrogate pair stands at byte \(position)")
                }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else {
                throw SafeTensorsHeader.fault("half a surrogate pair stands at byte \(position)")
            }
            text += Array(String(Character(scalar)).utf8)
        default: throw SafeTensorsHeader.fault("an unknown escape stands at byte \(position - 1)")
        }
    }

    private mutating func unit() throws -> UInt32 {
        guard position + 4 <= bytes.count,
            let digits = String(validating: bytes[position..<position + 4], as: UTF8.self),
            digits.allSatisfy(\.isHexDigit), let code = UInt32(digits, radix: 16)
        else { throw SafeTensorsHeader.fault("a \\u at byte \(position) lacks four hexadecimal digits") }
        position += 4
        return code
    }
}

import Foundation

extension JSON: Codable {
    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    public init(from decoder: any Decoder) throws {
        if let container = try? decoder.container(keyedBy: Key.self) {
            var object = JSONObject()
            // The decoder gives keys in an order that changes from process to process. A resumed worker must read the same
            // recipe, inputs in the same order, so the order is made one: by name, as the encoder writes them.
            for key in container.allKeys.sorted(by: { $0.stringValue < $1.stringValue }) {
                object[key.stringValue] = try container.decode(JSON.self, forKey: key)
            }
            self = .object(object)
            return
        }
        if var container = try? decoder.unkeyedContainer() {
            var values: [JSON] = []
            while !container.isAtEnd { values.append(try container.decode(JSON.self)) }
            self = .array(values)
            return
        }
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .int(value)
        } else if let value = try? container.decode(Double.self) {
            self = .double(value)
        } else {
            self = .string(try container.decode(String.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .null:
            var container = encoder.singleValueContainer()
            try container.encodeNil()
        case .bool(let value): try value.encode(to: encoder)
        case .int(let value): try value.encode(to: encoder)
        case .double(let value): try value.encode(to: encoder)
        case .string(let value): try value.encode(to: encoder)
        case .array(let values):
            var container = encoder.unkeyedContainer()
            for value in values { try container.encode(value) }
        case .object(let object):
            var container = encoder.container(keyedBy: Key.self)
            for (key, value) in object { try container.encode(value, forKey: Key(stringValue: key)) }
        }
    }

    /// Any encodable value as JSON.
    public init(encoding value: some Encodable) throws {
        self = try JSONParser.parse(try JSONEncoder.wire.encode(value), limits: .trusted)
    }

    /// This value as a `Type`; a mismatch is `invalidRequest` with the path of the field.
    public func decode<Type: Decodable>(_ type: Type.Type) throws -> Type {
        do {
            return try JSONDecoder.wire.decode(type, from: Data(serialized().utf8))
        } catch let error as DecodingError {
            throw MartletError(.invalidRequest, error.plainMessage, param: error.path)
        }
    }
}

extension JSONEncoder {
    /// Sorted keys and RFC 3339 times: the same value gives the same bytes.
    public static var wire: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        return encoder
    }
}

extension JSONDecoder {
    public static var wire: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        return decoder
    }
}

extension DecodingError {
    /// Where in the document: `data.split.seed`.
    public var path: String? {
        let context: Context
        switch self {
        case .typeMismatch(_, let found), .valueNotFound(_, let found), .dataCorrupted(let found): context = found
        case .keyNotFound(let key, let found):
            return (found.codingPath + [key]).map(\.stringValue).joined(separator: ".")
        @unknown default: return nil
        }
        let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
        return path.isEmpty ? nil : path
    }

    public var plainMessage: String {
        let place = path.map { "'\($0)'" } ?? "the document"
        switch self {
        case .typeMismatch(let type, _): return "\(place) must be \(Self.word(for: type)); mend the value"
        case .valueNotFound(let type, _): return "\(place) is null but must be \(Self.word(for: type)); give a value"
        case .keyNotFound: return "\(place) is missing; add it"
        case .dataCorrupted: return "\(place) has a value that is not allowed; see the documentation for what is"
        @unknown default: return "\(place) could not be read"
        }
    }

    private static func word(for type: Any.Type) -> String {
        switch String(describing: type) {
        case "String": "a string"
        case "Int", "Int64", "Double", "Float": "a number"
        case "Bool": "true or false"
        case let name where name.hasPrefix("Array"): "a list"
        default: "an object"
        }
    }
}

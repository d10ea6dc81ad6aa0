import Foundation
import MartletWire

/// Reads the head of a GGUF file from its start, never past its end and never more memory than the file has bytes.
struct GGUFReader {
    private let file: FileHandle
    let size: Int
    private(set) var position = 0
    private var buffer: [UInt8] = []
    private var bufferStart = 0
    private static let step = 1 << 20
    /// The longest text that is read: chat templates are the longest.
    private static let textLimit = 16 << 20
    /// The most elements of one list: vocabularies are the longest.
    private static let listLimit = 1 << 23

    init(_ file: FileHandle) throws {
        self.file = file
        size = Int(try file.seekToEnd())
    }

    static func fault(_ message: String) -> MartletError { MartletError(.invalidData, message) }

    /// The next `count` bytes.
    private mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count >= 0, count <= size - position else {
            throw GGUFReader.fault("it ends at \(size) bytes, before the \(count) bytes that byte \(position) promises")
        }
        let offset = position - bufferStart
        if offset + count > buffer.count {
            try file.seek(toOffset: UInt64(position))
            let wanted = min(max(count, GGUFReader.step), size - position)
            guard let data = try file.read(upToCount: wanted), data.count >= count else {
                throw GGUFReader.fault("it was cut while it was read")
            }
            buffer = [UInt8](data)
            bufferStart = position
        }
        let start = position - bufferStart
        position += count
        return buffer[start..<start + count]
    }

    mutating func bytes(_ count: Int) throws -> [UInt8] { Array(try take(count)) }

    mutating func uint64(_ count: Int = 8) throws -> UInt64 {
        try take(count).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }

    mutating func uint32() throws -> UInt32 { UInt32(truncatingIfNeeded: try uint64(4)) }

    /// A number that is at most `limit`.
    mutating func count(_ what: String, limit: Int) throws -> Int {
        let value = try uint64()
        guard value <= UInt64(limit) else {
            throw GGUFReader.fault("\(what) at byte \(position - 8) is \(value); at most \(limit) are read")
        }
        return Int(value)
    }

    mutating func string() throws -> String {
        let count = try count("a text's length", limit: GGUFReader.textLimit)
        guard let text = String(validating: try take(count), as: UTF8.self) else {
            throw GGUFReader.fault("the text before byte \(position) is not UTF-8")
        }
        return text
    }

    mutating func type() throws -> GGUFType {
        let number = try uint32()
        guard let type = GGUFType(rawValue: number) else {
            throw GGUFReader.fault("the value type \(number) at byte \(position - 4) is unknown")
        }
        return type
    }

    mutating func value(_ type: GGUFType) throws -> GGUFValue {
        switch type {
        case .string: return .string(try string())
        case .bool: return .bool(try uint64(1) != 0)
        case .float32, .float64: return .double(try double(type))
        case .array: return try list()
        default: return .int(try int(type))
        }
    }

    private mutating func list() throws -> GGUFValue {
        let type = try type()
        let count = try count("a list's length", limit: GGUFReader.listLimit)
        guard count <= (size - position) / type.size else {
            throw GGUFReader.fault("the list of \(count) elements at byte \(position) is longer than the file")
        }
        switch type {
        case .string: return .strings(try (0..<count).map { _ in try string() })
        case .float32, .float64: return .doubles(try (0..<count).map { _ in try double(type) })
        case .array: throw GGUFReader.fault("a list of lists stands at byte \(position); that is not supported")
        default: return .ints(try (0..<count).map { _ in try int(type) })
        }
    }

    private mutating func double(_ type: GGUFType) throws -> Double {
        type == .float32
            ? Double(Float(bitPattern: try uint32())) : Double(bitPattern: try uint64())
    }

    private mutating func int(_ type: GGUFType) throws -> Int {
        let bits = try uint64(type.size)
        return switch type {
        case .int8: Int(Int8(truncatingIfNeeded: bits))
        case .int16: Int(Int16(truncatingIfNeeded: bits))
        case .int32: Int(Int32(truncatingIfNeeded: bits))
        case .int64: Int(Int64(truncatingIfNeeded: bits))
        case .uint64:
            if let value = Int(exactly: bits) {
                value
            } else {
                throw GGUFReader.fault("the number \(bits) at byte \(position - 8) is too large")
            }
        default: Int(bits)
        }
    }
}

import MartletWire

/// The fields of a Protocol Buffers message, as far as SentencePiece's files need them.
struct ProtobufReader {
    enum Value {
        case number(UInt64)
        case bytes(ArraySlice<UInt8>)
        case fixed32(UInt32)
    }

    private let bytes: ArraySlice<UInt8>
    private var position: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    private func fault() -> MartletError {
        MartletError(.invalidData, "the SentencePiece file is damaged at byte \(position); copy it again")
    }

    private mutating func varint() throws -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard position < bytes.endIndex else { throw fault() }
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw fault()
    }

    private mutating func take(_ count: UInt64) throws -> ArraySlice<UInt8> {
        guard let count = Int(exactly: count), count <= bytes.endIndex - position else { throw fault() }
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// The next field, or nil at the end.
    mutating func next() throws -> (field: Int, value: Value)? {
        // Fields of 64 bits are passed over, however many there are.
        while position < bytes.endIndex {
            let key = try varint()
            let field = Int(truncatingIfNeeded: key >> 3)
            switch key & 7 {
            case 0: return (field, .number(try varint()))
            case 1: _ = try take(8)
            case 2: return (field, .bytes(try take(try varint())))
            case 5:
                let raw = try take(4)
                return (field, .fixed32(raw.reversed().reduce(0) { $0 << 8 | UInt32($1) }))
            default: throw fault()
            }
        }
        return nil
    }
}

/// One message between `martlet serve` and an engine process, either way, on one connection.
///
/// Layout, little-endian: `u32` bytes after this field · `u8` kind · `u64` id · `u32` head's length · head (JSON) · body.
/// A part, reply or failure carries the id of its request. Ids are chosen by the sender of the request.
public struct Frame: Sendable {
    public enum Kind: UInt8, Sendable {
        case request = 1
        case reply = 2
        /// A reply whose head is a `MartletError`.
        case failure = 3
        /// The sender of the request does not want its answer any more.
        case cancel = 4
        /// A piece of an answer; more follow, and a reply or a failure ends it.
        case part = 5
    }
    public var kind: Kind
    public var id: UInt64
    public var head: [UInt8]
    public var body: [UInt8]

    public init(kind: Kind, id: UInt64, head: [UInt8], body: [UInt8] = []) {
        self.kind = kind
        self.id = id
        self.head = head
        self.body = body
    }

    /// The most bytes that one frame may announce: a request's body limit and room for the head.
    public static let byteLimit = 256 << 20
    /// Bytes between the length field and the head.
    static let fixedCount = 1 + 8 + 4

    /// The frame's bytes, the length field included.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        let count = Self.fixedCount + head.count + body.count
        bytes.reserveCapacity(4 + count)
        bytes.appendLittleEndian(UInt32(truncatingIfNeeded: count))
        bytes.append(kind.rawValue)
        bytes.appendLittleEndian(id)
        bytes.appendLittleEndian(UInt32(truncatingIfNeeded: head.count))
        bytes.append(contentsOf: head)
        bytes.append(contentsOf: body)
        return bytes
    }

    /// Takes the bytes after the length field. Throws `invalidRequest` where they do not fit together.
    public init(decoding bytes: UnsafeRawBufferPointer) throws {
        guard bytes.count >= Self.fixedCount, let kind = Kind(rawValue: bytes[0]) else {
            throw MartletError(.invalidRequest, "a frame of the engine's protocol is damaged; restart the engine")
        }
        let id = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
        let headCount = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 9, as: UInt32.self)))
        guard headCount <= bytes.count - Self.fixedCount else {
            throw MartletError(.invalidRequest, "a frame's head is longer than the frame; restart the engine")
        }
        let headEnd = Self.fixedCount + headCount
        self.init(
            kind: kind, id: id, head: Array(bytes[Self.fixedCount..<headEnd]), body: Array(bytes[headEnd...]))
    }
}

extension [UInt8] {
    public mutating func appendLittleEndian(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}

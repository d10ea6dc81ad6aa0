import MartletWire
import NIOCore

/// Cuts a byte stream into frames; a frame over the limit ends the connection before it is buffered.
struct FrameDecoder: ByteToMessageDecoder {
    typealias InboundOut = Frame

    mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        guard let length = buffer.getInteger(at: buffer.readerIndex, endianness: .little, as: UInt32.self) else {
            return .needMoreData
        }
        guard Int(length) <= Frame.byteLimit else {
            throw MartletError(
                .tooLarge, "an engine's frame announces \(length) bytes; the limit is \(Frame.byteLimit)")
        }
        guard buffer.readableBytes >= 4 + Int(length) else { return .needMoreData }
        buffer.moveReaderIndex(forwardBy: 4)
        guard let bytes = buffer.readSlice(length: Int(length)) else { return .needMoreData }
        let frame = try bytes.withUnsafeReadableBytes { try Frame(decoding: $0) }
        context.fireChannelRead(Self.wrapInboundOut(frame))
        return .continue
    }

    mutating func decodeLast(
        context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool
    ) throws -> DecodingState {
        // Half a frame at the end is a process that died; there is nothing to deliver.
        .needMoreData
    }
}

extension Frame {
    /// The same bytes as `encoded()`, without an array in between.
    func buffer(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        let count = 1 + 8 + 4 + head.count + body.count
        var buffer = allocator.buffer(capacity: 4 + count)
        buffer.writeInteger(UInt32(truncatingIfNeeded: count), endianness: .little)
        buffer.writeInteger(kind.rawValue)
        buffer.writeInteger(id, endianness: .little)
        buffer.writeInteger(UInt32(truncatingIfNeeded: head.count), endianness: .little)
        buffer.writeBytes(head)
        buffer.writeBytes(body)
        return buffer
    }
}

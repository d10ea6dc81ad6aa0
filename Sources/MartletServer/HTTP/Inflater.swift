import CZlib
import MartletWire
import NIOCore

/// Inflates gzip (RFC 1952) and zlib (RFC 1950) bodies, with the limit held while inflating.
package enum Inflater {
    private static let chunkByteCount = 64 << 10

    /// The inflated bytes. Throws `tooLarge` past `limit` and `invalidRequest` where the stream is damaged.
    package static func inflate(_ buffer: ByteBuffer, limit: Int) throws -> ByteBuffer {
        var stream = z_stream()
        guard martlet_inflate_init(&stream) == Z_OK else {
            throw MartletError(.unavailable, "there is no memory to inflate the body; try again later")
        }
        defer { inflateEnd(&stream) }
        var output = ByteBuffer()
        output.reserveCapacity(min(limit, buffer.readableBytes * 4))
        try buffer.withUnsafeReadableBytes { input in
            stream.next_in = UnsafeMutablePointer(mutating: input.bindMemory(to: Bytef.self).baseAddress)
            stream.avail_in = UInt32(truncatingIfNeeded: input.count)
            var status = Z_OK
            while status != Z_STREAM_END {
                var written = 0
                try output.writeWithUnsafeMutableBytes(minimumWritableBytes: chunkByteCount) { space in
                    stream.next_out = space.bindMemory(to: Bytef.self).baseAddress
                    stream.avail_out = UInt32(truncatingIfNeeded: min(space.count, chunkByteCount))
                    let offered = stream.avail_out
                    status = CZlib.inflate(&stream, Z_NO_FLUSH)
                    guard status == Z_OK || status == Z_STREAM_END else { throw damaged }
                    written = Int(offered - stream.avail_out)
                    return written
                }
                guard output.readableBytes <= limit else {
                    throw MartletError(
                        .tooLarge, "the body inflates to more than \(limit) bytes; send less at a time")
                }
                if status == Z_OK, written == 0, stream.avail_in == 0 { throw damaged }
            }
            guard stream.avail_in == 0 else { throw damaged }
        }
        return output
    }

    private static let damaged = MartletError(
        .invalidRequest, "the compressed body is damaged or cut short; compress it again")
}

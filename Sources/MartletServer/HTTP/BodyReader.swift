import HTTPTypes
import Hummingbird
import MartletWire
import NIOCore

/// Reads request bodies within the limits: by announced length, by what arrives, and by what inflates.
struct BodyReader {
    let limits: ServerLimits

    /// The whole body, inflated where it came as gzip or deflate. Throws `tooLarge` before more than the limit is held.
    func read(_ request: Request) async throws -> ByteBuffer {
        let encoding = request.headers[.contentEncoding] ?? "identity"
        try checkAnnounced(request)
        var whole = ByteBuffer()
        var chunkCount = 0
        for try await chunk in request.body {
            chunkCount += 1
            guard whole.readableBytes + chunk.readableBytes <= limits.bodyBytes, chunkCount <= limits.chunkCount else {
                throw tooLarge
            }
            if whole.readableBytes == 0 {
                whole = chunk
            } else {
                if chunkCount == 2 { reserve(&whole, request) }
                whole.writeImmutableBuffer(chunk)
            }
        }
        switch encoding.lowercased() {
        case "identity", "": return whole
        case "gzip", "x-gzip", "deflate": return try Inflater.inflate(whole, limit: limits.bodyBytes)
        default:
            throw MartletError(
                .unsupportedFormat,
                "the content encoding '\(encoding.prefix(40))' is not known here; send identity, gzip or deflate")
        }
    }

    /// Room for all that was announced, so that a large body is not copied again and again.
    private func reserve(_ buffer: inout ByteBuffer, _ request: Request) {
        buffer.reserveCapacity(min(request.announced, limits.bodyBytes))
    }

    /// Refuses by `Content-Length` alone, before a byte is read.
    private func checkAnnounced(_ request: Request) throws {
        guard request.announced <= limits.bodyBytes else { throw tooLarge }
    }

    private var tooLarge: MartletError {
        MartletError(
            .tooLarge,
            "the body is larger than \(limits.bodyBytes) bytes; send less at a time, or raise body_limit_bytes")
    }
}

extension Request {
    var announced: Int { headers.announced }
}

extension HTTPFields {
    /// Bytes of the body by `Content-Length`; 0 where there is none.
    var announced: Int { self[.contentLength].flatMap { Int($0) } ?? 0 }
}

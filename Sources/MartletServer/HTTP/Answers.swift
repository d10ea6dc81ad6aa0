import Foundation
import HTTPTypes
import Hummingbird
import MartletWire
import NIOCore

extension Response {
    /// A value as JSON.
    static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        try .bytes(ByteBuffer(data: JSONEncoder.wire.encode(value)), type: "application/json", status: status)
    }

    static func document(_ value: JSON, status: HTTPResponse.Status = .ok) -> Response {
        .bytes(ByteBuffer(string: value.serialized()), type: "application/json", status: status)
    }

    static func text(_ text: String, type: String) -> Response { .bytes(ByteBuffer(string: text), type: type) }

    static func bytes(_ buffer: ByteBuffer, type: String, status: HTTPResponse.Status = .ok) -> Response {
        Response(status: status, headers: [.contentType: type], body: .init(byteBuffer: buffer))
    }

    /// `204 No Content`.
    static var nothing: Response { Response(status: .noContent) }
}

extension HTTPFields {
    /// Of server-sent events, which no proxy should keep until there are many (nginx does, unless it is told).
    static let events: HTTPFields = [
        .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache", .accelBuffering: "no",
    ]
}

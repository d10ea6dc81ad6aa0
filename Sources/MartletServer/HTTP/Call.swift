import Foundation
import HTTPTypes
import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

/// One request on its way through a route: what was asked, by whom, and until when it matters.
public struct Call: Sendable {
    let request: Request
    let parameters: [String: String]
    let requestID: String
    let limits: ServerLimits
    /// Nanoseconds of the monotonic clock at which the request arrived.
    let arrival: UInt64
    /// Who asks; nil only on routes for everyone.
    let identity: Principal?
    let admission: Route.Admission?
    /// Whether the client leaves, for long answers.
    let departure = Departure.current

    /// Who asks. Throws `unauthenticated` on a route that let everyone in.
    func caller() throws -> Principal {
        guard let identity else { throw Authentication.missing }
        return identity
    }

    /// A parameter of the path, which the route's own pattern names.
    func parameter(_ name: String) throws -> String {
        guard let value = parameters[name] else {
            throw MartletError(.internal, "the route's pattern has no '\(name)'; report this")
        }
        return value
    }

    func header(_ name: HTTPField.Name) -> String? { request.headers[name] }

    /// The query's names and values, decoded: clients write the `[]` of a list's name as `%5B%5D`.
    var queryItems: [(name: String, value: String)] {
        request.uri.queryParameters.map { key, value in
            (String(key).removingPercentEncoding ?? String(key), String(value))
        }
    }

    /// A value of the query, decoded.
    func query(_ name: String) -> String? { queryItems.first { $0.name == name }?.value }

    /// Refuses queries that the route does not know. Throws `invalidRequest`.
    func checkQuery(_ allowed: String...) throws {
        for (key, _) in queryItems where !allowed.contains(key) {
            let known = allowed.isEmpty ? "none are taken here" : "known are \(allowed.joined(separator: ", "))"
            throw MartletError(
                .invalidRequest, "'\(key.prefix(60))' is not a query parameter here; \(known)",
                param: String(key.prefix(60)))
        }
    }

    /// A number of the query. Throws `invalidRequest`.
    func queryNumber(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
        guard let text = query(name) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw MartletError(
                .invalidRequest,
                "'\(name)' is '\(text.prefix(40))'; give a whole number from \(range.lowerBound) to \(range.upperBound)",
                param: name)
        }
        return value
    }

    /// A yes or no of the query; the name alone is a yes. Throws `invalidRequest`.
    func queryFlag(_ name: String) throws -> Bool {
        switch query(name) {
        case nil, "false", "0": return false
        case "", "true", "1": return true
        case let text?:
            throw MartletError(
                .invalidRequest, "'\(name)' is '\(text.prefix(40))'; give true or false", param: name)
        }
    }

    /// The whole body within the limit, inflated where it came compressed. Throws `tooLarge` before it is in memory.
    func body() async throws -> ByteBuffer {
        try await BodyReader(limits: limits).read(request)
    }

    /// The body as JSON, read strictly. Throws `invalidRequest`, `tooLarge`, and what the route's admission throws.
    func json() async throws -> JSON {
        let buffer = try await body()
        if let admission, let identity { try buffer.withUnsafeReadableBytes { try admission(identity, $0) } }
        return try parsed(buffer)
    }

    private func parsed(_ buffer: ByteBuffer) throws -> JSON {
        guard buffer.readableBytes > 0 else {
            throw MartletError(.invalidRequest, "the request has no body; send a JSON object")
        }
        return try buffer.withUnsafeReadableBytes { bytes in
            // Some programs write a mark before UTF-8, and RFC 8259 lets a reader pass over it.
            let mark = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
            return try JSONParser.parse(
                UnsafeRawBufferPointer(rebasing: bytes[mark...]),
                limits: JSONLimits(depth: limits.jsonDepth, values: limits.jsonValues))
        }
    }

    /// The body as `Type`, with unknown fields refused by name. Throws `invalidRequest`.
    func decode<Type: Decodable>(_ type: Type.Type, fields: String...) async throws -> Type {
        let value = try await json()
        try Self.check(value, fields: fields)
        return try value.decode(type)
    }

    /// For routes that take no fields: nothing, or an empty object. Throws `invalidRequest` with an unknown field's name.
    func checkNoBody() async throws {
        let buffer = try await body()
        guard buffer.readableBytes > 0 else { return }
        try Self.check(try parsed(buffer), fields: [])
    }

    static func check(_ value: JSON, fields: [String]) throws {
        guard case .object(let object) = value else {
            throw MartletError(.invalidRequest, "the body is \(value.kind); send a JSON object")
        }
        for key in object.keys where !fields.contains(key) {
            let near = fields.min { Nearest.distance($0, key) < Nearest.distance($1, key) }
            let hint = near.map { Nearest.distance($0, key) <= 2 ? " (did you mean '\($0)'?)" : "" } ?? ""
            throw MartletError(
                .invalidRequest,
                "unknown field '\(key.prefix(60))'\(hint); "
                    + (fields.isEmpty ? "none are taken here" : "known are \(fields.joined(separator: ", "))"),
                param: String(key.prefix(60)))
        }
    }

    /// Microseconds until nobody waits any more, from `x-deadline-ms`. Throws `invalidRequest`.
    func deadlineMicroseconds() throws -> Int? {
        guard let text = header(.deadline) else { return nil }
        guard let milliseconds = Int(text), (1...86_400_000).contains(milliseconds) else {
            throw MartletError(
                .invalidRequest, "x-deadline-ms is '\(text.prefix(20))'; give milliseconds from 1 to 86400000",
                param: "x-deadline-ms")
        }
        return milliseconds * 1000
    }
}

extension HTTPField.Name {
    static let requestID = known("x-request-id")
    static let deadline = known("x-deadline-ms")
    static let idempotencyKey = known("idempotency-key")
    static let retryCount = known("x-stainless-retry-count")
    static let inferenceHeaderLength = known("inference-header-content-length")
    static let frameOptions = known("x-frame-options")
    static let referrerPolicy = known("referrer-policy")
    static let retryAfterMilliseconds = known("retry-after-ms")
    static let shouldRetry = known("x-should-retry")
    static let processingMilliseconds = known("openai-processing-ms")
    static let privateNetworkQuestion = known("access-control-request-private-network")
    static let privateNetworkAnswer = known("access-control-allow-private-network")
    static let accelBuffering = known("x-accel-buffering")
    static let requestLimit = known("x-ratelimit-limit-requests")
    static let requestRoom = known("x-ratelimit-remaining-requests")
    static let requestReset = known("x-ratelimit-reset-requests")

    private static func known(_ text: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(text) else { preconditionFailure("'\(text)' is not a header's name") }
        return name
    }
}

import AsyncHTTPClient
import Foundation
import MartletPlatform
import MartletWire
import NIOCore
import NIOHTTP1

/// Asks a Martlet server over its native API.
struct Client: Sendable {
    static let bodyLimit = 256 << 20
    let url: String
    let key: String
    /// The home whose server this is, where it was found by its lock file: a server that comes back has another port.
    let home: String?
    private let http: HTTPClient

    init(url: String, key: String, home: String? = nil) {
        self.home = home
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.key = key
        var configuration = HTTPClient.Configuration()
        configuration.timeout = .init(connect: .seconds(10), read: .seconds(600))
        configuration.redirectConfiguration = .disallow
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    func close() async { try? await http.shutdown() }

    /// A path's segment with everything escaped that a path may not hold.
    static func segment(_ text: String) -> String {
        var allowed = CharacterSet.alphanumerics
        allowed.formIntersection(CharacterSet(charactersIn: "\u{0}"..."\u{7F}"))
        allowed.insert(charactersIn: "-_.~")
        return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? text
    }

    /// A relative path, segment by segment.
    static func path(_ text: String) -> String {
        text.split(separator: "/").map { segment(String($0)) }.joined(separator: "/")
    }

    func get<Answer: Decodable>(_ path: String, as type: Answer.Type = Answer.self) async throws -> Answer {
        try await decode(request(.GET, path))
    }

    func send<Answer: Decodable>(
        _ method: HTTPMethod, _ path: String, _ body: (any Encodable)? = nil, headers: [(String, String)] = [],
        as type: Answer.Type = Answer.self
    ) async throws -> Answer {
        try await decode(call(method, path, body, headers: headers))
    }

    /// A call whose answer's body says nothing.
    func perform(_ method: HTTPMethod, _ path: String, _ body: (any Encodable)? = nil) async throws {
        _ = try await call(method, path, body).body.collect(upTo: Self.bodyLimit)
    }

    private func call(
        _ method: HTTPMethod, _ path: String, _ body: (any Encodable)?, headers: [(String, String)] = []
    ) async throws -> HTTPClientResponse {
        guard let body else { return try await request(method, path, headers: headers) }
        // JSON keeps the order of its keys.
        let data = try (body as? JSON)?.data ?? JSONEncoder.wire.encode(body)
        return try await request(
            method, path, body: .bytes(ByteBuffer(data: data)),
            headers: headers + [("Content-Type", "application/json")])
    }

    /// The answer of a request that succeeded; a failure throws what the server said.
    func request(
        _ method: HTTPMethod, _ path: String, body: HTTPClientRequest.Body? = nil, headers: [(String, String)] = [],
        timeout: TimeAmount = .hours(24)
    ) async throws -> HTTPClientResponse {
        var request = HTTPClientRequest(url: (home.flatMap { HomeOwner.live($0)?.url } ?? url) + path)
        request.method = method
        request.headers.add(name: "Authorization", value: "Bearer \(key)")
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        request.body = body
        let response: HTTPClientResponse
        do {
            response = try await http.execute(request, timeout: timeout)
        } catch let error as MartletError {
            throw error
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            guard let scheme = URL(string: url)?.scheme, ["http", "https"].contains(scheme) else {
                throw MartletError(
                    .usage, "'\(url.prefix(200))' is no server's URL; write it as http://127.0.0.1:8080", param: "url")
            }
            throw MartletError(.unavailable, "the server at \(url) does not answer; start it with: martlet serve")
        }
        guard (200..<300).contains(Int(response.status.code)) else { throw await Self.failure(response) }
        return response
    }

    private func decode<Answer: Decodable>(_ response: HTTPClientResponse) async throws -> Answer {
        let buffer = try await Self.collect(response)
        return try JSONDecoder.wire.decode(Answer.self, from: Data(buffer: buffer))
    }

    static func collect(_ response: HTTPClientResponse) async throws -> ByteBuffer {
        do {
            return try await response.body.collect(upTo: bodyLimit)
        } catch {
            throw MartletError(.unavailable, "the server's answer broke off; try again")
        }
    }

    /// What the server said was wrong, as the error that it was there.
    private static func failure(_ response: HTTPClientResponse) async -> MartletError {
        let status = Int(response.status.code)
        let buffer = (try? await response.body.collect(upTo: 1 << 20)) ?? ByteBuffer()
        let document = try? JSONParser.parse(Data(buffer: buffer))
        let error = document?["error"]
        let message = error?["message"]?.string ?? error?.string ?? "the server answered with status \(status)"
        let code = error?["code"]?.string.flatMap(MartletError.Code.init) ?? Self.code(status)
        return MartletError(code, message, param: error?["param"]?.string)
    }

    private static func code(_ status: Int) -> MartletError.Code {
        switch status {
        case 401: .unauthenticated
        case 403: .forbidden
        case 404: .notFound
        case 409: .conflict
        case 413: .tooLarge
        case 429: .rateLimited
        case 503: .unavailable
        case 504: .deadlineExceeded
        case 400..<500: .invalidRequest
        default: .internal
        }
    }
}

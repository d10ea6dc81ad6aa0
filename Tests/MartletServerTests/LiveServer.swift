import AsyncHTTPClient
import Foundation
import Logging
import MartletPlatform
import MartletServer
import MartletTesting
import MartletWire
import NIOCore
import NIOHTTP1
import Synchronization

/// A server of its own over a fresh home, on a free port, for the length of a test.
struct LiveServer: Sendable {
    let platform: Platform
    let table: RouteTable
    let url: String
    let adminKey: String
    let home: String
    let admin: Principal
    var port: Int { URL(string: url)?.port ?? 0 }

    /// `configure` changes the configuration before the server is built, `limit` what it allows a request, `time` what
    /// time it is there.
    static func with(
        _ configure: (inout Configuration) -> Void = { _ in }, limit: (inout ServerLimits) -> Void = { _ in },
        time: TestTime = TestTime(), _ body: (LiveServer) async throws -> Void
    ) async throws {
        let home = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: home) }
        var configuration = Configuration()
        configuration.listen = "127.0.0.1:0"
        configuration.logLevel = "error"
        configuration.enginePath = "/bin/false"
        configure(&configuration)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let platform = try await Platform.build(
            home: home, configuration: configuration, logger: logger, clock: time.clock)
        var limits = ServerLimits(configuration)
        limit(&limits)
        let server = try MartletServer(platform: platform, version: "test", shutdownSeconds: 5, limits: limits)
        let (urls, continuation) = AsyncStream<String>.makeStream()
        let running = Task { try await server.run { continuation.yield($0) } }
        defer { running.cancel() }
        var iterator = urls.makeAsyncIterator()
        guard let url = await iterator.next() else { throw MartletError(.internal, "the server did not start") }
        let key = try String(contentsOfFile: home + "/admin.key", encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let live = LiveServer(
            platform: platform, table: server.table, url: url, adminKey: key, home: home,
            admin: try await platform.keys.authenticate(key))
        try await body(live)
        running.cancel()
        _ = await running.result
    }

    struct Answer {
        var status: Int
        var headers: HTTPHeaders
        var text: String
        func json() throws -> JSON { try JSONParser.parse(text, limits: .trusted) }
    }

    /// One request; `key` nil is the admin's, empty is none.
    func ask(
        _ method: HTTPMethod, _ path: String, key: String? = nil, headers: [(String, String)] = [], body: Data? = nil
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: url + path)
        request.method = method
        let key = key ?? adminKey
        if !key.isEmpty { request.headers.add(name: "Authorization", value: "Bearer \(key)") }
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        if let body { request.body = .bytes(ByteBuffer(data: body)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(120))
        let buffer = try await response.body.collect(upTo: 16 << 20)
        return Answer(status: Int(response.status.code), headers: response.headers, text: String(buffer: buffer))
    }

    func post(_ path: String, _ text: String, headers: [(String, String)] = []) async throws -> Answer {
        try await ask(.POST, path, headers: headers, body: Data(text.utf8))
    }
}

/// The time that a test's server sees: it goes on as it does everywhere, and further when the test says so.
final class TestTime: Sendable {
    private let ahead = Mutex(0.0)

    /// Begins at `start`; nil is now.
    init(_ start: Date? = nil) { start.map { pass($0.timeIntervalSinceNow) } }

    func pass(_ seconds: Double) { ahead.withLock { $0 += seconds } }

    /// Whoever waits for a replica or worker that a test plays waits until the test had its turns.
    var clock: PlatformClock {
        PlatformClock(now: { Date() + self.ahead.withLock { $0 } }, sleep: { try await sleepByTurns($0) })
    }
}

/// A socket that sends bytes as they are, for what a proper client would not send.
final class RawSocket: Sendable {
    private let descriptor: Int32

    init(port: Int) throws {
        // A program that another test starts would keep it open when this one closes it.
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = in_addr_t(UInt32(0x7F00_0001).bigEndian)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw MartletError(.unavailable, "cannot connect") }
        signal(SIGPIPE, SIG_IGN)
    }

    deinit { close(descriptor) }

    /// False where the other side has gone.
    @discardableResult
    func send(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
    }

    /// What comes until the other side closes or `seconds` pass; `isClosed` tells which. It never blocks its thread,
    /// which the server may need.
    func read(seconds: Int, until mark: String? = nil) async -> (text: String, isClosed: Bool) {
        var collected: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let end = Date().addingTimeInterval(Double(seconds))
        while Date() < end {
            var watch = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&watch, 1, 0) > 0 else {
                try? await Task.sleep(for: .milliseconds(2))
                continue
            }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return (String(decoding: collected, as: UTF8.self), true) }
            collected += buffer[..<count]
            if let mark, String(decoding: collected, as: UTF8.self).contains(mark) { break }
        }
        return (String(decoding: collected, as: UTF8.self), false)
    }
}

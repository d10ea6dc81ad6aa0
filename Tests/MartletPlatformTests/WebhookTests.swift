import Foundation
import Logging
import MartletPlatform
import MartletStore
import MartletTesting
import MartletWire
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite("Webhooks", .serialized)
struct WebhookTests {
    /// A clock that moves when it is told.
    private final class Time: Sendable {
        let time = Mutex(Date())
        func pass(_ seconds: Double) { time.withLock { $0 += seconds } }
    }

    /// A store in a folder of its own, with one project.
    private func withStore(_ body: (Store, Time, PlatformClock) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hooks-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try Store(path: folder + "/db")
        try await store.insert(ProjectInfo(id: "p", name: "default", createdAt: Date()))
        let box = Time()
        let clock = PlatformClock(now: { box.time.withLock { $0 } }, sleep: { try await Task.sleep(for: $0) })
        try await body(store, box, clock)
    }

    private func end(_ store: Store, _ id: String, as state: StoredBatch.State) async throws {
        var batch = StoredBatch(
            id: id, projectID: "p", keyID: "k", state: .validating, createdAt: Date(), treeHash: "t",
            info: .init(endpoint: "/", inputFile: "f", metadata: nil, fileSeconds: nil, expiresAt: Date()))
        try await store.insert(batch)
        batch.state = state
        try await store.save(batch)
        try await store.save(batch)
    }

    private static let key = Array("0123456789abcdef".utf8)
    private static let url = "https://hooks.example.com/x"
    private let policy = OutboundPolicy(hosts: "127.0.0.1,hooks.example.com, *.example.org")

    @Test func anEndIsToldOnceAndTriedAgainUntilItIsTaken() async throws {
        try await withStore { store, box, clock in
            try await end(store, "batch_1", as: .completed)
            try await end(store, "batch_2", as: .failed)
            let calls = Mutex<[(body: String, headers: [(String, String)])]>([])
            let isUp = Mutex(false)
            let service = WebhookService(
                store: store,
                endpoints: [
                    WebhookEndpoint(url: "http://127.0.0.1:9/x", key: Self.key, events: ["batch.completed"]),
                    WebhookEndpoint(url: "http://127.0.0.1:9/y", key: Self.key, project: "another"),
                ], policy: policy, clock: clock, logger: Logger(label: "t")
            ) { _, address, headers, body in
                #expect(address == "127.0.0.1")
                calls.withLock { $0.append((body, headers)) }
                return isUp.withLock { $0 } ? 204 : 500
            }
            try await service.step()
            try await service.step()
            #expect(calls.withLock { $0.count } == 1)
            box.pass(6)
            try await service.step()
            #expect(calls.withLock { $0.count } == 2)
            isUp.withLock { $0 = true }
            box.pass(21)
            try await service.step()
            box.pass(100_000)
            try await service.step()
            let all = calls.withLock { $0 }
            #expect(all.count == 3)
            let body = try JSONParser.parse(all[0].body)
            #expect(body["type"] == "batch.completed" && body["data"] == ["id": "batch_1"] && body["object"] == "event")
            func header(_ call: Int, _ name: String) -> String? { all[call].headers.first { $0.0 == name }?.1 }
            #expect(header(0, "webhook-id") == header(2, "webhook-id") && header(0, "webhook-id") == body["id"]?.string)
            #expect(header(0, "webhook-timestamp") != header(2, "webhook-timestamp"))
        }
    }

    @Test func afterThreeDaysItIsGivenUp() async throws {
        try await withStore { store, box, clock in
            try await end(store, "batch_1", as: .expired)
            let count = Mutex(0)
            let service = WebhookService(
                store: store, endpoints: [WebhookEndpoint(url: "http://127.0.0.1:9/x", key: Self.key)], policy: policy,
                clock: clock, logger: Logger(label: "t", factory: { _ in SwiftLogNoOpLogHandler() })
            ) { _, _, _, _ in
                count.withLock { $0 += 1 }
                throw MartletError(.unavailable, "down")
            }
            for _ in 0..<100 {
                try await service.step()
                box.pass(6 * 3600)
            }
            #expect((10...14).contains(count.withLock { $0 }))
            #expect((0..<6).map(WebhookService.pause) == [5, 20, 80, 320, 1280, 5120])
            #expect(WebhookService.pause(after: 60) == 21_600)
        }
    }

    @Test("S01: only listed hosts, and private addresses only where the very host is listed") func hosts() throws {
        for bad in [
            "http://hooks.example.com/", "https://other.com/", "https://example.org/", "ftp://hooks.example.com/",
            "file:///etc/passwd", "https://user@hooks.example.com/", "https://hooks.example.com.evil.net/",
            "https://169.254.169.254/", "https://[::1]/", "https://0x7f.1/", "gopher://127.0.0.1/", "//x", "",
        ] {
            #expect(throws: MartletError.self, "\(bad)") { try policy.check(bad) }
        }
        #expect(throws: MartletError.self) { try OutboundPolicy(hosts: "").check("https://example.com/") }
        #expect(try policy.check(Self.url).mayBePrivate)
        #expect(try policy.check("https://a.example.org/").mayBePrivate == false)
        #expect(try policy.check("http://127.0.0.1:8000/x").mayBePrivate)
        for address in [
            "127.0.0.1", "10.1.2.3", "169.254.169.254", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "::1",
            "::ffff:127.0.0.1", "fe80::1", "fd00::1", "64:ff9b::a00:1", "2002:7f00:1::", "224.0.0.1", "::",
            "2001:db8::1",
        ] {
            #expect(!OutboundPolicy.isPublic(address), "\(address)")
        }
        for address in ["93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"] {
            #expect(OutboundPolicy.isPublic(address), "\(address)")
        }
        #expect(OutboundPolicy.addresses(of: "0x7f.1") == ["127.0.0.1"])
    }

    @Test func endpointsAreReadStrictly() throws {
        let secret = "whsec_" + Data(Self.key).base64EncodedString()
        let good = "- url: \(Self.url)\n  secret: \(secret)\n  events: [batch.failed]\n"
        let read = try WebhookEndpoint.read(good, policy: policy)
        #expect(read == [WebhookEndpoint(url: Self.url, key: Self.key, events: ["batch.failed"])])
        #expect(read[0].wants("batch.failed", ofProject: "x") && !read[0].wants("batch.expired", ofProject: "x"))
        for bad in [
            "url: x", "- url: https://other.com/\n  secret: \(secret)", "- url: \(Self.url)",
            "- url: \(Self.url)\n  secret: abc", good + "  secert: x\n",
            "- url: \(Self.url)\n  secret: \(secret)\n  events: [all]",
        ] {
            #expect(throws: MartletError.self, "\(bad)") { try WebhookEndpoint.read(bad, policy: policy) }
        }
    }

    /// RFC 4231, test cases 2 and 6.
    @Test func authenticationIsHMAC() {
        func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }
        #expect(
            hex(WebhookMessage.authentication(of: Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8)))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        let long = [UInt8](repeating: 0xAA, count: 131)
        let text = "Test Using Larger Than Block-Size Key - Hash Key First"
        #expect(
            hex(WebhookMessage.authentication(of: Array(text.utf8), key: long))
                == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
    }

    @Test("S04: redirects and endless answers", arguments: ["redirect", "endless", "silent"])
    func overHTTP(_ kind: String) async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let server = try await ServerBootstrap(group: group).childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(Receiver(kind: kind))
            }
        }.bind(host: "127.0.0.1", port: 0).get()
        let port = server.localAddress?.port ?? 0
        let target = try policy.check("http://127.0.0.1:\(port)/x")
        let (status, time) = try await counted {
            try? await WebhookService.send(target, to: "127.0.0.1", headers: [("a", "b")], body: "{}")
        }
        #expect(status == ["redirect": 302, "endless": 200][kind])
        #expect(time < .seconds(20))
        try await server.close()
    }

    private final class Receiver: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let kind: String
        init(kind: String) { self.kind = kind }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let text: String
            switch kind {
            case "redirect":
                text = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
            case "endless": text = "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nx"
            default: return
            }
            context.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
        }
    }
}

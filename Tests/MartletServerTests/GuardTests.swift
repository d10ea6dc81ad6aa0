import Foundation
import MartletPlatform
import MartletServer
import MartletTesting
import MartletWire
import NIOCore
import Testing

@Suite("What is refused before a route is asked")
struct GuardTests {
    @Test(arguments: [
        "127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "10.1.2.3:9", "box:1", "127.0.0.1",
    ])
    func addressesAndKnownNamesAreOurs(host: String) throws {
        try HostCheck(names: ["box"], port: 8080).check(host: host, origin: nil)
        try HostCheck(names: ["box"], port: 8080).check(host: host, origin: "http://\(host)")
    }

    @Test func behindTLSTheCertificateGuardsNames() throws {
        let check = HostCheck(names: [], port: 443, takesAnyName: true)
        try check.check(host: "models.example.org", origin: nil)
        #expect(throws: MartletError.self) {
            try check.check(host: "models.example.org", origin: "https://evil.example")
        }
    }

    @Test(arguments: [
        "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "a:b", "127.0.0.1:x", "",
        "localhost:8080@evil.example",
    ])
    func foreignHostsAreRefused(host: String) {
        #expect(throws: MartletError.self) { try HostCheck(names: ["box"], port: 8080).check(host: host, origin: nil) }
    }

    @Test(arguments: ["http://evil.example", "null", "http://localhost:9999", "file://", "javascript:localhost:8080"])
    func foreignOriginsAreRefused(origin: String) {
        #expect(throws: MartletError.self) {
            try HostCheck(names: [], port: 8080).check(host: "localhost:8080", origin: origin)
        }
    }

    @Test func pagesOfListedOriginsMayCall() throws {
        let some = HostCheck(names: [], port: 8080, origins: ["https://app.example.com", "tauri://localhost"])
        let all = HostCheck(names: [], port: 8080, origins: ["*"])
        for origin in ["https://app.example.com", "https://App.Example.com", "tauri://localhost"] {
            try some.check(host: "localhost:8080", origin: origin)
        }
        for origin in [
            "http://app.example.com", "https://app.example.com:444", "https://app.example.com.evil", "null", "*",
        ] {
            #expect(throws: MartletError.self) { try some.check(host: "localhost:8080", origin: origin) }
            try all.check(host: "localhost:8080", origin: origin)
        }
        #expect(throws: MartletError.self, "a name that an attacker gave an address of ours") {
            try all.check(host: "evil.example:8080", origin: "http://evil.example:8080")
        }
    }

    @Test func listeningBeyondThisMachineNeedsTLS() throws {
        var configuration = Configuration()
        for address in ["0.0.0.0:8080", "[::]:8080", "192.168.1.5:80", "box.example:443"] {
            configuration.listen = address
            let error = #expect(throws: MartletError.self) { try ListenAddress(configuration) }
            #expect(error?.message.contains("--tls-cert") == true)
            #expect(error?.exitCode == 64)
        }
        for address in ["127.0.0.1:0", "[::1]:8080", "localhost:1", "8080", ":8080"] {
            configuration.listen = address
            _ = try ListenAddress(configuration)
        }
        for address in ["127.0.0.1", "127.0.0.1:65536", "", "127.0.0.1:-1"] {
            configuration.listen = address
            #expect(throws: MartletError.self) { try ListenAddress(configuration) }
        }
    }

    @Test func theDefaultIsLoopback() throws {
        #expect(Configuration().listen == "127.0.0.1:8080")
    }

    @Test func gzipInflatesUpToTheLimitAndNotPastIt() async throws {
        // printf of 1,000,000 zero bytes through gzip -9.
        let whole = try await Self.gzip(Data(count: 1_000_000))
        #expect(try Inflater.inflate(ByteBuffer(data: whole), limit: 1_000_000).readableBytes == 1_000_000)
        let error = #expect(throws: MartletError.self) {
            try Inflater.inflate(ByteBuffer(data: whole), limit: 999_999)
        }
        #expect(error?.code == .tooLarge)
    }

    @Test func damagedStreamsAreRefused() async throws {
        let whole = try await Self.gzip(Data("hello hello hello".utf8))
        var bent = whole
        bent[bent.count - 5] ^= 0xFF
        for bytes in [whole.dropLast(3), bent, whole + Data([1, 2, 3]), Data("not gzip".utf8), Data()] {
            #expect(throws: MartletError.self) { try Inflater.inflate(ByteBuffer(data: Data(bytes)), limit: 1 << 20) }
        }
    }

    /// `data` through the system's gzip.
    static func gzip(_ data: Data) async throws -> Data {
        let scratch = try Scratch()
        defer { withExtendedLifetime(scratch) {} }
        let file = try scratch.write("data", Array(data))
        let child = try ChildProcess(
            ["gzip", "-9", file], environment: ProcessInfo.processInfo.environment, folder: scratch.path, name: "gzip")
        defer { child.kill() }
        try await eventually { child.poll() != nil }
        return try Data(contentsOf: URL(fileURLWithPath: file + ".gz"))
    }

    @Test func errorsHaveTheFormOfTheirProtocol() throws {
        let error = MartletError(.notFound, "there is no \"x\"", param: "model")
        let native = try JSONParser.parse(Failure.body(error, dialect: .native))
        #expect(native["error"]?["message"] == "there is no \"x\"")
        #expect(native["error"]?.object?.keys.sorted() == ["code", "message", "param", "type"])
        let open = try JSONParser.parse(Failure.body(error, dialect: .openInference))
        #expect(open == ["error": "there is no \"x\""])
    }
}

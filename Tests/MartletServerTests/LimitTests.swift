import Foundation
import MartletServer
import MartletTesting
import MartletWire
import Testing

@Suite("Limits, each at the limit and one past it", .serialized)
struct LimitTests {
    private static let limit = 100_000

    /// A JSON object of exactly `count` bytes with a field that projects do not have.
    private static func body(_ count: Int) -> String {
        "{\"x\":\"" + String(repeating: "a", count: count - 8) + "\"}"
    }

    @Test func bodiesAreRefusedByLengthByChunksAndByInflatedSize() async throws {
        try await LiveServer.with({ $0.bodyLimitBytes = Self.limit }) { live in
            // At the limit the body is read, and refused for its field.
            #expect(try await live.post("/api/v1/projects", Self.body(Self.limit)).status == 400)
            #expect(try await live.post("/api/v1/projects", Self.body(Self.limit + 1)).status == 413)
            // Announced only: the answer comes though no byte of the body does.
            let announced = try RawSocket(port: live.port)
            announced.send(
                "POST /api/v1/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(live.adminKey)\r\n"
                    + "Content-Length: 99999999999\r\n\r\n")
            #expect(await announced.read(seconds: 60, until: "too_large").text.hasPrefix("HTTP/1.1 413"))
            // In chunks, without an announced length.
            let chunked = try RawSocket(port: live.port)
            chunked.send(
                "POST /api/v1/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(live.adminKey)\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n")
            let chunk = "4000\r\n" + String(repeating: "a", count: 0x4000) + "\r\n"
            for _ in 0..<7 { chunked.send(chunk) }
            #expect(await chunked.read(seconds: 60, until: "too_large").text.hasPrefix("HTTP/1.1 413"))
            // Small on the way, large inside.
            let bomb = try await GuardTests.gzip(Data(Self.body(Self.limit + 1).utf8))
            let headers = [("Content-Encoding", "gzip")]
            #expect(try await live.ask(.POST, "/api/v1/projects", headers: headers, body: bomb).status == 413)
            let fine = try await GuardTests.gzip(Data(Self.body(Self.limit).utf8))
            #expect(try await live.ask(.POST, "/api/v1/projects", headers: headers, body: fine).status == 400)
            let unknown = [("Content-Encoding", "br")]
            #expect(try await live.ask(.POST, "/api/v1/projects", headers: unknown, body: fine).status == 415)
        }
    }

    @Test func headersAreLimitedInNumberAndSize() async throws {
        try await LiveServer.with { live in
            func expect(_ status: Int, _ headers: String) async throws {
                let socket = try RawSocket(port: live.port)
                socket.send("GET /health/live HTTP/1.1\r\nHost: localhost\r\n\(headers)\r\n")
                let answer = await socket.read(seconds: 60, until: "}").text
                #expect(answer.hasPrefix("HTTP/1.1 \(status)"))
            }
            let many = (0..<99).map { "x-\($0): a\r\n" }.joined()
            try await expect(200, many)
            try await expect(431, many + "x-99: a\r\n")
            try await expect(200, "x: " + String(repeating: "a", count: 30_000) + "\r\n")
            try await expect(431, "x: " + String(repeating: "a", count: 33_000) + "\r\n")
            try await expect(400, "Content-Length: 1\r\nContent-Length: 2\r\n")
            #expect(try await live.ask(.GET, "/health/live").status == 200)
        }
    }

    @Test func documentsAreReadStrictly() async throws {
        try await LiveServer.with { live in
            func nested(_ depth: Int) -> String {
                "{\"name\":" + String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1) + "}"
            }
            for depth in [65, 101, 512, 100_000] {
                let answer = try await live.post("/api/v1/projects", nested(depth))
                #expect(answer.status == 400)
                #expect(answer.text.contains("64"))
            }
            #expect(try await !live.post("/api/v1/projects", nested(64)).text.contains("nested"))
            // The object, the list and what it holds.
            for (count, status) in [(999_998, 400), (999_999, 413)] {
                let list = "{\"name\":[" + String(repeating: "0,", count: count - 1) + "0]}"
                #expect(try await live.post("/api/v1/projects", list).status == status)
            }
            let twice = try await live.post("/api/v1/projects", "{\"name\":\"a\",\"name\":\"b\"}")
            #expect(twice.status == 400)
            #expect(twice.text.contains("duplicate_key"))
            let unknown = try await live.post("/api/v1/projects", "{\"name\":\"a\",\"role\":\"admin\"}")
            #expect(unknown.status == 400)
            #expect(try unknown.json()["error"]?["param"] == "role")
            for text in ["", "[]", "{\"name\":\"a\"", "{\"name\":1}", "{}", "{\"name\":\"a\",}"] {
                #expect(try await live.post("/api/v1/projects", text).status == 400, "\(text)")
            }
        }
    }

    @Test func headersThatTrickleAreCutOff() async throws {
        // One that has more time and began before is open when the others are closed.
        try await LiveServer.with({ $0.headerTimeoutSeconds = 3600 }) { patient in
            let waiting = try RawSocket(port: patient.port)
            waiting.send("GET /health/live HT")
            try await LiveServer.with({ $0.headerTimeoutSeconds = 1 }) { live in
                let sockets = try (0..<50).map { _ in try RawSocket(port: live.port) }
                for socket in sockets { socket.send("GET /health/live HT") }
                #expect(try await live.ask(.GET, "/health/live").status == 200)
                for socket in sockets { #expect(await socket.read(seconds: 60).isClosed) }
            }
            waiting.send("TP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(await waiting.read(seconds: 60, until: "}").text.hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func answersThatNobodyTakesAreCutOff() async throws {
        // The next client gets the only place when the one that does not read has lost it.
        try await LiveServer.with({ $0.maxConnections = 1 }, limit: { $0.stallSeconds = 1 }) { live in
            let socket = try RawSocket(port: live.port)
            let request = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
            // It may be held up for as long as nobody reads.
            Thread.detachNewThread { socket.send(String(repeating: request, count: 2000)) }
            #expect(try await live.ask(.GET, "/health/live").status == 200)
            withExtendedLifetime(socket) {}
        }
    }

    @Test func aLogThatNobodyReadsHoldsNobodyUp() throws {
        let pipe = Pipe()
        let log = LogWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor, byteLimit: 1 << 20)
        let line = String(repeating: "x", count: 1023)
        // More than the pipe and the log take, which is all that this thread would wait for.
        for _ in 0..<4096 { log.put(line) }
        var read = 0
        var end = ""
        while !(end.contains("lost") && end.hasSuffix("}\n")) {
            let data = pipe.fileHandleForReading.availableData
            try #require(!data.isEmpty)
            read += data.count { $0 == UInt8(ascii: "x") }
            end = String((end + String(decoding: data.suffix(200), as: UTF8.self)).suffix(400))
        }
        let note = try JSONParser.parse(String(try #require(end.split(separator: "\n").last)))
        #expect(read % 1023 == 0 && note["count"]?.int == 4096 - read / 1023)
        #expect(read >= 1 << 19)
        log.put("at the end")
        log.flush()
        #expect(String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self) == "at the end\n")
    }

    @Test func aClientThatAsksBeforeItSendsIsTold() async throws {
        try await LiveServer.with({
            $0.bodyLimitBytes = 1000
            $0.uploadLimitBytes = 5000
        }) { live in
            // A file may be larger than other bodies.
            for (length, path, start) in [
                (4000, "/v1/files", "HTTP/1.1 100"), (900, "/api/v1/projects", "HTTP/1.1 100"),
                (7000 + (1 << 20), "/v1/files", "HTTP/1.1 413"),
            ] {
                let socket = try RawSocket(port: live.port)
                socket.send(
                    "POST \(path) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(live.adminKey)\r\n"
                        + "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: \(length)\r\n"
                        + "Expect: 100-continue\r\n\r\n")
                let answer = await socket.read(seconds: 120, until: "\r\n").text
                #expect(answer.hasPrefix(start), "\(length): \(answer)")
            }
        }
    }

    @Test func bodiesThatTrickleAreCutOff() async throws {
        try await LiveServer.with { live in
            let socket = try RawSocket(port: live.port)
            socket.send(
                "POST /api/v1/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(live.adminKey)\r\n"
                    + "Content-Length: 1000\r\n\r\n{")
            // It would be closed as an unused one in 75 seconds.
            let ((_, isClosed), time) = try await counted { await socket.read(seconds: 120) }
            #expect(isClosed && time < .seconds(30))
        }
    }
}

import Foundation
import Glibc
import MartletTesting
import MartletWire
import Synchronization
import Testing

extension LongTests {
    /// The server killed, flooded and asked a thousand times.
    @Suite struct Server {
        @Test func D01_thirtyKillsUnderWritesLoseNothingAcknowledged() async throws {
            try await TestHome.with { home in
                try home.serve()
                try home.addBirds()
                let projects = Mutex<[String]>([])
                let key = home.key
                var port = try #require(home.owner?.port)
                for round in 1...30 {
                    let http = HTTPClient(port: port, key: key)
                    let number = Atomic<Int>(0)
                    let load = Load(threads: 3) {
                        let name = "p-\(round)-\(number.add(1, ordering: .relaxed).newValue)"
                        let answer = try http.post("/api/v1/projects", json: #"{"name":"\#(name)"}"#)
                        if answer.status == 201 { projects.withLock { $0.append(name) } }
                        return answer
                    }
                    Thread.sleep(forTimeInterval: .random(in: 0.05...0.4))
                    let server = try #require(home.owner?.pid)
                    kill(server, SIGKILL)
                    _ = try load.stop()
                    try waitUntil("the server's end", seconds: 60) { !ProcessTable.isAlive(server) }
                    try home.serve()
                    port = try #require(home.owner?.port)
                }
                let there = Set(
                    try home.get("/api/v1/projects")["data"]?.array?.compactMap { $0["name"]?.string } ?? [])
                let acknowledged = projects.withLock { $0 }
                #expect(acknowledged.count > 100, "\(acknowledged.count) writes were acknowledged")
                let lost = acknowledged.filter { !there.contains($0) }
                #expect(lost.isEmpty, "lost: \(lost.prefix(5))")
                let audit = try home.json("audit", "verify")
                #expect(audit["first_bad_sequence"]?.int == nil, "\(audit)")
                #expect(try #require(audit["rows"]?.int) >= acknowledged.count)
                #expect(try home.get("/api/v1/datasets/birds")["profile"]?["rows"]?.int == 400)
            }
        }

        @Test func L09_aStopUnderLoadAnswersEveryRequestSentBeforeIt() async throws {
            for _ in 1...5 {
                try await TestHome.with { home in
                    try home.serve()
                    try home.trainBirds(deployment: "birds")
                    let http = try home.http()
                    let load = Load(threads: 16) {
                        try http.post("/api/v1/deployments/birds/predict", json: TinyData.row)
                    }
                    Thread.sleep(forTimeInterval: 1)
                    let server = try #require(home.owner?.pid)
                    let signalled = Date()
                    kill(server, SIGTERM)
                    #expect(try countedUntil("the server's end") { !ProcessTable.isAlive(server) } < 35)
                    let outcomes = try load.stop()
                    let before = outcomes.filter { $0.sent < signalled }
                    #expect(before.count > 100)
                    let dropped = before.filter { $0.status != 200 }
                    #expect(dropped.isEmpty, "\(dropped.count): \(dropped.prefix(3))")
                    // Whoever comes later finds nobody, or is told so.
                    let later = outcomes.filter { $0.sent >= signalled }
                    #expect(later.allSatisfy { $0.status == nil || $0.status == 200 || $0.status == 503 })
                    try waitUntil("the end of every engine", seconds: 60) { home.engines().isEmpty }
                }
            }
        }

        /// The 99th percentile of some requests' times, in seconds.
        private static func slowest(_ http: HTTPClient, requests: Int = 300) throws -> Double {
            var times: [Double] = []
            for _ in 0..<requests {
                let start = Date()
                let answer = try http.get("/api/v1/models")
                guard answer.status == 200 else { throw HarnessError("\(answer.status) \(answer.text)") }
                times.append(Date().timeIntervalSince(start))
            }
            return times.sorted()[requests * 99 / 100]
        }

        /// What the server has closed answers with an end or a reset.
        private static func isOpenAfterOneMoreByte(_ socket: RawSocket) -> Bool {
            var byte: UInt8 = 0
            let flags = CInt(MSG_DONTWAIT) | CInt(MSG_PEEK)
            let seen = recv(socket.descriptor, &byte, 1, flags)
            return seen < 0 && errno == EAGAIN && (try? socket.write([0x61])) != nil
        }

        @Test func H02_slowHeadersAreClosedAndOthersDoNotNotice() async throws {
            try await TestHome.with { home in
                try home.serve()
                let http = try home.http()
                let server = try #require(home.owner?.pid)
                let before = try Self.slowest(http)
                let sockets = try (0..<200).map { _ in try RawSocket(port: http.port) }
                let start = Date()
                for socket in sockets { try socket.write(Array("GET / HTTP/1.1\r\nHost: localhost\r\nX: ".utf8)) }
                var open: [RawSocket] = sockets
                var during = 0.0
                var rounds = 0
                while !open.isEmpty, rounds < 20 {
                    rounds += 1
                    open = open.filter(Self.isOpenAfterOneMoreByte)
                    if during == 0 { during = try Self.slowest(http) }
                    Thread.sleep(forTimeInterval: 1)
                }
                let lasted = Date().timeIntervalSince(start)
                #expect(open.isEmpty, "\(open.count) are open after \(lasted) s")
                // A busy machine makes the rounds late with all the rest.
                #expect(lasted > 5 && rounds < 16, "\(lasted) s, \(rounds) rounds of a second")
                #expect(during < 2 * before + 0.05, "99th percentile \(before) s before, \(during) s during")
                #expect(home.owner?.pid == server)
                #expect(try http.get("/health/ready").status == 200)
            }
        }

        @Test func H03_tooLargeBodiesCostNoMemory() async throws {
            try await TestHome.with { home in
                try home.trainBirds(deployment: "birds")
                let http = try home.http()
                let server = try #require(home.owner?.pid)
                let head = [
                    "POST /api/v1/deployments/birds/predict HTTP/1.1", "Host: localhost",
                    "Authorization: Bearer \(home.key)", "Content-Type: application/json",
                ]
                let before = ProcessTable.residentBytes(server)

                let announced = try RawSocket(port: http.port)
                let lines = head + ["Content-Length: \(64 << 20 + 1)", "", ""]
                try announced.write(Array(lines.joined(separator: "\r\n").utf8))
                #expect(try announced.answer().status == 413)

                let chunked = try RawSocket(port: http.port)
                try chunked.write(
                    Array((head + ["Transfer-Encoding: chunked", "", ""]).joined(separator: "\r\n").utf8))
                let chunk = Array("100000\r\n".utf8) + [UInt8](repeating: 0x20, count: 1 << 20) + Array("\r\n".utf8)
                var sent = 0
                // The server may answer and close before all has been written.
                while sent < 80, (try? chunked.write(chunk)) != nil { sent += 1 }
                #expect(try chunked.answer().status == 413)

                let bomb = try home.write("zeros", Data(count: 1 << 30))
                let zip = try ChildProcess(
                    ["gzip", "-1", bomb], environment: ProcessInfo.processInfo.environment, folder: home.folder,
                    name: "gzip")
                #expect(try zip.wait(seconds: 120) == .code(0))
                let packed = try #require(FileManager.default.contents(atPath: bomb + ".gz"))
                let answer = try http.request(
                    "POST", "/api/v1/deployments/birds/predict",
                    headers: ["Content-Type": "application/json", "Content-Encoding": "gzip"], body: packed)
                #expect(answer.status == 413, "\(answer.text)")

                let after = ProcessTable.residentBytes(server)
                #expect(after - before < 200 << 20, "\(before) bytes before, \(after) after")
                #expect(home.owner?.pid == server)
                #expect(try http.post("/api/v1/deployments/birds/predict", json: TinyData.row).status == 200)
            }
        }

        @Test func memoryIsFlatOverAThousandRefusalsAndAnswers() async throws {
            try await TestHome.with { home in
                try home.trainBirds(deployment: "birds")
                let http = try home.http()
                let server = try #require(home.owner?.pid)
                let replica = try #require(home.replicas.first)
                let nested = "{\"rows\":" + String(repeating: "[", count: 100_000)
                let tensors =
                    #"{"inputs":[{"name":"wing","datatype":"FP32","shape":[1152921504606846978,16],"data":[1]}]}"#
                let predict = "/api/v1/deployments/birds/predict"
                func round() throws {
                    for _ in 0..<1_000 {
                        #expect(try http.post(predict, json: TinyData.row).status == 200)
                        #expect(try http.post(predict, json: nested).status == 400)
                        #expect(try http.post("/v2/models/birds/infer", json: tensors).status == 400)
                        #expect(try HTTPClient(port: http.port, key: "garbage").get("/api/v1/jobs").status == 401)
                        #expect(try http.get("/api/v1/jobs/none").status == 404)
                    }
                }
                try round()
                let before = [server, replica].map(ProcessTable.residentBytes)
                try round()
                try round()
                let after = [server, replica].map(ProcessTable.residentBytes)
                for (index, name) in ["serve", "replica"].enumerated() {
                    #expect(
                        after[index] - before[index] < 8 << 20, "\(name): \(before[index]) to \(after[index]) bytes")
                }
                #expect(home.owner?.pid == server)
                #expect(home.replicas == [replica])
            }
        }
    }
}

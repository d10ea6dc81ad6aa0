import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import NIOHTTP1
import Synchronization
import Testing

@Suite("Keys that are revoked while something runs", .serialized)
struct LostKeyTests {
    /// A key of the project `default` with what it asks for.
    private struct Holder {
        let fake: OpenAIFake
        let info: KeyInfo
        let secret: String

        init(_ fake: OpenAIFake, expiresAt: Date? = nil) async throws {
            self.fake = fake
            info = try await fake.live.platform.keys.create(
                name: "k", role: .developer, expiresAt: expiresAt, by: fake.live.admin)
            secret = try #require(info.secret)
        }

        func ask(_ method: HTTPMethod, _ path: String, _ body: JSON? = nil) async throws -> LiveServer.Answer {
            try await fake.live.ask(method, path, key: secret, body: body.map { Data($0.serialized().utf8) })
        }

        func revoke() async throws {
            _ = try await fake.live.platform.keys.revoke(info.id, by: fake.live.admin)
        }

        /// What was written down with the outcome that a lost key has.
        func audited(_ action: String, _ id: String, _ outcome: String = "key revoked") async throws -> Bool {
            try await fake.live.platform.audit.list(by: fake.live.admin).data.contains {
                $0.action == action && $0.resource == id && $0.outcome == outcome && $0.key == info.id
            }
        }
    }

    /// A fifth of a second an answer, so that there is time to revoke.
    private static let slow: OpenAIFake.Answer = { request, exchange in
        try await Task.sleep(for: .milliseconds(200))
        try await OpenAIFake.say("slow")(request, exchange)
    }

    private func until(
        _ fake: OpenAIFake, _ path: String, _ condition: (JSON) -> Bool
    ) async throws -> (JSON, Duration) {
        try await counted {
            var last: JSON = .null
            try await eventually {
                last = try await fake.live.ask(.GET, path).json()
                return condition(last)
            }
            return last
        }
    }

    @Test("A11: a batch whose key is revoked begins no further line and is cancelled with the reason")
    func batch() async throws {
        let asked = Mutex(0)
        let answer: OpenAIFake.Answer = { request, exchange in
            asked.withLock { $0 += 1 }
            try await Self.slow(request, exchange)
        }
        try await OpenAIFake.with(answer, configure: { $0.backgroundRequests = 2 }) { fake in
            let holder = try await Holder(fake)
            let file = try await fake.upload(BatchTests.lines(500), purpose: "batch")
            let made = try await holder.ask(.POST, "/v1/batches", OpenAIFake.batchBody(file)).json()
            let id = try #require(made["id"]?.string, "\(made.serialized())")
            let path = "/v1/batches/\(id)"
            _ = try await until(fake, path) { ($0["request_counts"]?["completed"]?.int ?? 0) >= 2 }
            try await holder.revoke()
            #expect(try await holder.ask(.GET, path).status == 401)
            #expect(try await holder.ask(.POST, "/v1/chat/completions", OpenAIFake.chat()).status == 401)
            let (done, time) = try await until(fake, path) { $0["status"] == "cancelled" }
            #expect(time < .seconds(10))
            let fault = try #require(done["errors"]?["data"]?.array?.first)
            #expect(fault["code"] == "invalid_api_key")
            #expect(fault["message"]?.string?.contains("was revoked") == true, "\(fault.serialized())")
            #expect(fault["message"]?.string?.contains(holder.secret) == false)
            let completed = try #require(done["request_counts"]?["completed"]?.int)
            #expect(completed >= 2 && completed < 200)
            #expect(try await fake.fileLines(done["output_file_id"]).count == completed)
            #expect(try await holder.audited("batch.cancel", id))
            let count = asked.withLock { $0 }
            try await Task.sleep(for: .milliseconds(500))
            #expect(asked.withLock { $0 } == count, "nothing is asked any more")
            // What was done and kept is billed; what was under way is not.
            let rows = try await fake.live.platform.ledger.usage(by: fake.live.admin)
            #expect(rows.filter { $0.key == holder.info.id }.reduce(0) { $0 + $1.requests } == completed)
        }
    }

    @Test("A11: an eval's run whose key is revoked is canceled with the reason") func evalRun() async throws {
        try await OpenAIFake.with(Self.slow, configure: { $0.backgroundRequests = 2 }) { fake in
            let holder = try await Holder(fake)
            let eval = try await EvalTests.make(fake)
            let items = EvalTests.items((1...300).map { ("Land \($0)", "Paris") })
            let source = EvalTests.completions(["type": "file_content", "content": items])
            let base = "/v1/evals/\(eval["id"]?.string ?? "")/runs"
            let made = try await holder.ask(.POST, base, ["data_source": source]).json()
            let id = try #require(made["id"]?.string, "\(made.serialized())")
            _ = try await until(fake, "\(base)/\(id)") { $0["status"] == "in_progress" }
            try await holder.revoke()
            let (done, time) = try await until(fake, "\(base)/\(id)") { $0["status"] == "canceled" }
            #expect(time < .seconds(10))
            #expect(done["error"]?["code"] == "invalid_api_key", "\(done.serialized())")
            #expect(try await holder.audited("eval.run.cancel", id))
        }
    }

    @Test("A11: a fine-tuning job belongs to its project and goes on without the key that made it")
    func tuning() async throws {
        let tuner = FakeTuner(stepCount: 1, isOpen: false)
        try await OpenAIFake.with(tune: { try await tuner.tune($0, $1, $2) }) { fake in
            let holder = try await Holder(fake)
            let file = try FileRouteTests.id(try await FileRouteTests.upload(fake.live))
            let job = try FileRouteTests.id(
                try await holder.ask(
                    .POST, "/v1/fine_tuning/jobs", ["model": "tiny", "training_file": .string(file)]))
            let (path, native) = ("/v1/fine_tuning/jobs/\(job)", "/api/v1/jobs/\(job)")
            _ = try await until(fake, native) { $0["state"] == "running" }
            try await holder.revoke()
            #expect(try await holder.ask(.GET, path).status == 401)
            try await Task.sleep(for: .seconds(2))
            #expect(try await fake.live.ask(.GET, native).json()["state"] == "running")
            tuner.open()
            _ = try await until(fake, path) { $0["status"] == "succeeded" }
        }
    }

    @Test("A11: a key that expires ends its batch too") func expiry() async throws {
        let time = TestTime()
        try await OpenAIFake.with(Self.slow, time: time, configure: { $0.backgroundRequests = 1 }) { fake in
            let holder = try await Holder(fake, expiresAt: Date(timeIntervalSinceNow: 3600))
            let file = try await fake.upload(BatchTests.lines(300), purpose: "batch")
            let made = try await holder.ask(.POST, "/v1/batches", OpenAIFake.batchBody(file)).json()
            let id = try #require(made["id"]?.string, "\(made.serialized())")
            _ = try await until(fake, "/v1/batches/\(id)") { $0["status"] == "in_progress" }
            time.pass(3601)
            let (done, _) = try await until(fake, "/v1/batches/\(id)") { $0["status"] == "cancelled" }
            #expect(done["errors"]?.serialized().contains("has expired") == true)
            #expect(try await holder.audited("batch.cancel", id, "key expired"))
        }
    }
}

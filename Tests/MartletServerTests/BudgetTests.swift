import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import Synchronization
import Testing

@Suite("Budgets", .serialized)
struct BudgetTests {
    private static let path = "/api/v1/projects/default/budget"

    private func set(_ fake: OpenAIFake, _ limit: JSON) async throws -> JSON {
        let answer = try await fake.live.ask(.PUT, Self.path, body: Data(limit.serialized().utf8))
        try #require(answer.status == 200, "\(answer.text)")
        return try answer.json()
    }

    @Test("J18: what a spent budget answers, and that raising it is enough") func inference() async throws {
        // In the middle of a month, far from the end of what it counts.
        try await OpenAIFake.with(time: TestTime(Date(timeIntervalSince1970: 1_750_000_000))) { fake in
            #expect(try await fake.post("/v1/chat/completions", OpenAIFake.chat()).status == 200)
            let shown = try await fake.live.ask(.GET, Self.path).json()
            #expect(shown["limit"] == [:] && shown["used"]?["tokens"] == 7, "\(shown.serialized())")
            let spent = try await set(fake, ["tokens": 7])
            #expect(spent["limit"]?["tokens"] == 7 && spent["used"]?["tokens"] == 7)
            for path in ["/v1/chat/completions", "/v1/embeddings"] {
                let body: JSON = path.hasSuffix("embeddings") ? ["model": "tiny", "input": "a"] : OpenAIFake.chat()
                let refused = try await fake.post(path, body)
                #expect(refused.status == 429, "\(refused.text)")
                let error = try refused.json()["error"]
                #expect(error?["code"] == "insufficient_quota" && error?["type"] == "insufficient_quota")
                #expect(error?["message"]?.string?.contains("7 of 7 tokens") == true, "\(refused.text)")
                #expect(refused.headers.first(name: "x-should-retry") == "false")
                #expect(refused.headers.first(name: "retry-after") == "120")
            }
            #expect(fake.asked.count == 1)
            // Looking costs nothing.
            #expect(try await fake.live.ask(.GET, "/v1/models").status == 200)
            _ = try await set(fake, ["tokens": 100])
            #expect(try await fake.post("/v1/chat/completions", OpenAIFake.chat()).status == 200)
            _ = try await set(fake, ["cpu_seconds": 0])
            #expect(try await fake.post("/v1/chat/completions", OpenAIFake.chat()).status == 429)
            _ = try await set(fake, [:])
            #expect(try await fake.post("/v1/chat/completions", OpenAIFake.chat()).status == 200)
            let audit = try await fake.live.platform.audit.list(by: fake.live.admin).data
            #expect(audit.contains { $0.action == "budget.set" && $0.resource == "default: 7 tokens" })
        }
    }

    @Test func whatCannotBeABudgetIsRefusedAndOthersDoNotSeeIt() async throws {
        try await LiveServer.with { live in
            func put(_ text: String, _ path: String = Self.path, key: String? = nil) async throws -> Int {
                try await live.ask(.PUT, path, key: key, body: Data(text.utf8)).status
            }
            for text in [#"{"tokens":-1}"#, #"{"tokens":1.5}"#, #"{"cpu_seconds":-1}"#, #"{"euros":1}"#, "[]"] {
                #expect(try await put(text) == 400, "\(text)")
            }
            #expect(try await put("{}", "/api/v1/projects/none/budget") == 404)
            _ = try await live.platform.projects.create(name: "other", by: live.admin)
            let key = try await live.platform.keys.create(name: "o", role: .developer, project: "other", by: live.admin)
            #expect(try await live.ask(.GET, Self.path, key: key.secret).status == 404)
            #expect(try await live.ask(.GET, "/api/v1/projects/other/budget", key: key.secret).status == 200)
            #expect(try await put("{}", "/api/v1/projects/other/budget", key: key.secret) == 403)
        }
    }

    @Test("J18: a batch whose project's budget is spent waits, and goes on when it is raised") func batch() async throws
    {
        let lines = Mutex(0)
        let answer: OpenAIFake.Answer = { request, exchange in
            if request.isBackground { lines.withLock { $0 += 1 } }
            try await Task.sleep(for: .milliseconds(50))
            try await OpenAIFake.say("a")(request, exchange)
        }
        try await OpenAIFake.with(answer, configure: { $0.backgroundRequests = 1 }) { fake in
            // A line costs 5 + 1.
            _ = try await set(fake, ["tokens": 60])
            let made = try await fake.batch(try await fake.upload(BatchTests.lines(120), purpose: "batch"))
            let path = "/v1/batches/\(made["id"]?.string ?? "")"
            try await eventually {
                try await fake.live.ask(.GET, path).json()["request_counts"]?["completed"]?.int ?? 0 > 0
            }
            try await eventually { try await fake.post("/v1/chat/completions", OpenAIFake.chat()).status == 429 }
            // A line that had begun is finished; many would fit in a second.
            let before = lines.withLock { $0 }
            try await Task.sleep(for: .seconds(1))
            let still = try await fake.live.ask(.GET, path).json()
            #expect(lines.withLock { $0 } <= before + 1)
            #expect(still["status"] == "in_progress" && still["request_counts"]?["failed"] == 0)
            let done = still["request_counts"]?["completed"]?.int ?? 0
            #expect(done >= 1 && done < 120)
            _ = try await set(fake, [:])
            let over = try await fake.untilOver(made)
            #expect(over["request_counts"] == ["total": 120, "completed": 120, "failed": 0])
        }
    }
}

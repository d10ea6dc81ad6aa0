import Foundation
import MartletTesting
import MartletWire
import Synchronization
import Testing

@Suite("Clients that leave, keys that go, models that take turns", .serialized)
struct OpenAIDepartureTests {
    /// One step each five milliseconds at most, so that this many take a second or longer.
    private static let stepsOfASecond = 200

    /// Streams a token every few milliseconds until it is cancelled, and then tells what was done.
    static func endless(_ steps: Steps, started: Bool = true) -> OpenAIFake.Answer {
        { _, exchange in
            if started { try exchange.send(.started(promptTokens: 7, cachedTokens: 0)) }
            while !exchange.isCancelled(), steps.done < 6000 {
                try await Task.sleep(for: .milliseconds(5))
                steps.count()
                if started { try exchange.send(.text(choice: 0, "x", tokens: [])) }
            }
            steps.end()
            try exchange.send(.finished(choice: 0, .length, completionTokens: steps.done))
            try exchange.send(.done(OpenAIFake.usage(prompt: 7, completion: steps.done)))
        }
    }

    /// What an answer has done so far. A time of its own: a busy machine makes the steps late with all the rest.
    final class Steps: Sendable {
        private let state = Mutex((done: 0, hasEnded: false))
        var done: Int { state.withLock { $0.done } }
        var hasEnded: Bool { state.withLock { $0.hasEnded } }
        func count() { state.withLock { $0.done += 1 } }
        func end() { state.withLock { $0.hasEnded = true } }
    }

    private static func request(
        _ fake: OpenAIFake, _ body: JSON, path: String = "/v1/chat/completions"
    ) -> String {
        let text = body.serialized()
        return "POST \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(fake.live.port)\r\n"
            + "Authorization: Bearer \(fake.live.adminKey)\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)"
    }

    @Test("L03: a client that leaves frees its place in a second") func aClientThatLeavesFreesItsPlaceInASecond()
        async throws
    {
        // While streaming, and while it waits without a byte: before the first event and after it.
        for (isStreamed, hasStarted) in [(true, true), (true, false), (false, true), (false, false)] {
            let taken = try await Self.stepsAfterLeaving(isStreamed: isStreamed, hasStarted: hasStarted)
            #expect(taken <= Self.stepsOfASecond / 5, "streamed \(isStreamed), started \(hasStarted)")
        }
    }

    /// The steps that an answer goes on for once its client has left.
    private static func stepsAfterLeaving(isStreamed: Bool, hasStarted: Bool) async throws -> Int {
        let steps = Steps()
        let left = Mutex(0)
        try await OpenAIFake.with(endless(steps, started: hasStarted)) { fake in
            do {
                let socket = try RawSocket(port: fake.live.port)
                socket.send(request(fake, OpenAIFake.chat(["stream": .bool(isStreamed)])))
                try await eventually { steps.done > 10 }
                withExtendedLifetime(socket) {}
            }
            left.withLock { $0 = steps.done }
            try await eventually { steps.hasEnded }
            // A model with a context of 64 tokens is never billed for more, whatever its process says.
            try await eventually {
                let usage = try await fake.live.ask(.GET, "/api/v1/usage").json()
                let row = usage["data"]?.array?.first { $0["kind"] == "inference" }
                return row?["completion_tokens"]?.int == min(steps.done, 64)
            }
        }
        return steps.done - left.withLock { $0 }
    }

    @Test(
        "L03: a client that leaves stops the computing of rows and vectors",
        arguments: [
            ("/v2/models/rows/infer", ["inputs": []]), ("/api/v1/deployments/rows/predict", ["rows": [[:]]]),
            ("/v1/embeddings", ["model": "tiny", "input": ["a", "b"]]),
        ] as [(String, JSON)])
    func aClientThatLeavesStopsTheComputingOfRowsAndVectors(path: String, body: JSON) async throws {
        // With one place, the second client gets in only where the first one's is free again.
        try await OpenAIFake.with(models: ["tiny", "rows"], holds: true, configure: { $0.replicaQueueLimit = 1 }) {
            fake in
            for round in 0..<2 {
                do {
                    let socket = try RawSocket(port: fake.live.port)
                    socket.send(Self.request(fake, body, path: path))
                    try await eventually { fake.asked.heldCount == 1 }
                    withExtendedLifetime(socket) {}
                }
                try await eventually { fake.asked.leftCount == round + 1 }
                #expect(fake.asked.heldCount == 0)
            }
        }
    }

    @Test("L06: vectors that are not there by their request's deadline are given up, at the replica too")
    func vectorsAreGivenUpAtTheirDeadline() async throws {
        try await OpenAIFake.with(holds: true) { fake in
            let begun = ContinuousClock.now
            let late = try await fake.live.post(
                "/v1/embeddings", #"{"model":"tiny","input":"a"}"#, headers: [("x-deadline-ms", "1500")])
            #expect(late.status == 504 && begun.duration(to: .now) < .seconds(60), "\(late.text)")
            #expect(try late.json()["error"]?["message"]?.string?.contains("deadline") == true)
            try await eventually { fake.asked.leftCount == 1 && fake.asked.heldCount == 0 }
        }
    }

    @Test("A11: a key that is revoked ends its stream in five seconds")
    func aKeyThatIsRevokedEndsItsStreamInFiveSeconds() async throws {
        let steps = Steps()
        try await OpenAIFake.with(Self.endless(steps)) { fake in
            let key = try await fake.live.platform.keys.create(name: "k", role: .inference, by: fake.live.admin)
            let secret = try #require(key.secret)
            async let answer = fake.live.ask(
                .POST, "/v1/chat/completions", key: secret,
                body: Data(OpenAIFake.chat(["stream": true]).serialized().utf8))
            while fake.asked.count == 0 { try await Task.sleep(for: .milliseconds(10)) }
            let revoked = steps.done
            _ = try await fake.live.platform.keys.revoke(key.id, by: fake.live.admin)
            let text = try await answer.text
            #expect(steps.done - revoked <= 5 * Self.stepsOfASecond)
            #expect(text.contains("invalid_api_key") && !text.contains("[DONE]"))
        }
    }

    @Test("L07: a killed replica ends its stream with an error") func aKilledReplicaEndsItsStreamWithAnError()
        async throws
    {
        let answer: OpenAIFake.Answer = { _, exchange in
            try exchange.send(.started(promptTokens: 7, cachedTokens: 0))
            try exchange.send(.text(choice: 0, "x", tokens: []))
            exchange.connection.close()
        }
        try await OpenAIFake.with(answer) { fake in
            let chunks = try await fake.stream("/v1/chat/completions", OpenAIFake.chat(["stream": true]))
            #expect(chunks.last?["error"]?["type"] == "server_error")
            let usage = try await fake.live.ask(.GET, "/api/v1/usage").json()
            let row = try #require(usage["data"]?.array?.first { $0["kind"] == "inference" })
            #expect(row["prompt_tokens"]?.int == 7 && row["completion_tokens"]?.int == 1)
        }
    }

    @Test func moreModelsThanMemoryTakeTurns() async throws {
        let names = ["one", "two", "three"]
        try await OpenAIFake.with(models: names, configure: { $0.modelMemoryBytes = 300 << 20 }) { fake in
            for round in 0..<2 {
                for name in names {
                    let answer = try await fake.post(
                        "/v1/chat/completions", OpenAIFake.chat(["model": .string(name)]))
                    #expect(answer.status == 200, "round \(round), \(name): \(answer.text)")
                }
            }
            try await withThrowingTaskGroup(of: Int.self) { group in
                for index in 0..<12 {
                    group.addTask {
                        try await fake.post(
                            "/v1/chat/completions", OpenAIFake.chat(["model": .string(names[index % 3])])
                        ).status
                    }
                }
                for try await status in group { #expect(status == 200) }
            }
        }
    }

    @Test func aModelLargerThanAllMemoryIsRefused() async throws {
        try await OpenAIFake.with(configure: { $0.modelMemoryBytes = 1 << 20 }) { fake in
            let answer = try await fake.post("/v1/chat/completions", OpenAIFake.chat())
            #expect(answer.status == 503)
            #expect(answer.text.contains("model_memory_bytes"))
        }
    }
}

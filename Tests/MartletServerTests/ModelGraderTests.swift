import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import Synchronization
import Testing

/// Models that a training job's graders ask, over the control connection.
@Suite("Graders' questions of a training job", .serialized) struct ModelGraderTests {
    private static let path = "/v1/fine_tuning/jobs"

    private static func grader(_ model: String) -> JSON {
        [
            "type": "score_model", "name": "taste", "model": .string(model), "range": [0, 9],
            "input": [["role": "user", "content": "{{sample.output_text}}"]],
        ]
    }

    private static func question(_ model: String = "tiny", _ text: String = "Hi") -> String {
        JSON.object([
            "model": .string(model), "messages": [["role": "user", "content": .string(text)]], "temperature": 0,
        ]).serialized()
    }

    private func create(_ fake: OpenAIFake, _ grader: JSON) async throws -> LiveServer.Answer {
        let file = try FileRouteTests.id(try await FileRouteTests.upload(fake.live))
        return try await fake.post(
            Self.path,
            [
                "model": "tiny", "training_file": .string(file),
                "method": ["type": "reinforcement", "reinforcement": ["grader": grader]],
            ])
    }

    private func untilOver(_ fake: OpenAIFake, _ id: String) async throws -> JSON {
        var job: JSON = .null
        try await eventually {
            job = try await fake.live.ask(.GET, "\(Self.path)/\(id)").json()
            return ["succeeded", "failed", "cancelled"].contains(job["status"]?.string ?? "")
        }
        return job
    }

    private static func ask(_ connection: FakeConnection, _ bodies: [String]) async throws -> [String] {
        let head = try await connection.request(.ask(ModelQuestions(bodies: bodies)))
        return try JSONDecoder.wire.decode(ModelAnswers.self, from: Data(head)).texts
    }

    @Test func `a worker's questions are answered and billed to the job's key`() async throws {
        let heard = Mutex<[String]>([])
        let tuner = FakeTuner(stepCount: 1)
        try await OpenAIFake.with(
            OpenAIFake.say("{\"result\":", " 7}"),
            tune: { task, connection, started in
                let texts = try await Self.ask(connection, (0..<5).map { Self.question("tiny", "answer \($0)") })
                heard.withLock { $0 = texts }
                // One that the recipe does not name, one that is no JSON, and none at all.
                for wrong in [[Self.question("other")], ["{"], []] {
                    let fault = await #expect(throws: MartletError.self) { try await Self.ask(connection, wrong) }
                    #expect(fault?.httpStatus == 400)
                }
                try await tuner.tune(task, connection, started)
            }
        ) { fake in
            let id = try FileRouteTests.id(try await create(fake, Self.grader("tiny")))
            #expect(try await untilOver(fake, id)["status"] == "succeeded")
            #expect(heard.withLock { $0 } == Array(repeating: "{\"result\": 7}", count: 5))
            let usage = try await fake.live.ask(.GET, "/api/v1/usage").json()["data"]?.array ?? []
            let asked = usage.filter { $0["resource"] == "tiny@1" && $0["kind"] == "inference" }
            #expect(try await fake.used("requests", of: "tiny@1") == 5, "\(usage)")
            #expect(Set(asked.map { $0["key"]?.string }) == [fake.live.admin.keyID])
        }
    }

    @Test func `other messages go on while a model thinks, and a loss of the worker ends the question`() async throws {
        let isAsked = Mutex(false), wasCancelled = Mutex(false)
        try await OpenAIFake.with(
            { _, exchange in
                isAsked.withLock { $0 = true }
                while !exchange.isCancelled() { try await Task.sleep(for: .milliseconds(5)) }
                wasCancelled.withLock { $0 = true }
                try exchange.send(.done(OpenAIFake.usage(completion: 0)))
            },
            tune: { _, connection, started in
                let waiting = Task { try await Self.ask(connection, [Self.question()]) }
                while !isAsked.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
                try await connection.request(
                    .event(JobEvent(key: "beside", type: "message", message: "I go on")))
                connection.close()
                _ = try? await waiting.value
                started.kill()
            }
        ) { fake in
            let id = try FileRouteTests.id(try await create(fake, Self.grader("tiny")))
            try await eventually { wasCancelled.withLock { $0 } }
            let events = try await fake.live.ask(.GET, "\(Self.path)/\(id)/events?limit=100").text
            #expect(events.contains("I go on"))
            _ = try await fake.live.ask(.POST, "\(Self.path)/\(id)/cancel")
        }
    }

    @Test func `a model that fails is named, and one that is busy is asked again`() async throws {
        let tries = Mutex(0)
        try await OpenAIFake.with(
            { request, exchange in
                let number = tries.withLock { tries in
                    tries += 1; return tries
                }
                if number < 3 { return try exchange.fail(MartletError(.unavailable, "the queue is full")) }
                if number > 3 { return try exchange.fail(MartletError(.contextLengthExceeded, "too long a prompt")) }
                try await OpenAIFake.say("{\"result\": 1}")(request, exchange)
            },
            tune: { _, connection, _ in
                #expect(try await Self.ask(connection, [Self.question()]) == ["{\"result\": 1}"])
                _ = try await Self.ask(connection, [Self.question("tiny", "And now?")])
            }
        ) { fake in
            let id = try FileRouteTests.id(try await create(fake, Self.grader("tiny")))
            let job = try await untilOver(fake, id)
            #expect(job["status"] == "failed")
            let message = job["error"]?["message"]?.string ?? ""
            #expect(
                message.contains("the grader's model 'tiny'") && message.contains("too long a prompt"), "\(message)")
            #expect(tries.withLock { $0 } == 4)
        }
    }

    @Test func `after a worker's death only what was under way is asked again, and each answer is paid for once`()
        async throws
    {
        let asked = Mutex<[String: Int]>([:])
        let attempt = Mutex(0)
        let heard = Mutex<[String]>([])
        let tuner = FakeTuner(stepCount: 1)
        let server = Mutex<OpenAIFake?>(nil)
        let questions = (0..<6).map { Self.question("tiny", "answer \($0)") }
        try await OpenAIFake.with(
            { request, exchange in
                guard case .chat(let messages, _) = request.prompt else { return }
                let text = messages.last?["content"]?.string ?? ""
                let count = asked.withLock { asked in
                    asked[text, default: 0] += 1
                    return asked[text, default: 0]
                }
                // The last two are under way when the worker dies.
                if count == 1, ["answer 4", "answer 5"].contains(text) {
                    while !exchange.isCancelled() { try await Task.sleep(for: .milliseconds(5)) }
                    return try exchange.send(.done(OpenAIFake.usage(completion: 0)))
                }
                try await OpenAIFake.say("{\"result\": \(text.suffix(1))}")(request, exchange)
            },
            tune: { task, connection, started in
                let number = attempt.withLock { attempt in
                    attempt += 1
                    return attempt
                }
                if number == 1 {
                    let waiting = Task { try await Self.ask(connection, questions) }
                    // An answer is stored with what it cost.
                    while let fake = server.withLock({ $0 }), try await fake.used("requests", of: "tiny@1") < 4 {
                        try await Task.sleep(for: .milliseconds(20))
                    }
                    connection.close()
                    _ = try? await waiting.value
                    return started.kill()
                }
                let texts = try await Self.ask(connection, questions)
                heard.withLock { $0 = texts }
                try await tuner.tune(task, connection, started)
            },
            configure: { $0.backgroundRequests = 6 }
        ) { fake in
            server.withLock { $0 = fake }
            let id = try FileRouteTests.id(try await create(fake, Self.grader("tiny")))
            #expect(try await untilOver(fake, id)["status"] == "succeeded")
            #expect(heard.withLock { $0 } == (0..<6).map { "{\"result\": \($0)}" })
            let counts = asked.withLock { $0 }
            #expect((0..<4).allSatisfy { counts["answer \($0)"] == 1 }, "\(counts)")
            #expect(counts["answer 4"] == 2 && counts["answer 5"] == 2)
            #expect(try await fake.used("requests", of: "tiny@1") == 6)
        }
    }

    @Test func `a grader's model that is not there is refused before the job`() async throws {
        try await OpenAIFake.with { fake in
            let wrong = try await create(fake, Self.grader("nobody"))
            #expect(wrong.status == 404 && wrong.text.contains("'nobody'"), "\(wrong.text)")
            let inside = try await create(
                fake,
                [
                    "type": "multi", "name": "both", "calculate_output": "a", "graders": ["a": Self.grader("nobody")],
                ])
            #expect(inside.status == 404)
            #expect(try await fake.live.ask(.GET, Self.path).json()["data"] == [])
        }
    }
}

import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import Synchronization
import Testing

/// What work under way asks is not deleted from under it.
@Suite("Models that work under way needs", .serialized) struct NeededModelTests {
    /// Every way to delete a model is refused with the name of what needs it.
    private func isNeeded(_ fake: OpenAIFake, _ model: String, by user: String) async throws {
        for path in ["/v1/models/\(model)", "/api/v1/models/\(model)", "/api/v1/models/\(model)@1"] {
            let answer = try await fake.live.ask(.DELETE, path)
            #expect(answer.status == 409 && answer.text.contains(user), "\(path): \(answer.text)")
        }
        #expect(try await fake.live.ask(.GET, "/v1/models/\(model)").status == 200)
    }

    @Test func `the base and the grader's model of a job, as long as it is not over`() async throws {
        let tuner = FakeTuner(stepCount: 1, isOpen: false)
        try await OpenAIFake.with(
            models: ["tiny", "judge", "other"],
            tune: { task, connection, started in try await tuner.tune(task, connection, started) }
        ) { fake in
            let grader: JSON = [
                "type": "multi", "name": "both", "calculate_output": "a",
                "graders": [
                    "a": [
                        "type": "score_model", "name": "a", "model": "judge", "range": [0, 9],
                        "input": [["role": "user", "content": "{{sample.output_text}}"]],
                    ]
                ],
            ]
            let file = try FileRouteTests.id(try await FileRouteTests.upload(fake.live))
            let made = try await fake.post(
                "/v1/fine_tuning/jobs",
                [
                    "model": "tiny", "training_file": .string(file),
                    "method": ["type": "reinforcement", "reinforcement": ["grader": grader]],
                ])
            let id = try FileRouteTests.id(made)
            try await isNeeded(fake, "judge", by: "job \(id)")
            try await isNeeded(fake, "tiny", by: "job \(id)")
            #expect(try await fake.live.ask(.DELETE, "/v1/models/other").status == 200)
            tuner.open()
            try await eventually {
                try await fake.live.ask(.GET, "/v1/fine_tuning/jobs/\(id)").json()["status"] == "succeeded"
            }
            #expect(try await fake.live.ask(.DELETE, "/v1/models/judge").status == 200)
        }
    }

    @Test func `the model and the grader's deployment of an eval run`() async throws {
        let isOpen = Mutex(false)
        try await OpenAIFake.with(
            { request, exchange in
                while !isOpen.withLock({ $0 }), !exchange.isCancelled() {
                    try await Task.sleep(for: .milliseconds(5))
                }
                try await OpenAIFake.say("Paris")(request, exchange)
            }, models: ["tiny", "judge"]
        ) { fake in
            let deployed = try await fake.post("/api/v1/deployments", ["model": "judge", "name": "court"])
            #expect(deployed.status == 201, "\(deployed.text)")
            let eval = try await EvalTests.make(
                fake,
                [
                    "testing_criteria": [
                        [
                            "type": "score_model", "name": "j", "model": "court", "pass_threshold": 0.5,
                            "input": [["role": "user", "content": "Judge {{ sample.output_text }}"]],
                        ]
                    ]
                ])
            let base = "/v1/evals/\(eval["id"]?.string ?? "")/runs"
            let source: JSON = ["type": "file_content", "content": EvalTests.items([("France", "Paris")])]
            let made = try await fake.post(base, ["data_source": EvalTests.completions(source)]).json()
            let id = try #require(made["id"]?.string)
            try await isNeeded(fake, "tiny", by: "eval run \(id)")
            let court = try await fake.live.ask(.DELETE, "/api/v1/deployments/court")
            #expect(court.status == 409 && court.text.contains("eval run \(id)"), "\(court.text)")
            #expect(try await fake.live.ask(.POST, "\(base)/\(id)/cancel").json()["status"] == "canceled")
            #expect(try await fake.live.ask(.DELETE, "/v1/models/tiny").status == 200)
            #expect(try await fake.live.ask(.DELETE, "/api/v1/deployments/court").status == 200)
            isOpen.withLock { $0 = true }
        }
    }
}

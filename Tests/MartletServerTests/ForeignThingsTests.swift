import Foundation
import MartletPlatform
import MartletWire
import NIOHTTP1
import Testing

@Suite("What belongs to another project", .serialized)
struct ForeignThingsTests {
    /// A thing of the project `default`: how it is asked for, with `ID` for its id, and what the audit log calls it.
    private struct Thing {
        var kind: String
        var id: String
        var calls: [(HTTPMethod, String)]
        /// Bodies of calls that need one.
        var body: JSON?
    }

    private func things(_ fake: OpenAIFake) async throws -> [Thing] {
        func made(_ answer: LiveServer.Answer) throws -> String {
            try #require(answer.status < 300, "\(answer.text)")
            return try #require(try answer.json()["id"]?.string)
        }
        let file = try await fake.upload(BatchTests.lines(1), purpose: "batch")
        let training = try FileRouteTests.id(try await FileRouteTests.upload(fake.live))
        let upload = try made(
            try await fake.live.post(
                "/v1/uploads", #"{"filename":"a","purpose":"batch","mime_type":"text/plain","bytes":3}"#))
        let batch = try made(try await fake.post("/v1/batches", OpenAIFake.batchBody(file)))
        let job = try made(
            try await fake.post("/v1/fine_tuning/jobs", ["model": "tiny", "training_file": .string(training)]))
        let eval = try made(
            try await fake.post(
                "/v1/evals",
                ["name": "capitals", "data_source_config": EvalTests.config, "testing_criteria": EvalTests.criteria]))
        let source = EvalTests.completions(["type": "file_content", "content": EvalTests.items([("France", "Paris")])])
        let run = try made(try await fake.post("/v1/evals/\(eval)/runs", ["data_source": source]))
        let chat = try made(
            try await fake.post("/v1/chat/completions", OpenAIFake.chat(["store": true])))
        let response = try made(
            try await fake.post("/v1/responses", ["model": "tiny", "input": "Hi", "store": true]))
        let deployed = try await fake.post("/api/v1/deployments", ["model": "tiny", "name": "live"])
        try #require(deployed.status == 201, "\(deployed.text)")
        return [
            Thing(
                kind: "file", id: file,
                calls: [(.GET, "/v1/files/ID"), (.GET, "/v1/files/ID/content"), (.DELETE, "/v1/files/ID")]),
            Thing(kind: "upload", id: upload, calls: [(.POST, "/v1/uploads/ID/cancel")]),
            Thing(
                kind: "batch", id: batch, calls: [(.GET, "/v1/batches/ID"), (.POST, "/v1/batches/ID/cancel")]),
            Thing(
                kind: "job", id: job,
                calls: [
                    (.GET, "/v1/fine_tuning/jobs/ID"), (.GET, "/v1/fine_tuning/jobs/ID/events"),
                    (.GET, "/v1/fine_tuning/jobs/ID/checkpoints"), (.POST, "/v1/fine_tuning/jobs/ID/cancel"),
                    (.POST, "/v1/fine_tuning/jobs/ID/pause"), (.POST, "/v1/fine_tuning/jobs/ID/resume"),
                    (.GET, "/api/v1/jobs/ID"), (.GET, "/api/v1/jobs/ID/events"), (.GET, "/api/v1/jobs/ID/logs"),
                    (.POST, "/api/v1/jobs/ID/cancel"),
                ]),
            Thing(
                kind: "eval", id: eval,
                calls: [
                    (.GET, "/v1/evals/ID"), (.GET, "/v1/evals/ID/runs"), (.GET, "/v1/evals/ID/runs/\(run)"),
                    (.POST, "/v1/evals/ID/runs/\(run)"), (.DELETE, "/v1/evals/ID/runs/\(run)"),
                    (.GET, "/v1/evals/ID/runs/\(run)/output_items"), (.DELETE, "/v1/evals/ID"),
                ]),
            Thing(kind: "eval", id: eval, calls: [(.POST, "/v1/evals/ID")], body: ["name": "mine"]),
            Thing(
                kind: "eval", id: eval, calls: [(.POST, "/v1/evals/ID/runs")], body: ["data_source": source]),
            Thing(
                kind: "chat_completion", id: chat,
                calls: [
                    (.GET, "/v1/chat/completions/ID"), (.GET, "/v1/chat/completions/ID/messages"),
                    (.DELETE, "/v1/chat/completions/ID"),
                ]),
            Thing(
                kind: "chat_completion", id: chat, calls: [(.POST, "/v1/chat/completions/ID")],
                body: ["metadata": ["a": "b"]]),
            Thing(
                kind: "response", id: response,
                calls: [
                    (.GET, "/v1/responses/ID"), (.GET, "/v1/responses/ID/input_items"),
                    (.POST, "/v1/responses/ID/cancel"), (.DELETE, "/v1/responses/ID"),
                ]),
            Thing(
                kind: "model", id: "tiny",
                calls: [
                    (.GET, "/v1/models/ID"), (.DELETE, "/v1/models/ID"), (.GET, "/api/v1/models/ID"),
                    (.DELETE, "/api/v1/models/ID"), (.GET, "/v2/models/ID"),
                    (.GET, "/api/v1/models/ID/files/config.json"),
                ]),
            Thing(
                kind: "deployment", id: "live",
                calls: [
                    (.GET, "/api/v1/deployments/ID"), (.POST, "/api/v1/deployments/ID/rollback"),
                    (.DELETE, "/api/v1/deployments/ID"),
                ]),
            Thing(kind: "deployment", id: "live", calls: [(.PATCH, "/api/v1/deployments/ID")], body: ["replicas": 0]),
        ]
    }

    @Test("A05: what another project has is as unknown as what nobody has, and each try is written down")
    func everyKind() async throws {
        let tuner = FakeTuner(stepCount: 1, isOpen: false)
        try await OpenAIFake.with(tune: { try await tuner.tune($0, $1, $2) }) { fake in
            let things = try await things(fake)
            _ = try await fake.live.platform.projects.create(name: "other", by: fake.live.admin)
            let info = try await fake.live.platform.keys.create(
                name: "o", role: .developer, project: "other", by: fake.live.admin)
            let key = try #require(info.secret)
            for thing in things {
                // As long as the real one, and nobody's.
                let nobodys = String(thing.id.dropLast(3)) + "zzz"
                let body = thing.body.map { Data($0.serialized().utf8) }
                for (method, path) in thing.calls {
                    let before = try await denied(fake, thing, info.id)
                    let theirs = try await fake.live.ask(
                        method, path.replacing("ID", with: thing.id), key: key, body: body)
                    let unknown = try await fake.live.ask(
                        method, path.replacing("ID", with: nobodys), key: key, body: body)
                    #expect(theirs.status == 404, "\(method) \(path) \(thing.kind): \(theirs.text)")
                    #expect(unknown.status == 404)
                    #expect(
                        theirs.text.replacing(thing.id, with: "X") == unknown.text.replacing(nobodys, with: "X"),
                        "\(method) \(path)")
                    #expect(try await denied(fake, thing, info.id) > before, "\(method) \(path) is not written down")
                }
            }
            // By inference, too.
            for model in ["tiny", "live"] {
                let answer = try await fake.live.ask(
                    .POST, "/v1/chat/completions", key: key,
                    body: Data(OpenAIFake.chat(["model": .string(model)]).serialized().utf8))
                #expect(answer.status == 404)
            }
            let tries = try await fake.live.platform.audit.list(limit: 1000, by: fake.live.admin).data
            #expect(tries.first?.action == "deployment.access" && tries.first?.resource == "live")
            for path in [
                "/v1/files", "/v1/batches", "/v1/fine_tuning/jobs", "/v1/evals", "/v1/chat/completions", "/v1/models",
                "/api/v1/deployments", "/api/v1/jobs", "/api/v1/models", "/api/v1/datasets",
            ] {
                let list = try await fake.live.ask(.GET, path, key: key).json()
                #expect(list["data"]?.array?.isEmpty == true, "\(path)")
            }
            // All of it is as it was.
            for thing in things where thing.calls.contains(where: { $0.0 == .GET }) {
                let path = try #require(thing.calls.first { $0.0 == .GET }?.1)
                #expect(try await fake.live.ask(.GET, path.replacing("ID", with: thing.id)).status == 200, "\(path)")
            }
            tuner.open()
        }
    }

    private func denied(_ fake: OpenAIFake, _ thing: Thing, _ key: String) async throws -> Int {
        try await fake.live.platform.audit.list(limit: 1000, by: fake.live.admin).data.count {
            $0.action == "\(thing.kind).access" && $0.resource == thing.id && $0.outcome == "denied" && $0.key == key
        }
    }
}

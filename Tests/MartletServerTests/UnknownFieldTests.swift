import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import NIOHTTP1
import Testing

@Suite("Fields that nobody asked for", .serialized)
struct UnknownFieldTests {
    /// What someone would set who wants more than they have.
    private static let extras: [(String, JSON)] = [
        ("role", "admin"), ("tenant_id", "proj_other"), ("quota", 1_000_000), ("project_id", "proj_other"),
    ]

    /// Sends `body` with each extra field; it must be refused by that field's name.
    private func refused(
        _ fake: OpenAIFake, _ method: HTTPMethod, _ path: String, _ body: JSONObject
    ) async throws {
        for (name, value) in Self.extras {
            var more = body
            more[name] = value
            let answer = try await fake.live.ask(
                method, path, body: Data(JSON.object(more).serialized().utf8))
            #expect(answer.status == 400, "\(method) \(path) with \(name): \(answer.status) \(answer.text)")
            let error = try answer.json()["error"]
            #expect(error?["param"]?.string == name, "\(method) \(path) with \(name): \(answer.text)")
        }
    }

    @Test("A06: fields that a form does not have, has twice or has too long are refused by name, and nothing is kept")
    func forms() async throws {
        try await LiveServer.with { live in
            let upload = try FileRouteTests.id(
                try await live.post(
                    "/v1/uploads", #"{"filename":"a","purpose":"batch","mime_type":"text/plain","bytes":3}"#))
            let long = String(repeating: "x", count: (64 << 10) + 1)
            let forms: [(path: String, file: String, fields: [(String, String)])] = [
                ("/v1/files", "file", [("purpose", "user_data")]), ("/v1/uploads/\(upload)/parts", "data", []),
            ]
            for (path, file, fields) in forms {
                var more: [([(String, String)], Int, String)] = Self.extras.map {
                    ([($0, $1.string ?? $1.serialized())], 400, $0)
                }
                if let first = fields.first {
                    more.append(([first], 400, first.0))
                    more.append(([("expires_after[anchor]", long)], 413, "expires_after[anchor]"))
                    more.append(([("expires_after[days]", "1")], 400, "expires_after[days]"))
                }
                for (extra, status, param) in more {
                    // Before the file and behind it, when its bytes are on the disk.
                    for isFirst in [true, false] {
                        var form = Form()
                        for (name, value) in (isFirst ? extra : []) + fields { form.field(name, value) }
                        form.file(file, "a.txt", Data("abc".utf8))
                        for (name, value) in isFirst ? [] : extra { form.field(name, value) }
                        let answer = try await live.ask(.POST, path, headers: Form.headers, body: form.closed)
                        #expect(answer.status == status, "\(path) with \(param): \(answer.status) \(answer.text)")
                        #expect(try answer.json()["error"]?["param"]?.string == param, "\(answer.text)")
                    }
                }
            }
            #expect(try await live.platform.files.list(by: live.admin).data.isEmpty)
            #expect(try FileManager.default.contentsOfDirectory(atPath: live.home + "/blobs/incoming").isEmpty)
            #expect(try FileManager.default.contentsOfDirectory(atPath: live.home + "/blobs/sha256").isEmpty)
        }
    }

    @Test("A06: fields that a request does not have are refused by name, and nothing is changed")
    func everyRoute() async throws {
        let tuner = FakeTuner(stepCount: 1, isOpen: false)
        try await OpenAIFake.with(tune: { try await tuner.tune($0, $1, $2) }) { fake in
            let live = fake.live
            let file = try await fake.upload(BatchTests.lines(1), purpose: "batch")
            let training = try FileRouteTests.id(try await FileRouteTests.upload(live))
            let eval = try await EvalTests.make(fake)["id"]?.string ?? ""
            let chat = try await fake.post("/v1/chat/completions", OpenAIFake.chat(["store": true])).json()["id"]
            let job = try FileRouteTests.id(
                try await fake.post("/v1/fine_tuning/jobs", ["model": "tiny", "training_file": .string(training)]))
            let upload = try FileRouteTests.id(
                try await live.post(
                    "/v1/uploads", #"{"filename":"a","purpose":"batch","mime_type":"text/plain","bytes":3}"#))
            _ = try await fake.post("/api/v1/deployments", ["model": "tiny", "name": "live"])
            let source = EvalTests.completions(
                ["type": "file_content", "content": EvalTests.items([("France", "Paris")])])
            // A job that waits for its worker would change by itself.
            try await eventually { tuner.count > 0 }
            let before = try await snapshot(fake)

            let bodies: [(HTTPMethod, String, JSONObject)] = [
                (.POST, "/api/v1/projects", ["name": "p"]),
                (.PUT, "/api/v1/projects/default/budget", ["tokens": 1]),
                (.POST, "/api/v1/keys", ["name": "k"]),
                (.POST, "/api/v1/deployments", ["model": "tiny", "name": "live"]),
                (.PATCH, "/api/v1/deployments/live", ["replicas": 2]),
                (.POST, "/api/v1/jobs", ["kind": "train", "recipe": ["name": "x"]]),
                (.POST, "/api/v1/gc", ["dry_run": true]),
                (.POST, "/v1/batches", OpenAIFake.batchBody(file).object ?? [:]),
                (.POST, "/v1/fine_tuning/jobs", ["model": "tiny", "training_file": .string(training)]),
                (
                    .POST, "/v1/evals",
                    ["name": "e", "data_source_config": EvalTests.config, "testing_criteria": EvalTests.criteria]
                ),
                (.POST, "/v1/evals/\(eval)", ["name": "other"]),
                (.POST, "/v1/evals/\(eval)/runs", ["data_source": source]),
                (.POST, "/v1/chat/completions/\(chat?.string ?? "")", ["metadata": [:]]),
                (
                    .POST, "/v1/uploads", ["filename": "a", "purpose": "batch", "mime_type": "text/plain", "bytes": 3]
                ),
                (.POST, "/v1/uploads/\(upload)/complete", ["part_ids": []]),
                (.POST, "/v1/chat/completions", OpenAIFake.chat().object ?? [:]),
                (.POST, "/v1/completions", ["model": "tiny", "prompt": "a"]),
                (.POST, "/v1/embeddings", ["model": "tiny", "input": "a"]),
                (.POST, "/v1/responses", ["model": "tiny", "input": "a"]),
                (.POST, "/tokenize", ["model": "tiny", "prompt": "a"]),
                (.POST, "/detokenize", ["model": "tiny", "tokens": [1]]),
            ]
            for (method, path, body) in bodies {
                // A key's role is a field of its own.
                if path == "/api/v1/keys" {
                    let answer = try await fake.post(path, ["name": "k", "role": "developer", "tenant_id": "x"])
                    #expect(answer.status == 400 && answer.text.contains("tenant_id"), "\(answer.text)")
                    continue
                }
                try await refused(fake, method, path, body)
            }
            // Those that take no fields at all.
            for path in [
                "/api/v1/jobs/\(job)/cancel", "/api/v1/jobs/\(job)/pause", "/api/v1/jobs/\(job)/resume",
                "/v1/fine_tuning/jobs/\(job)/cancel", "/v1/fine_tuning/jobs/\(job)/pause",
                "/v1/fine_tuning/jobs/\(job)/resume", "/v1/uploads/\(upload)/cancel",
                "/api/v1/deployments/live/rollback", "/v1/batches/batch_x/cancel", "/v1/evals/\(eval)/runs/x/cancel",
                "/v1/responses/x/cancel", "/api/v1/datasets/d/versions", "/api/v1/datasets/d/versions/x/commit",
                "/api/v1/models/m/imports", "/api/v1/models/m/imports/x/commit",
            ] { try await refused(fake, .POST, path, [:]) }
            #expect(try await snapshot(fake) == before)
            // An empty object, as some clients send one, is nothing.
            #expect(try await fake.post("/v1/fine_tuning/jobs/\(job)/cancel", [:]).status == 200)
            tuner.open()
        }
    }

    /// What the calls above could have changed.
    private func snapshot(_ fake: OpenAIFake) async throws -> [String] {
        var texts: [String] = []
        for path in [
            "/api/v1/projects", "/api/v1/keys", "/api/v1/deployments",
            "/v1/batches", "/v1/fine_tuning/jobs", "/v1/evals", "/v1/chat/completions", "/v1/files",
        ] {
            // A replica's counters are its own.
            let text = try await fake.live.ask(.GET, path).text
            texts.append(path == "/api/v1/deployments" ? String(text.prefix { $0 != "[" }) : text)
        }
        texts.append(try await fake.live.ask(.GET, "/api/v1/deployments/live").json()["replicas"]?.serialized() ?? "")
        // What is used grows while the job runs.
        let budget = try await fake.live.ask(.GET, "/api/v1/projects/default/budget").json()
        texts.append(budget["limit"]?.serialized() ?? "")
        return texts
    }
}

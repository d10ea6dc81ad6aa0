import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import Testing

@Suite("Fine-tuning jobs of OpenAI's API", .serialized) struct TuningRouteTests {
    private static let path = "/v1/fine_tuning/jobs"

    private func with(_ tuner: FakeTuner = FakeTuner(), _ body: (OpenAIFake, String) async throws -> Void) async throws
    {
        try await OpenAIFake.with(tune: { try await tuner.tune($0, $1, $2) }) { fake in
            try await body(fake, FileRouteTests.id(try await FileRouteTests.upload(fake.live)))
        }
    }

    private func create(
        _ fake: OpenAIFake, _ file: String, _ fields: JSONObject = [:], headers: [(String, String)] = []
    ) async throws -> LiveServer.Answer {
        var body: JSONObject = ["model": "tiny", "training_file": .string(file)]
        for (key, value) in fields { body[key] = value }
        return try await fake.live.post(Self.path, JSON.object(body).serialized(), headers: headers)
    }

    private func wait(_ fake: OpenAIFake, _ id: String, for status: String) async throws -> JSON {
        var job: JSON = .null
        try await eventually {
            job = try await fake.live.ask(.GET, "\(Self.path)/\(id)").json()
            if job["status"]?.string == status { return true }
            try #require(
                !["succeeded", "failed", "cancelled"].contains(job["status"]?.string ?? ""), "\(job.serialized())")
            return false
        }
        return job
    }

    @Test func aJobGoesFromAFileToAModelThatAnswers() async throws {
        let tuner = FakeTuner()
        try await with(tuner) { fake, file in
            let answer = try await create(
                fake, file,
                [
                    "suffix": "my birds", "metadata": ["team": "a"], "seed": 7,
                    "method": [
                        "type": "supervised", "supervised": ["hyperparameters": ["n_epochs": 2, "batch_size": "auto"]],
                    ],
                ])
            let id = try FileRouteTests.id(answer)
            let made = try answer.json()
            #expect(id.hasPrefix("ftjob-") && made["object"] == "fine_tuning.job" && made["fine_tuned_model"] == .null)
            #expect(made["organization_id"] == "default" && made["result_files"] == [] && made["seed"] == 7)
            #expect(
                made["hyperparameters"] == ["n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"]
                    || tuner.count > 0)
            let job = try await wait(fake, id, for: "succeeded")
            let alias = "ft:tiny:default:my-birds:\(id.dropFirst(6).prefix(12))"
            #expect(job["fine_tuned_model"]?.string == alias && job["trained_tokens"] == 1234 && job["error"] == .null)
            #expect(
                job["hyperparameters"] == ["n_epochs": 2, "batch_size": 32, "learning_rate_multiplier": 1.5])
            #expect(job["method"]?["supervised"]?["hyperparameters"] == job["hyperparameters"])
            #expect(job["metadata"] == ["team": "a"] && job["user_provided_suffix"] == "my birds")

            // What the worker was given.
            let task = try #require(tuner.last)
            #expect(task.base?.reference == "tiny@1" && task.base?.adapterPath == nil)
            #expect(task.recipe["adapter"] == ["rank": 8, "type": "lora"] && task.recipe["training"]?["seed"] == 7)
            #expect(task.recipe["training"]?["batch_size"] == nil)
            let mount = try #require(task.datasets.first)
            #expect(mount.reference == file && mount.resolved == "train@1")
            #expect(
                try String(contentsOfFile: mount.path + "/train.jsonl", encoding: .utf8) == FileRouteTests.line)

            // It is a model, at once.
            let ids = try await fake.live.ask(.GET, "/v1/models").json()["data"]?.array?.compactMap { $0["id"]?.string }
            #expect(ids?.contains(alias) == true && ids?.contains("\(alias):ckpt-step-1") == true)
            let shown = try await fake.live.ask(.GET, "/v1/models/\(alias)")
            #expect(try shown.json()["parent"] == "tiny@1" && shown.status == 200)
            let registered = try await fake.live.platform.models.versions(of: "ft-tiny-my-birds", by: fake.live.admin)
            #expect(registered.map(\.aliases) == [[alias], ["\(alias):ckpt-step-2"], ["\(alias):ckpt-step-1"]])

            try await historyAndResults(fake, id, job, alias)
        }
    }

    private func historyAndResults(_ fake: OpenAIFake, _ id: String, _ job: JSON, _ alias: String) async throws {
        let page = try await fake.live.ask(.GET, "\(Self.path)/\(id)/events?limit=3").json()
        let events = try #require(page["data"]?.array)
        #expect(events.count == 3 && page["has_more"] == true)
        #expect(events[0]["message"] == "The job has successfully completed" && events[0]["data"] == .null)
        #expect(events[1]["message"]?.string == "New fine-tuned model created: \(alias)")
        #expect(events.allSatisfy { $0["object"] == "fine_tuning.job.event" && $0["level"] == "info" })
        let last = try #require(events[2]["id"]?.string)
        let rest = try await fake.live.ask(.GET, "\(Self.path)/\(id)/events?after=\(last)&limit=100").json()
        let older = try #require(rest["data"]?.array)
        #expect(rest["has_more"] == false && older.last?["message"]?.string == "Created fine-tuning job: \(id)")
        let metrics = (events + older).filter { $0["type"] == "metrics" }
        #expect(metrics.map { $0["data"]?["step"] } == [2, 1])
        #expect(try await fake.live.ask(.GET, "\(Self.path)/\(id)/events?after=x").status == 400)

        let checkpoints = try await fake.live.ask(.GET, "\(Self.path)/\(id)/checkpoints?limit=1").json()
        let newest = try #require(checkpoints["data"]?.array?.first)
        #expect(newest["step_number"] == 2 && newest["metrics"] == ["step": 2, "train_loss": 0.5])
        #expect(newest["fine_tuned_model_checkpoint"]?.string == "\(alias):ckpt-step-2")
        #expect(newest["fine_tuning_job_id"]?.string == id && checkpoints["has_more"] == true)
        let after = try #require(checkpoints["last_id"]?.string)
        let second = try await fake.live.ask(.GET, "\(Self.path)/\(id)/checkpoints?after=\(after)").json()
        #expect(second["data"]?.array?.map { $0["step_number"] } == [1] && second["has_more"] == false)

        let results = try #require(job["result_files"]?.array?.first?.string)
        let file = try await fake.live.ask(.GET, "/v1/files/\(results)").json()
        #expect(file["purpose"] == "fine-tune-results" && file["filename"] == "step_metrics.csv")
        let table = try await fake.live.ask(.GET, "/v1/files/\(results)/content")
        #expect(
            table.text == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
                + "1,1,0.5,,\n2,0.5,0.5,0.25,\n")
    }

    /// A tuned model, an adapter, is tuned again: the worker gets the base and the adapter.
    @Test func anAdapterIsABaseToo() async throws {
        let tuner = FakeTuner(stepCount: 1)
        try await with(tuner) { fake, file in
            let first = try FileRouteTests.id(try await create(fake, file))
            let alias = try #require(try await wait(fake, first, for: "succeeded")["fine_tuned_model"]?.string)
            // The base is needed by its adapters now.
            let refused = try await fake.live.ask(.DELETE, "/api/v1/models/tiny")
            #expect(refused.status == 409 && refused.text.contains("adapter ft-tiny@2"))
            let second = try FileRouteTests.id(try await create(fake, file, ["model": .string(alias)]))
            let done = try await wait(fake, second, for: "succeeded")
            #expect(done["fine_tuned_model"]?.string?.hasPrefix("ft:tiny:default::") == true)
            let base = try #require(tuner.last?.base)
            #expect(base.reference == "tiny@1" && base.adapterReference == "ft-tiny@2")
            #expect(FileManager.default.fileExists(atPath: (base.adapterPath ?? "") + "/adapter_config.json"))
            // Deleted by its id, the alias goes with it.
            #expect(try await fake.live.ask(.DELETE, "/v1/models/\(alias)").json()["deleted"] == true)
            #expect(try await fake.live.ask(.GET, "/v1/models/\(alias)").status == 404)
        }
    }

    @Test(arguments: [
        ("{}", "model"), (#"{"model":"nope"}"#, "model"), (#"{"training_file":"file-0"}"#, "training_file"),
        (#"{"training_file":null}"#, "training_file"), (#"{"validation_file":"file-0"}"#, "validation_file"),
        (#"{"training_file":"PICTURE"}"#, "training_file"), (#"{"suffix":"LONG"}"#, "suffix"),
        (#"{"seed":-1}"#, "seed"), (#"{"seed":1e30}"#, "seed"), (#"{"metadata":{"a":1}}"#, "metadata.a"),
        (#"{"metadata":{"":"x"}}"#, "metadata"), (#"{"integrations":[{"type":"wandb"}]}"#, "integrations"),
        (#"{"nonsense":1}"#, "nonsense"), (#"{"hyperparameters":{"n_epochs":0}}"#, "hyperparameters.n_epochs"),
        (#"{"hyperparameters":{"beta":0.1}}"#, "hyperparameters.beta"), (#"{"method":{}}"#, "method.type"),
        (#"{"method":{"type":"magic"}}"#, "method.type"),
        (#"{"method":{"type":"dpo","supervised":{}}}"#, "method.supervised"),
        (#"{"method":{"type":"dpo","dpo":{"hyperparameters":{"beta":-1}}}}"#, "method.dpo.hyperparameters.beta"),
        (#"{"method":{"type":"reinforcement"}}"#, "method.reinforcement"),
        (
            #"{"method":{"type":"reinforcement","reinforcement":{"grader":{"type":"python","name":"p"}}}}"#,
            "method.reinforcement.grader.type"
        ),
        (#"{"method":{"type":"supervised"},"hyperparameters":{}}"#, "hyperparameters"),
        (#"{"adapter":"loro"}"#, "adapter"), (#"{"adapter":{"type":"lora","rank":0}}"#, "adapter.rank"),
        (#"{"adapter":{"type":"lora","ranks":8}}"#, "adapter.ranks"),
    ])
    func whatIsWrongIsNamed(_ fields: String, _ param: String) async throws {
        try await LiveServer.with { live in
            let picture = try FileRouteTests.id(try await FileRouteTests.upload(live, purpose: "vision"))
            let file = try FileRouteTests.id(try await FileRouteTests.upload(live))
            let text = fields.replacing("PICTURE", with: picture).replacing(
                "LONG", with: String(repeating: "s", count: 65))
            var body: JSONObject = ["model": "tiny", "training_file": .string(file)]
            for (key, value) in try #require(try JSONParser.parse(text, limits: .trusted).object) { body[key] = value }
            if fields == "{}" { body["model"] = nil }
            let answer = try await live.post(Self.path, JSON.object(body).serialized())
            let error = try answer.json()["error"]
            #expect(answer.status == (fields.contains("nope") ? 404 : 400), "\(answer.text)")
            #expect(error?["param"]?.string == param, "\(answer.text)")
            #expect(try await live.platform.tuning.list(by: live.admin).jobs.isEmpty)
        }
    }

    @Test func everyMethodBecomesARecipe() async throws {
        let tuner = FakeTuner(stepCount: 1)
        try await with(tuner) { fake, file in
            let grader: JSON = ["type": "string_check", "name": "n", "input": "a", "operation": "eq", "reference": "b"]
            for (fields, expected) in [
                (
                    ["adapter": "none", "hyperparameters": ["n_epochs": 3, "learning_rate_multiplier": 0.5]],
                    ["method": "supervised", "learning_rate_multiplier": 0.5]
                ),
                (
                    [
                        "adapter": ["type": "lora", "rank": 4, "base_precision": "int8"],
                        "method": ["type": "dpo", "dpo": ["hyperparameters": ["beta": 0.2, "n_epochs": "auto"]]],
                    ], ["method": "dpo", "beta": 0.2]
                ),
                (
                    [
                        "validation_file": "train@1",
                        "method": [
                            "type": "reinforcement",
                            "reinforcement": [
                                "grader": grader,
                                "hyperparameters": ["reasoning_effort": "default", "eval_samples": "auto"],
                            ],
                        ],
                    ], ["method": "reinforcement", "grader": grader]
                ),
            ] as [(JSONObject, JSON)] {
                let id = try FileRouteTests.id(try await create(fake, file, fields))
                let job = try await wait(fake, id, for: "succeeded")
                #expect(tuner.last?.recipe["tuning"] == expected)
                #expect(job["method"]?["type"] == expected["method"])
                let adapter: JSON = fields["adapter"] ?? ["type": "lora", "rank": 8]
                let expectedAdapter: JSON? = adapter == "none" ? Optional.none : adapter
                #expect(tuner.last?.recipe["adapter"] == expectedAdapter)
                if expected["method"] == "dpo" { #expect(job["method"]?["dpo"]?["hyperparameters"]?["beta"] == 0.2) }
                if expected["method"] == "reinforcement" {
                    #expect(job["method"]?["reinforcement"]?["grader"] == grader)
                    #expect(tuner.last?.datasets.map(\.reference) == [file, "train@1"])
                }
            }
        }
    }

    @Test("J09: the client's own retry makes no second job, a second run does, and a key means its body")
    func aRetryIsTheSameJobAndASecondRunIsAnother() async throws {
        let tuner = FakeTuner(stepCount: 1, isOpen: false)
        try await with(tuner) { fake, file in
            let first = try FileRouteTests.id(try await create(fake, file, headers: [("x-stainless-retry-count", "0")]))
            let retry = try FileRouteTests.id(try await create(fake, file, headers: [("x-stainless-retry-count", "1")]))
            #expect(first == retry)
            let second = try FileRouteTests.id(
                try await create(fake, file, headers: [("x-stainless-retry-count", "0")]))
            #expect(second != first)
            let key = [("Idempotency-Key", "once")]
            let keyed = try FileRouteTests.id(try await create(fake, file, headers: key))
            #expect(try FileRouteTests.id(try await create(fake, file, headers: key)) == keyed)
            let other = try await create(fake, file, ["suffix": "x"], headers: key)
            #expect(other.status == 422 && other.text.contains("Idempotency-Key"))
            #expect(try other.json()["error"]?["code"] == "idempotency_key_reused")
            let list = try await fake.live.ask(.GET, Self.path + "?limit=2").json()
            #expect(list["data"]?.array?.map { $0["id"]?.string } == [keyed, second] && list["has_more"] == true)
            let rest = try await fake.live.ask(.GET, Self.path + "?after=\(second)").json()
            #expect(rest["data"]?.array?.map { $0["id"]?.string } == [first] && rest["has_more"] == false)
            for id in [first, second, keyed] {
                _ = try await fake.live.ask(.POST, "\(Self.path)/\(id)/cancel")
            }
        }
    }

    @Test("J16: a job is cancelled in each state, and its file is not deleted from under it")
    func jobsAreSteeredAndKeepTheirFiles() async throws {
        let tuner = FakeTuner(stepCount: 1, isOpen: false)
        try await with(tuner) { fake, file in
            let running = try FileRouteTests.id(try await create(fake, file, ["metadata": ["n": "1 2"]]))
            let queued = try FileRouteTests.id(try await create(fake, file))
            _ = try await wait(fake, running, for: "validating_files")
            #expect(try await wait(fake, queued, for: "queued")["estimated_finish"] == .null)
            let refused = try await fake.live.ask(.DELETE, "/v1/files/\(file)")
            #expect(refused.status == 409 && refused.text.contains(queued) && refused.text.contains(running))
            #expect(refused.headers.first(name: "x-should-retry") == "false")
            let needed = try await fake.live.ask(.DELETE, "/v1/models/tiny")
            #expect(needed.status == 409 && needed.text.contains(queued))
            for (query, expected) in [
                ("?metadata%5Bn%5D=1+2", [running]), ("?metadata[n]=2", []), ("?metadata=null", [queued]),
            ] as [(String, [String])] {
                let page = try await fake.live.ask(.GET, Self.path + query).json()
                #expect(page["data"]?.array?.compactMap { $0["id"]?.string } == expected, "\(query)")
            }
            #expect(try await fake.live.ask(.GET, Self.path + "?meta=1").status == 400)
            let paused = try await fake.live.ask(.POST, "\(Self.path)/\(queued)/pause").json()
            #expect(paused["status"] == "paused")
            #expect(try await fake.live.ask(.POST, "\(Self.path)/\(queued)/resume").json()["status"] == "queued")
            for id in [queued, running] {
                let (job, time) = try await counted {
                    #expect(try await fake.live.ask(.POST, "\(Self.path)/\(id)/cancel").status == 200)
                    return try await wait(fake, id, for: "cancelled")
                }
                #expect(time < .seconds(10))
                #expect(job["fine_tuned_model"] == .null && job["error"] == .null)
            }
            #expect(try await fake.live.ask(.POST, "\(Self.path)/\(queued)/pause").status == 409)
            #expect(try await fake.live.ask(.DELETE, "/v1/files/\(file)").status == 200)
        }
    }

    @Test func aWorkersErrorIsTheJobsError() async throws {
        try await OpenAIFake.with(tune: { _, _, _ in
            throw MartletError(.invalidData, "file-1, line 4711: no closing brace; mend it", param: "training_file")
        }) { fake in
            let file = try FileRouteTests.id(try await FileRouteTests.upload(fake.live))
            let id = try FileRouteTests.id(try await create(fake, file))
            let job = try await wait(fake, id, for: "failed")
            #expect(
                job["error"] == [
                    "code": "invalid_data", "message": "file-1, line 4711: no closing brace; mend it",
                    "param": "training_file",
                ])
            let events = try await fake.live.ask(.GET, "\(Self.path)/\(id)/events").json()["data"]?.array
            #expect(events?.first?["level"] == "error" && events?.first?["message"] == job["error"]?["message"])
        }
    }

    @Test("A05: another project's job is not there, nor is one of another kind") func anotherProjectsJobIsNotThere()
        async throws
    {
        try await with(FakeTuner(stepCount: 1)) { fake, file in
            let id = try FileRouteTests.id(try await create(fake, file))
            let alias = try #require(try await wait(fake, id, for: "succeeded")["fine_tuned_model"]?.string)
            let live = fake.live
            _ = try await live.platform.projects.create(name: "other", by: live.admin)
            let key = try #require(
                try await live.platform.keys.create(name: "o", role: .developer, project: "other", by: live.admin)
                    .secret)
            let imports = try await live.platform.jobs.list(by: live.admin).data.filter { $0.kind == .import }
            let import1 = try #require(imports.first).id
            for (method, end) in [
                ("GET", ""), ("GET", "/events"), ("GET", "/checkpoints"), ("POST", "/cancel"), ("POST", "/pause"),
                ("POST", "/resume"),
            ] {
                let theirs = try await live.ask(.init(rawValue: method), "\(Self.path)/\(id)\(end)", key: key)
                let unknown = try await live.ask(.init(rawValue: method), "\(Self.path)/ftjob-0\(end)", key: key)
                let other = try await live.ask(.init(rawValue: method), "\(Self.path)/\(import1)\(end)")
                #expect(theirs.status == 404 && unknown.status == 404 && other.status == 404)
                #expect(theirs.text.replacing(id, with: "ftjob-0") == unknown.text)
            }
            #expect(try await live.ask(.GET, "/v1/models/\(alias)", key: key).status == 404)
            #expect(try await live.ask(.GET, Self.path, key: key).json()["data"] == [])
        }
    }

    /// A recipe with a base through the native API is the same kind of job.
    @Test func theNativeApiMakesTheSameJob() async throws {
        let tuner = FakeTuner(stepCount: 1)
        try await with(tuner) { fake, _ in
            let recipe: JSON = ["name": "mine", "base": "tiny", "data": ["source": ["train": ["train"]]]]
            let made = try await fake.live.post(
                "/api/v1/jobs", JSON.object(["kind": "train", "recipe": recipe]).serialized())
            let id = try #require(try made.json()["id"]?.string)
            #expect(try made.json()["kind"] == "fine_tune")
            let job = try await wait(fake, id, for: "succeeded")
            #expect(job["training_file"] == "train" && job["model"] == "tiny" && job["metadata"] == .null)
            let native = try await fake.live.ask(.GET, "/api/v1/jobs/\(id)").json()
            #expect(native["model"] == "mine@2" && native["result"]?["fine_tuned_model"] == job["fine_tuned_model"])
            let tabular: JSON = [
                "kind": "fine_tune",
                "recipe": [
                    "name": "x", "inputs": ["a": "number"], "outputs": ["b": "number"], "data": ["source": "train"],
                ],
            ]
            #expect(try await fake.live.post("/api/v1/jobs", tabular.serialized()).status == 400)
        }
    }
}

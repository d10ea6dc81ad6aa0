import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import Testing

@Suite("Evals", .serialized)
struct EvalTests {
    /// Says the city's name for questions about it, and answers graders' schemas.
    private static let oracle: OpenAIFake.Answer = { request, exchange in
        guard case .chat(let messages, _) = request.prompt else { return }
        let text = messages.last?["content"]?.string ?? ""
        if case .jsonSchema = request.form {
            let answer =
                text.contains("Paris") ? #"{"result": 0.9, "label": "good"}"# : #"{"result": 0.1, "label": "bad"}"#
            return try await OpenAIFake.say(answer)(request, exchange)
        }
        if text.contains("broken") { throw MartletError(.contextLengthExceeded, "too long") }
        try await OpenAIFake.say(text.contains("France") ? "Paris" : "Rome")(request, exchange)
    }

    static let criteria: JSON = [
        [
            "type": "string_check", "name": "exact", "operation": "eq", "input": "{{ sample.output_text }}",
            "reference": "{{ item.answer }}",
        ],
        [
            "type": "text_similarity", "name": "near", "evaluation_metric": "fuzzy_match", "pass_threshold": 0.5,
            "input": "{{ sample.output_text }}", "reference": "{{ item.answer }}",
        ],
        [
            "type": "score_model", "name": "judge", "model": "tiny", "pass_threshold": 0.5,
            "input": [["role": "user", "content": "Judge {{ sample.output_text }}"]],
        ],
        [
            "type": "label_model", "name": "kind", "model": "tiny", "labels": ["good", "bad"],
            "passing_labels": ["good"], "input": [["role": "user", "content": "Label {{ sample.output_text }}"]],
        ],
    ]
    static let config: JSON = [
        "type": "custom", "include_sample_schema": true,
        "item_schema": [
            "type": "object", "required": ["question"],
            "properties": ["question": ["type": "string"], "answer": ["type": "string"]],
        ],
    ]

    static func items(_ pairs: [(String, String)]) -> JSON {
        .array(pairs.map { ["item": ["question": .string($0), "answer": .string($1)]] })
    }

    static func completions(_ source: JSON, model: String = "tiny") -> JSON {
        [
            "type": "completions", "model": .string(model), "source": source,
            "sampling_params": ["temperature": 0, "max_completion_tokens": 8],
            "input_messages": [
                "type": "template", "template": [["role": "user", "content": "Capital of {{ item.question }}?"]],
            ],
        ]
    }

    static func make(_ fake: OpenAIFake, _ fields: JSONObject = [:]) async throws -> JSON {
        var body: JSONObject = ["name": "capitals", "data_source_config": config, "testing_criteria": criteria]
        for (key, value) in fields { body[key] = value }
        let answer = try await fake.post("/v1/evals", .object(body))
        try #require(answer.status == 201, "\(answer.text)")
        return try answer.json()
    }

    private static func run(_ fake: OpenAIFake, _ eval: JSON, _ source: JSON) async throws -> JSON {
        let base = "/v1/evals/\(eval["id"]?.string ?? "")/runs"
        let answer = try await fake.post(base, ["name": "r", "data_source": source])
        try #require(answer.status == 201, "\(answer.text)")
        let id = try answer.json()["id"]?.string ?? ""
        var last: JSON = .null
        try await eventually {
            last = try await fake.live.ask(.GET, "\(base)/\(id)").json()
            return ["completed", "failed", "canceled"].contains(last["status"]?.string)
        }
        return last
    }

    @Test func aModelIsAskedAndItsAnswersAreJudged() async throws {
        try await OpenAIFake.with(Self.oracle) { fake in
            let eval = try await Self.make(fake)
            #expect(eval["object"] == "eval" && eval["testing_criteria"]?.array?.count == 4)
            let source: JSON = [
                "type": "file_content",
                "content": Self.items([("France", "Paris"), ("Spain", "Madrid"), ("broken", "x")]),
            ]
            let run = try await Self.run(fake, eval, Self.completions(source))
            #expect(run["status"] == "completed", "\(run.serialized())")
            #expect(run["result_counts"] == ["total": 3, "passed": 1, "failed": 1, "errored": 1])
            let exact = run["per_testing_criteria_results"]?.array?.first { $0["testing_criteria"] == "exact" }
            #expect(exact?["passed"] == 1 && exact?["failed"] == 1)
            let usage = try #require(run["per_model_usage"]?.array?.first)
            #expect(usage["model_name"] == "tiny" && usage["invocation_count"] == 6)
            #expect(run["report_url"]?.string?.hasPrefix("http://127.0.0.1") == true)

            let base = "/v1/evals/\(eval["id"]?.string ?? "")/runs/\(run["id"]?.string ?? "")/output_items"
            let items = try await fake.live.ask(.GET, base).json()["data"]?.array ?? []
            #expect(items.map { $0["status"] } == ["pass", "fail", "error"])
            #expect(items[0]["datasource_item"] == ["question": "France", "answer": "Paris"])
            #expect(items[0]["sample"]?["output"] == [["role": "assistant", "content": "Paris"]])
            #expect(items[0]["sample"]?["input"] == [["role": "user", "content": "Capital of France?"]])
            #expect(items[0]["results"]?.array?.map { $0["name"] } == ["exact", "near", "judge", "kind"])
            #expect(items[2]["sample"]?["error"]?["code"] == "context_length_exceeded")
            #expect(try await fake.live.ask(.GET, base + "?status=pass").json()["data"]?.array?.count == 1)
            let one = try await fake.live.ask(.GET, base + "/\(items[0]["id"]?.string ?? "")").json()
            #expect(one == items[0])
        }
    }

    @Test func answersThatCameWithTheDataAndThoseThatWereKept() async throws {
        try await OpenAIFake.with(Self.oracle) { fake in
            let eval = try await Self.make(fake, ["testing_criteria": .array(Array((Self.criteria.array ?? [])[..<2]))])
            let text = """
                {"item": {"question": "France", "answer": "Paris"}, "sample": {"output_text": "Paris"}}

                {"item": {"question": "Italy", "answer": "Rome"}, "sample": {"output_text": "Milan"}}
                """
            let file = try await fake.upload(text, purpose: "evals")
            let run = try await Self.run(
                fake, eval, ["type": "jsonl", "source": ["type": "file_id", "id": .string(file)]])
            #expect(run["result_counts"] == ["total": 2, "passed": 1, "failed": 1, "errored": 0])
            #expect(fake.asked.count == 0)

            for country in ["France", "Italy"] {
                _ = try await fake.post(
                    "/v1/chat/completions",
                    [
                        "model": "tiny", "store": true, "metadata": ["use": "quiz"],
                        "messages": [["role": "user", "content": .string("Capital of \(country)?")]],
                    ])
            }
            let kept = try await Self.make(
                fake,
                [
                    "data_source_config": ["type": "stored_completions", "metadata": ["use": "quiz"]],
                    "testing_criteria": [
                        [
                            "type": "string_check", "name": "paris", "operation": "eq",
                            "input": "{{ sample.output_text }}", "reference": "Paris",
                        ]
                    ],
                ])
            let judged = try await Self.run(
                fake, kept, ["type": "completions", "source": ["type": "stored_completions"]])
            #expect(judged["result_counts"] == ["total": 2, "passed": 1, "failed": 1, "errored": 0])
            let again = try await Self.run(
                fake, kept, ["type": "completions", "model": "tiny", "source": ["type": "stored_completions"]])
            #expect(again["result_counts"] == ["total": 2, "passed": 1, "failed": 1, "errored": 0])
            #expect(fake.asked.count == 4)
        }
    }

    @Test func keptResponsesAreJudgedAndAskedAgain() async throws {
        try await OpenAIFake.with(Self.oracle) { fake in
            for (country, use) in [("France", "quiz"), ("Italy", "quiz"), ("Spain", "other")] {
                _ = try await fake.post(
                    "/v1/responses",
                    [
                        "model": "tiny", "store": true, "metadata": ["use": .string(use)], "user": "u-1",
                        "instructions": "Answer 100 % briefly.", "input": .string("Capital of \(country)?"),
                    ])
            }
            let eval = try await Self.make(
                fake,
                [
                    "data_source_config": ["type": "logs", "metadata": ["use": "quiz"]],
                    "testing_criteria": [
                        [
                            "type": "string_check", "name": "paris", "operation": "eq",
                            "input": "{{ sample.output_text }}", "reference": "Paris",
                        ]
                    ],
                ])
            func run(_ source: JSONObject, model: JSON = .null) async throws -> JSON? {
                var whole: JSONObject = ["type": "responses"]
                for (key, value) in source { whole[key] = value }
                var data: JSONObject = ["type": "responses", "source": .object(whole)]
                if !model.isNull { data["model"] = model }
                return try await Self.run(fake, eval, .object(data))["result_counts"]
            }
            #expect(try await run([:]) == ["total": 2, "passed": 1, "failed": 1, "errored": 0])
            #expect(fake.asked.count == 3)
            let all: JSONObject = [
                "model": "tiny", "instructions_search": "100 %", "has_tool_calls": false, "users": ["u-1", "u-2"],
                "temperature": 1, "top_p": 1, "created_after": 1,
            ]
            #expect(try await run(all)?["total"] == 2)
            for (name, value) in [
                ("model", "other"), ("instructions_search", "brief%"), ("has_tool_calls", true), ("users", ["u-3"]),
                ("temperature", 0.5), ("tools", ["f"]), ("created_before", 1),
            ] as [(String, JSON)] {
                #expect(
                    try await run([name: value]) == ["total": 0, "passed": 0, "failed": 0, "errored": 0], "\(name)")
            }
            #expect(try await run(["metadata": ["use": "other"]])?["total"] == 1)
            #expect(try await run([:], model: "tiny")?["passed"] == 1)
            #expect(fake.asked.count == 5)
        }
    }

    @Test func aPageOfRunsEndsWhereTheirDataIsTooMuch() async throws {
        try await OpenAIFake.with(Self.oracle, models: []) { fake in
            let eval = try await Self.make(fake, ["testing_criteria": .array(Array((Self.criteria.array ?? [])[..<1]))])
            let base = "/v1/evals/\(eval["id"]?.string ?? "")/runs"
            // A page takes 4 MiB: one run of 5 MB, or three of 1.3 MB.
            var ids: [String] = []
            for bytes in [1_300_000, 1_300_000, 1_300_000, 1_300_000, 5_000_000, 10] {
                let item: JSON = ["item": ["question": .string(String(repeating: "q", count: bytes)), "answer": "a"]]
                let answer = try await fake.post(
                    base, ["data_source": ["type": "jsonl", "source": ["type": "file_content", "content": [item]]]])
                try #require(answer.status == 201, "\(answer.text.prefix(300))")
                ids.append(try #require(try answer.json()["id"]?.string))
            }
            var pages: [[String]] = []
            var after = ""
            for _ in 0..<10 {
                let answer = try await fake.live.ask(.GET, base + "?limit=5" + after)
                let page = try answer.json()
                let found = page["data"]?.array ?? []
                // Each is whole, as the client's types have it.
                #expect(found.allSatisfy { $0["data_source"]?["source"]?["content"]?.array?.count == 1 })
                pages.append(found.compactMap { $0["id"]?.string })
                #expect(answer.text.utf8.count < 6_000_000)
                guard page["has_more"] == true else { break }
                after = "&after=\(pages.last?.last ?? "")"
            }
            #expect(pages.map(\.count) == [3, 1, 1, 1], "\(pages.map(\.count))")
            #expect(pages.flatMap { $0 } == ids)
            // So do pages of items.
            let lines = (0..<7).map { number in
                let item: JSON = [
                    "question": .string(String(repeating: "q", count: 1_300_000)), "answer": JSON(number),
                ]
                return JSON.object(["item": item]).serialized() + "\n"
            }
            let loose = try await Self.make(
                fake,
                [
                    "data_source_config": ["type": "custom", "item_schema": ["type": "object"]],
                    "testing_criteria": [
                        [
                            "type": "string_check", "name": "c", "operation": "eq", "input": "{{ item.answer }}",
                            "reference": "3",
                        ]
                    ],
                ])
            let file = try await fake.upload(lines.joined(), purpose: "evals")
            let run = try await Self.run(
                fake, loose, ["type": "jsonl", "source": ["type": "file_id", "id": .string(file)]])
            #expect(
                run["result_counts"]?["total"] == 7 && run["result_counts"]?["passed"] == 1, "\(run["error"] ?? "")")
            let path = "/v1/evals/\(loose["id"]?.string ?? "")/runs/\(run["id"]?.string ?? "")/output_items?limit=100"
            var numbers: [[Int]] = []
            after = ""
            for _ in 0..<10 {
                let page = try await fake.live.ask(.GET, path + after).json()
                let found = page["data"]?.array ?? []
                numbers.append(found.compactMap { $0["datasource_item"]?["answer"]?.int })
                guard page["has_more"] == true else { break }
                after = "&after=\(found.last?["id"]?.string ?? "")"
            }
            #expect(numbers == [[0, 1, 2], [3, 4, 5], [6]], "\(numbers)")
            #expect(
                try await fake.live.ask(.GET, base + "?limit=2&order=desc").json()["data"]?.array?.map { $0["id"] }
                    == [.string(ids[5])])
        }
    }

    @Test func whatIsWrongIsNamed() async throws {
        try await OpenAIFake.with(Self.oracle, models: []) { fake in
            let cases: [(JSONObject, String)] = [
                (["testing_criteria": [["type": "python", "name": "p", "source": "x"]]], "testing_criteria[0].type"),
                (["testing_criteria": []], "testing_criteria"),
                (["data_source_config": ["type": "what"]], "data_source_config.type"),
                (["data_source_config": ["type": "custom"]], "data_source_config.item_schema"), (["more": 1], "more"),
            ]
            for (fields, param) in cases {
                var body: JSONObject = ["data_source_config": Self.config, "testing_criteria": Self.criteria]
                for (key, value) in fields { body[key] = value }
                let answer = try await fake.post("/v1/evals", .object(body))
                #expect(answer.status == 400)
                #expect(try answer.json()["error"]?["param"] == .string(param), "\(answer.text)")
            }
            let eval = try await Self.make(fake)
            let runs = "/v1/evals/\(eval["id"]?.string ?? "")/runs"
            let sources: [(JSON, String)] = [
                (["type": "jsonl", "source": ["type": "file_content", "content": []]], "data_source.source.content"),
                (["type": "completions", "source": ["type": "responses"]], "data_source.source.type"),
                (
                    ["type": "responses", "source": ["type": "responses", "reasoning_effort": "low"]],
                    "data_source.source.reasoning_effort"
                ),
                (["type": "jsonl", "source": ["type": "file_id", "id": "file-x"]], "data_source.source.id"),
                (
                    ["type": "completions", "source": ["type": "file_content", "content": [["item": [:]]]]],
                    "data_source.model"
                ),
            ]
            for (source, param) in sources {
                let answer = try await fake.post(runs, ["data_source": source])
                #expect(try answer.json()["error"]?["param"] == .string(param), "\(answer.text)")
            }
            let bad = try await Self.run(
                fake, eval,
                ["type": "jsonl", "source": ["type": "file_content", "content": [["item": ["question": 4]]]]])
            #expect(bad["status"] == "failed" && bad["error"]?["message"]?.string?.contains("item 1") == true)
            #expect(try await fake.live.ask(.DELETE, "/v1/evals/\(eval["id"]?.string ?? "")").status == 200)
            #expect(try await fake.live.ask(.GET, runs).status == 404)
        }
    }

    @Test("a deployment moves only where the gate's eval passes") func gate() async throws {
        try await OpenAIFake.with(Self.oracle, models: ["tiny", "other"]) { fake in
            func deploy(_ fields: JSONObject) async throws -> LiveServer.Answer {
                try await fake.post("/api/v1/deployments", .object(fields))
            }
            #expect(try await deploy(["model": "tiny", "name": "live"]).status == 201)
            let eval = try await Self.make(
                fake,
                [
                    "testing_criteria": .array(Array((Self.criteria.array ?? [])[..<1])),
                    "metadata": ["pass_rate": "0.5"],
                ])
            let id = eval["id"] ?? .null
            #expect(try await deploy(["model": "other", "name": "live", "gate": id]).status == 400)
            let source: JSON = [
                "type": "file_content", "content": Self.items([("France", "Paris"), ("Spain", "Madrid")]),
            ]
            _ = try await Self.run(fake, eval, Self.completions(source))
            let moved = try await deploy(["model": "other", "name": "live", "gate": id])
            #expect(moved.status == 201, "\(moved.text)")
            let changed = try await fake.post("/v1/evals/\(id.string ?? "")", ["metadata": ["pass_rate": "0.9"]])
            #expect(changed.status == 200)
            let refused = try await deploy(["model": "tiny", "name": "live", "gate": id])
            #expect(refused.status == 422 && refused.text.contains("1 of 2"), "\(refused.text)")
            let shown = try await fake.live.ask(.GET, "/api/v1/deployments/live").json()
            #expect(shown["model"]?.string?.hasPrefix("other@") == true)
            #expect(shown["error"]?.string?.contains("1 of 2") == true, "\(shown.serialized())")
        }
    }
}

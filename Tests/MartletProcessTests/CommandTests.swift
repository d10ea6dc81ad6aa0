import Foundation
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// What commands say of bad data, of a recipe's order, of a base and of graders, through the real programs.
    @Suite struct Commands {
        /// The job that a message points to.
        private static func job(_ message: String) throws -> String {
            let mark = try #require(message.range(of: "martlet jobs errors "))
            return String(message[mark.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" })
        }

        @Test func aPlanIsMeasuredAsAJobRuns() async throws {
            try await TestHome.with { home in
                let engine = try home.write(
                    "engine",
                    "#!/bin/sh\necho \"{\\\"waiting\\\": \\\"$OMP_WAIT_POLICY $GOMP_SPINCOUNT\\\", "
                        + "\\\"arguments\\\": \\\"$*\\\"}\"\n")
                try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: engine)
                try home.json("data", "add", "birds", home.write("birds.csv", TinyData.birds(rows: 10)))
                home.environment["MARTLET_ENGINE"] = engine
                let plan = try home.json("plan", home.write("birds.yaml", TinyData.recipe()))
                #expect(plan["waiting"]?.string == "PASSIVE 10000")
                let threads = ProcessInfo.processInfo.activeProcessorCount
                #expect(plan["arguments"]?.string?.contains("--threads \(threads)") == true, "\(plan)")
            }
        }

        @Test func whoFollowsAJobLearnsThatItWasPaused() async throws {
            try await TestHome.with { home in
                try home.json("data", "add", "birds", home.write("birds.csv", TinyData.birds(rows: 200)))
                let recipe = try home.write("birds.yaml", TinyData.recipe(epochs: 1_000_000))
                let training = try home.start(["train", recipe])
                let id: String = try waitUntil("the training", seconds: 60) {
                    let job = try home.json("jobs", "list")["data"]?.array?.first {
                        $0["name"] == "birds" && $0["kind"] == "train"
                    }
                    return job?["progress"]?["step"]?.int ?? 0 > 0 ? job?["id"]?.string : nil
                }
                try home.json("jobs", "pause", id)
                #expect(try training.wait(seconds: 60) == .code(0))
                #expect(training.output.contains("martlet jobs resume \(id)"), "\(training.output) \(training.errors)")
                try home.json("jobs", "cancel", id)
            }
        }

        @Test func M12_badRowsAreListedByTheirJob() async throws {
            try await TestHome.with { home in
                var lines = TinyData.birds(rows: 100).split(separator: "\n").map(String.init)
                lines[40] = "abc,20.0,bank,martin"
                lines[60] = "=1+1,20.0,bank,martin"
                try home.json("data", "add", "birds", home.write("birds.csv", lines.joined(separator: "\n") + "\n"))
                let result = try home.run("train", home.write("birds.yaml", TinyData.recipe()))
                #expect(result.code == 65)
                #expect(result.errors.contains("birds.csv, line 41, column 'wing': 'abc'"), "\(result.errors)")
                let id = try Self.job(result.errors)
                let rows = try home.run("jobs", "errors", id).output.split(separator: "\n")
                    .map { try JSONParser.parse(String($0)) }
                #expect(rows.map { $0["line"] } == [41, 61])
                #expect(rows.last?["value"] == "=1+1")
                #expect(try home.json("jobs", "errors", id)["rows"]?.array?.count == 2)

                let ragged = try home.write("ragged.csv", "wing,kind\n1.0,a\n2.0,b,9\n3.0,a\n4.0\n")
                let added = try home.run("data", "add", "x", ragged)
                #expect(added.code == 65 && added.errors.contains("line 3"), "\(added.errors)")
                let listed = try home.run("jobs", "errors", try Self.job(added.errors))
                #expect(listed.output.split(separator: "\n").count == 2, "\(listed.output)")

                try home.json("data", "add", "good", home.write("good.csv", TinyData.birds(rows: 60)))
                let job = try home.json("train", home.write("good.yaml", TinyData.recipe(source: "good")))
                let other = try home.run("jobs", "errors", job["job"]?["id"]?.string ?? "")
                #expect(other.code == 66 && other.errors.contains("no bad rows"), "\(other.errors)")
            }
        }

        @Test func whatACommandCannotSendWholeIsHeldByNobody() async throws {
            try await TestHome.with(configuration: "upload_limit_bytes: 1000\n") { home in
                let paths = try [
                    home.write("a.csv", "x,y\n1,2\n"), home.write("b.csv", String(repeating: "3,4\n", count: 1000)),
                ]
                let added = try home.run(["data", "add", "d"] + paths)
                #expect(added.code == 65 && added.errors.contains("1000 bytes"), "\(added.errors)")
                // The first file came; only an upload that is still open could hold it.
                #expect(try home.json("gc")["removed"] == 1)

                try FileManager.default.createDirectory(atPath: home.folder + "/m", withIntermediateDirectories: true)
                try home.write("m/config.json", "{}")
                try home.write("m/model.safetensors", String(repeating: "w", count: 1001))
                let imported = try home.run("models", "import", home.folder + "/m", "--name", "m")
                #expect(imported.code == 65 && imported.errors.contains("1000 bytes"), "\(imported.errors)")
                #expect(try home.json("gc")["removed"] == 1)
            }
        }

        @Test func featuresKeepTheRecipesOrder() async throws {
            try await TestHome.with { home in
                try home.addBirds()
                let recipe = try home.write(
                    "order.yaml",
                    """
                    name: order
                    data: {source: birds}
                    inputs: {wing: number, nest: category, mass: number}
                    outputs: {kind: category}
                    training: {epochs: 1}
                    """)
                let planned = try home.json("plan", recipe)["layers"]?.array?.compactMap { $0["name"]?.string } ?? []
                try home.json("train", recipe)
                let shown = try home.json("models", "show", "order")
                let names = shown["signature"]?["inputs"]?.array?.compactMap { $0["name"]?.string }
                #expect(names == ["wing", "nest", "mass"])
                func place(_ name: String) -> Int { planned.firstIndex { $0.contains(name) } ?? -1 }
                #expect(place("nest") >= 0 && place("wing") <= place("nest"), "\(planned)")
                let card = try home.json("evaluate", "order", "birds")
                #expect(card["result"]?["metrics"]?["accuracy"]?.double != nil)
            }
        }

        private static let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("MartletTrainingTests/Golden/tuning").path

        @Test func aBaseIsPlannedBeforeItIsTrained() async throws {
            try await TestHome.with { home in
                try home.json("models", "import", Language.tiny, "--name", "tiny")
                let chat = try String(contentsOfFile: Self.golden + "/chat.jsonl", encoding: .utf8)
                _ = try home.write("chat.jsonl", chat)
                let recipe = try home.write(
                    "tune.yaml",
                    "name: tuned\nbase: tiny\nadapter: {rank: 4}\ndata: {source: {train: chat.jsonl}}\n")
                let plan = try home.json("plan", recipe)
                let tuning = try #require(plan["tuning"])
                #expect(plan["parameters"]?.int == 32_352)
                let trained = try #require(tuning["trained_parameters"]?.int)
                #expect(trained > 0 && trained < 32_352)
                #expect(tuning["trained_layers"]?.object?.keys.allSatisfy { $0.hasPrefix("model.layers.") } == true)
                #expect(tuning["trained_layers"]?.object?.reduce(0) { $0 + ($1.value.int ?? 0) } == trained)
                #expect(tuning["hyperparameters"]?["learning_rate"]?.double != nil)
                #expect(plan["memory_bytes"]?.int != nil && plan["total_steps"]?.int != nil)
                let text = try home.run("plan", recipe)
                #expect(text.code == 0 && text.output.contains("tuning.trained_parameters"), "\(text.errors)")
                // What was planned is what the job then chooses.
                let job = try home.json("train", recipe)
                let id = job["job"]?["id"]?.string ?? ""
                let events = try home.get("/api/v1/jobs/\(id)/events")["data"]?.array ?? []
                let told = events.first { $0["event"]?["key"] == "hyperparameters" }
                #expect(told?["event"]?["data"] == tuning["hyperparameters"])
            }
        }

        @Test func aLanguageModelIsMeasuredOnTexts() async throws {
            try await TestHome.with { home in
                try home.json("models", "import", Language.tiny, "--name", "tiny")
                let line = "{\"text\": \"the swift in the wind\"}\n"
                let data = try home.write("texts.jsonl", String(repeating: line, count: 3))
                let job = try home.json("evaluate", "tiny", data)
                let result = try #require(job["result"])
                let loss = try #require(result["metrics"]?["loss"]?.double)
                let perplexity = try #require(result["metrics"]?["perplexity"]?.double)
                #expect(loss > 0 && abs(perplexity / exp(loss) - 1) < 1e-9, "\(result.serialized())")
                let asked = try home.http().post(
                    "/tokenize", json: #"{"model": "tiny", "prompt": "the swift in the wind"}"#
                ).json()
                let tokens = try #require(asked["count"]?.int)
                #expect(result["texts"] == 3 && result["tokens"] == JSON(3 * (tokens - 1)), "\(asked.serialized())")
                let text = try home.run("evaluate", "tiny", data)
                #expect(text.code == 0 && text.output.contains("of 3 texts"), "\(text.output) \(text.errors)")
                #expect(text.output.contains("perplexity"))
            }
        }

        @Test func aLanguageModelIsEvaluatedByGraders() async throws {
            try await TestHome.with { home in
                try home.json("models", "import", Language.tiny, "--name", "tiny")
                let lines = ["a", "b", "c"].map {
                    "{\"messages\": [{\"role\": \"user\", \"content\": \"\($0)\"}, "
                        + "{\"role\": \"assistant\", \"content\": \"no model says this\"}]}"
                }
                let data = try home.write("asked.jsonl", lines.joined(separator: "\n"))
                let graders = try home.write(
                    "graders.yaml",
                    """
                    testing_criteria:
                      - {type: string_check, name: same, operation: eq, input: "{{sample.output_text}}", reference: "{{item.reference}}"}
                      - {type: string_check, name: other, operation: ne, input: "{{sample.output_text}}", reference: "{{item.reference}}"}
                    sampling_params: {temperature: 0, max_completion_tokens: 4}
                    """)
                let run = try home.json("evaluate", "tiny", data, "--graders", graders)
                #expect(run["status"] == "completed", "\(run.serialized())")
                #expect(run["result_counts"]?["total"] == 3 && run["result_counts"]?["failed"] == 3)
                let results = run["per_testing_criteria_results"]?.array ?? []
                #expect(results.first { $0["testing_criteria"] == "other" }?["passed"] == 3)
                #expect(results.first { $0["testing_criteria"] == "same" }?["failed"] == 3)
                let text = try home.run("evaluate", "tiny", data, "--graders", graders)
                #expect(text.code == 0 && text.output.contains("0 of 3 passed"), "\(text.output) \(text.errors)")
                let without = try home.run("evaluate", "tiny", data)
                #expect(without.code == 65 && without.errors.contains("--graders"), "\(without.errors)")
                // A dataset by its name.
                try home.json("data", "add", "asked", data)
                #expect(try home.json("evaluate", "tiny", "asked", "--graders", graders)["status"] == "completed")
                // As a gate it refuses a deployment that is not there yet, and lets it through once it is easy.
                let hard = run["eval_id"]?.string ?? ""
                let refused = try home.run("deploy", "tiny", "--as", "live", "--gate", hard)
                #expect(refused.code == 65 && refused.errors.contains("did not pass"), "\(refused.errors)")
                let easy = try home.write(
                    "easy.yaml",
                    """
                    testing_criteria:
                      - {type: string_check, name: other, operation: ne, input: "{{sample.output_text}}", reference: "{{item.reference}}"}
                    sampling_params: {temperature: 0, max_completion_tokens: 4}
                    """)
                let passed = try home.json("evaluate", "tiny", "asked", "--graders", easy)["eval_id"]?.string ?? ""
                #expect(try home.json("deploy", "tiny", "--as", "live", "--gate", passed)["ready"] == true)
                let kept = try home.run("deploy", "tiny", "--as", "live", "--gate", hard)
                #expect(kept.code == 65 && kept.errors.contains("0 of 3"), "\(kept.errors)")
            }
        }
    }
}

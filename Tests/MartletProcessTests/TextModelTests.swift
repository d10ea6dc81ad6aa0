import Foundation
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// Classifiers of texts and finders of answers from a folder to `predict` and the Open Inference Protocol.
    @Suite struct TextModels {
        private static func tiny(_ name: String) -> String {
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Golden/\(name)").path
        }

        @Test func aClassifierIsImportedAndAsked() async throws {
            try await TestHome.with { home in
                let model = try home.json("models", "import", Self.tiny("tiny-bert-classes"), "--name", "classes")
                #expect(
                    model["signature"]?["output_columns"]?.array?.first?["categories"] == ["bird", "beast", "fish"])
                let data = try #require(
                    FileManager.default.contents(atPath: Self.tiny("tiny-bert-classes") + "/expected.json"))
                let expected = try #require(try JSONParser.parse(data, limits: .trusted).array?.first)
                let text = try #require(expected["text"]?.string)
                let answer = try home.json("predict", "classes", "--input", home.write("rows.csv", "text\n\(text)\n"))
                let row = try #require(answer["predictions"]?.array?.first)
                let scores = try #require(expected["scores"]?.object)
                // The weights are served in 16 bits.
                for (label, score) in scores {
                    let found = row["label_probabilities"]?[label]?.double ?? -1
                    #expect(abs(found - (score.double ?? 0)) < 5e-3, "\(row)")
                }
                let http = try home.http()
                let tensors: JSON = [
                    "inputs": [["name": "text", "datatype": "BYTES", "shape": [1], "data": [.string(text)]]]
                ]
                let inferred = try http.post("/v2/models/classes/infer", json: tensors.serialized())
                #expect(inferred.status == 200, "\(inferred.text)")
                let label = try inferred.json()["outputs"]?.array?.first?["data"]?.array?.first
                #expect(label == row["label"])
                let chat = #"{"model":"classes","messages":[{"role":"user","content":"a"}]}"#
                #expect(try http.post("/v1/chat/completions", json: chat).status == 400)
            }
        }

        @Test func anAnswerIsFoundInAText() async throws {
            try await TestHome.with { home in
                try home.json("models", "import", Self.tiny("tiny-bert-answers"), "--name", "answers")
                try home.json("deploy", "answers", "--as", "asked")
                let rows = #"[{"question":"what is it","context":"A BIRD"}]"#
                let answer = try home.json("predict", "asked", "--input", home.write("rows.json", rows))
                let row = try #require(answer["predictions"]?.array?.first)
                #expect(row["answer"]?.string == "A" && row["start"]?.int == 0 && row["end"]?.int == 1, "\(row)")
                #expect(abs((row["answer_probability"]?.double ?? -1) - 0.184383) < 5e-3)
            }
        }

        @Test func aTextHasANumber() async throws {
            try await TestHome.with { home in
                let model = try home.json("models", "import", Self.tiny("tiny-bert-number"), "--name", "number")
                #expect(model["signature"]?["output_columns"]?.array?.first?["name"] == "value")
                try home.json("deploy", "number", "--as", "measured")
                let data = try #require(
                    FileManager.default.contents(atPath: Self.tiny("tiny-bert-number") + "/expected.json"))
                let expected = try #require(try JSONParser.parse(data, limits: .trusted).array?.first)
                let text = try #require(expected["text"]?.string)
                let answer = try home.json("predict", "measured", "--input", home.write("rows.csv", "text\n\(text)\n"))
                let value = answer["predictions"]?.array?.first?["value"]?.double ?? .nan
                // The weights are served in 16 bits.
                #expect(abs(value - (expected["value"]?.double ?? 0)) < 2e-2, "\(answer.serialized())")
                try home.json("models", "export", "number", home.folder + "/exported")
                #expect(FileManager.default.fileExists(atPath: home.folder + "/exported/model.safetensors"))
            }
        }

        @Test func aSourceIsAnswered() async throws {
            try await TestHome.with { home in
                let folder = Self.tiny("tiny-t5")
                let model = try home.json("models", "import", folder, "--name", "short")
                #expect(model["signature"]?["language"]?["source_length"]?.int == 96)
                #expect(try home.run("models", "show", "short").output.contains("up to 96 tokens"))
                try home.json("deploy", "short", "--as", "shorter")
                let data = try #require(FileManager.default.contents(atPath: folder + "/expected.json"))
                let rows = try #require(try JSONParser.parse(data, limits: .trusted).array)
                let http = try home.http()
                func body(_ row: JSON, _ more: JSONObject = [:]) -> String {
                    var body: JSONObject = [
                        "model": "shorter", "prompt": row["prompt"] ?? .null, "max_tokens": 64, "temperature": 0,
                    ]
                    for (key, value) in more { body[key] = value }
                    return JSON.object(body).serialized()
                }
                for row in rows {
                    let whole = try http.post("/v1/completions", json: body(row))
                    #expect(whole.status == 200, "\(whole.text)")
                    let answer = try whole.json()
                    let text = try #require(answer["choices"]?.array?.first?["text"]?.string)
                    let stream = try http.post("/v1/completions", json: body(row, ["stream": true]))
                    let pieces = stream.text.components(separatedBy: "\n\n").filter { $0.hasPrefix("data: {") }
                    let parts = try pieces.map { try JSONParser.parse(String($0.dropFirst(6)), limits: .trusted) }
                    #expect(
                        parts.compactMap { $0["choices"]?.array?.first?["text"]?.string }.joined() == text,
                        "the same text, whole and in pieces")
                    #expect(answer["usage"]?["prompt_tokens"]?.int == row["prompt_tokens"]?.array?.count)
                    #expect((1...64).contains(answer["usage"]?["completion_tokens"]?.int ?? 0))
                }
                let row = rows[0]
                for (more, part) in [
                    (["echo": true], "echo"), (["prompt": .string(String(repeating: "the ", count: 200))], "96"),
                ] as [(JSONObject, String)] {
                    let refused = try http.post("/v1/completions", json: body(row, more))
                    #expect(refused.status == 400 && refused.text.contains(part), "\(refused.text)")
                }
                let chat = #"{"model":"short","messages":[{"role":"user","content":"a"}]}"#
                #expect(try http.post("/v1/chat/completions", json: chat).status == 400)
                #expect(try http.post("/v1/embeddings", json: #"{"model":"short","input":"a"}"#).status == 400)
                let texts = try home.write("texts.jsonl", #"{"text":"a"}"# + "\n")
                let recipe = try home.write("more.yaml", "name: more\nbase: short\ndata: {source: texts.jsonl}\n")
                for (command, remedy) in [
                    (["evaluate", "short", texts], "--graders"), (["train", recipe], "goes on"),
                ] {
                    let refused = try home.run(command)
                    let told = refused.errors.contains("it reads a source before it writes; ")
                    #expect(refused.code != 0 && told && refused.errors.contains(remedy), "\(refused.errors)")
                }

                try home.json("models", "export", "short", home.folder + "/exported")
                for name in ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"] {
                    let given = FileManager.default.contents(atPath: "\(folder)/\(name)")
                    #expect(given == FileManager.default.contents(atPath: "\(home.folder)/exported/\(name)"), "\(name)")
                }
            }
        }
    }
}

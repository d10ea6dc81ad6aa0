import Foundation
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// Adapters from a folder to chat, over restarts and deployments, without anybody loading them.
    @Suite struct Adapters {
        /// A LoRA of rank 2 for the tiny Llama, as PEFT writes it; the seed makes the numbers.
        private static func write(_ home: TestHome, _ seed: UInt64, layer: String = "q_proj", outputs: Int = 32) throws
            -> String
        {
            var state = seed
            func next() -> Float {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
            }
            var header: JSONObject = [:]
            var data = Data()
            for index in 0..<2 {
                for (part, shape) in [("lora_A", [2, 32]), ("lora_B", [outputs, 2])] {
                    let start = data.count
                    for _ in 0..<shape[0] * shape[1] {
                        withUnsafeBytes(of: next().bitPattern.littleEndian) { data.append(contentsOf: $0) }
                    }
                    header["base_model.model.model.layers.\(index).self_attn.\(layer).\(part).weight"] = [
                        "dtype": "F32", "shape": .array(shape.map { .int(Int64($0)) }),
                        "data_offsets": [.int(Int64(start)), .int(Int64(data.count))],
                    ]
                }
            }
            let text = Data(JSON.object(header).serialized().utf8)
            var file = Data(withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) })
            file.append(text)
            file.append(data)
            let folder = "adapter-\(seed)-\(layer)-\(outputs)"
            try FileManager.default.createDirectory(
                atPath: "\(home.folder)/\(folder)", withIntermediateDirectories: true)
            _ = try home.write("\(folder)/adapter_model.safetensors", file)
            _ = try home.write(
                "\(folder)/adapter_config.json",
                #"{"peft_type":"LORA","r":2,"lora_alpha":16,"base_model_name_or_path":"someone/tiny","target_modules":["x"]}"#
            )
            return "\(home.folder)/\(folder)"
        }

        private static func say(_ home: TestHome, _ model: String) throws -> String {
            let answer = try home.http().post(
                "/v1/chat/completions",
                json: JSON.object([
                    "model": .string(model), "messages": [["role": "user", "content": "Hi"]], "max_tokens": 24,
                    "temperature": 0, "ignore_eos": true,
                ]).serialized())
            guard answer.status == 200,
                let text = try answer.json()["choices"]?.array?.first?["message"]?["content"]?.string
            else { throw HarnessError("\(model): \(answer.status) \(answer.text)") }
            #expect(try answer.json()["model"]?.string?.isEmpty == false)
            return text
        }

        @Test func oneBaseInMemoryAnswersForItsAdaptersAlsoAfterARestart() async throws {
            try await TestHome.with { home in
                try home.json("models", "import", Language.tiny, "--name", "tiny")
                for seed in [1, 2] as [UInt64] {
                    let model = try home.json(
                        "models", "import", try Self.write(home, seed), "--name", "tuned-\(seed)", "--base", "tiny")
                    #expect(model["signature"]?["language"]?["base"]?["reference"]?.string == "tiny@1")
                    #expect(model["card"]?["parameter_count"]?.int == 256)
                }
                let texts = try ["tiny", "tuned-1", "tuned-2", "tuned-1@1"].map { try Self.say(home, $0) }
                #expect(Set(texts).count == 3 && texts[1] == texts[3], "\(texts)")
                #expect(home.replicas.count == 1, "all of them answer from one process")
                let listed = try home.http().get("/v1/models").json()["data"]?.array?.compactMap { $0["id"]?.string }
                #expect(listed == ["tiny", "tuned-1", "tuned-2"])

                // A deployment of an adapter has its base's replicas, deployed or not.
                #expect(try home.json("deploy", "tuned-1", "--as", "bird")["ready"]?.bool == true)
                #expect(try Self.say(home, "bird") == texts[1])
                #expect(try home.json("deploy", "tuned-2", "--as", "bird")["model"]?.string == "tuned-2@1")
                #expect(try Self.say(home, "bird") == texts[2])
                #expect(home.replicas.count == 1)
                #expect(try home.run("deployments", "scale", "bird", "3").code != 0)

                // A base that adapters need stays.
                let refused = try home.run("models", "delete", "tiny")
                #expect(refused.code != 0 && refused.errors.contains("adapter tuned-1@1"), "\(refused.errors)")

                #expect(try home.run("stop").code == 0)
                try home.serve()
                for (model, text) in [("tuned-1", texts[1]), ("bird", texts[2]), ("tiny", texts[0])] {
                    #expect(try Self.say(home, model) == text)
                }
                #expect(home.replicas.count == 1)

                // Used tokens stand under the adapter's own name.
                let usage = try home.run("usage").output
                #expect(usage.contains("tuned-1@1") && usage.contains("tuned-2@1"), "\(usage)")

                let folder = home.folder + "/exported"
                try home.json("models", "export", "tuned-1", folder)
                let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
                #expect(names == ["adapter_config.json", "adapter_model.safetensors", "card.json", "signature.json"])

                // Against the warning: the base is gone, and the error says which.
                _ = try home.run("models", "delete", "tiny", "--force")
                let gone = try home.http().post(
                    "/v1/completions", json: #"{"model":"tuned-1","prompt":"a","max_tokens":1}"#)
                #expect(gone.status == 404 && gone.text.contains("tiny@1"), "\(gone.text)")
            }
        }

        @Test func `M13: an adapter of another base is refused before anything is registered`() async throws {
            try await TestHome.with { home in
                try home.json("models", "import", Language.tiny, "--name", "tiny")
                for (layer, outputs, part) in [("q_proj", 48, "[48, 32]"), ("w_proj", 32, "w_proj")] {
                    let folder = try Self.write(home, 1, layer: layer, outputs: outputs)
                    let result = try home.run("models", "import", folder, "--name", "bad", "--base", "tiny")
                    #expect(result.code == 65 && result.errors.contains(part), "\(result.code) \(result.errors)")
                }
                let folder = try Self.write(home, 1)
                let alone = try home.run("models", "import", folder, "--name", "bad")
                #expect(alone.code == 65 && alone.errors.contains("someone/tiny"), "\(alone.errors)")
                try home.json("models", "import", folder, "--name", "tuned", "--base", "tiny")
                let nested = try home.run("models", "import", folder, "--name", "bad", "--base", "tuned")
                #expect(nested.code == 65 && nested.errors.contains("cannot be a base"), "\(nested.errors)")
                #expect(try home.json("models", "list")["data"]?.array?.count == 2)
            }
        }
    }

    /// An encoder from a folder to vectors.
    @Suite struct Encoders {
        private static func folder(_ name: String) -> String {
            URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .deletingLastPathComponent().appendingPathComponent("Golden/\(name)").path
        }

        /// One that reads from both ends, and a decoder's body.
        @Test(arguments: [("tiny-bert", "mean"), ("tiny-embedder", "last")])
        func anEncoderAnswersWithTheVectorsThatTransformersMakes(_ name: String, pooling: String) async throws {
            let tiny = Self.folder(name)
            try await TestHome.with { home in
                let model = try home.json("models", "import", tiny, "--name", "encoder")
                #expect(model["signature"]?["language"]?["generates"]?.bool == false)
                let data = try #require(FileManager.default.contents(atPath: tiny + "/expected.json"))
                let expected = try #require(try JSONParser.parse(data, limits: .trusted).object)
                let http = try home.http()
                for (text, wanted) in expected {
                    let answer = try http.post(
                        "/v1/embeddings", json: JSON.object(["model": "encoder", "input": .string(text)]).serialized())
                    #expect(answer.status == 200, "\(answer.text)")
                    let found = try answer.json()
                    #expect(found["usage"]?["prompt_tokens"]?.int == wanted["tokens"]?.int)
                    let vector = found["data"]?.array?.first?["embedding"]?.array?.compactMap(\.double) ?? []
                    let numbers = wanted["vector"]?.array?.compactMap(\.double) ?? []
                    #expect(vector.count == 16 && zip(vector, numbers).allSatisfy { abs($0 - $1) < 5e-3 }, "\(text)")
                }
                #expect(try home.json("models", "show", "encoder")["serving"]?["pooling"]?.string == pooling)
                for (path, body) in [
                    ("/v1/chat/completions", #"{"model":"encoder","messages":[{"role":"user","content":"a"}]}"#),
                    ("/v1/completions", #"{"model":"encoder","prompt":"a"}"#),
                    ("/v1/responses", #"{"model":"encoder","input":"a"}"#),
                    ("/api/v1/jobs", #"{"kind":"evaluate","model":"encoder","dataset":"texts"}"#),
                ] {
                    let refused = try http.post(path, json: body)
                    #expect(refused.status == 400 && refused.text.contains("/v1/embeddings"), "\(refused.text)")
                }
            }
        }
    }
}

import Foundation
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    @Suite struct Language {
        static let tiny = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Golden/tiny-llama").path

        private static func chat(_ fields: JSONObject = [:]) -> String {
            var body: JSONObject = [
                "model": "tiny", "messages": [["role": "user", "content": "Hi"]], "max_tokens": 12, "temperature": 0,
                "ignore_eos": true,
            ]
            for (key, value) in fields { body[key] = value }
            return JSON.object(body).serialized()
        }

        private static func documents(_ text: String) throws -> [JSON] {
            try text.components(separatedBy: "\n\n").filter { $0.hasPrefix("data: {") }.map {
                try JSONParser.parse(String($0.dropFirst(6)), limits: .trusted)
            }
        }

        @Test func fromAFolderToAChat() async throws {
            try await TestHome.with { home in
                let model = try home.json("models", "import", Self.tiny, "--name", "tiny")
                #expect(model["signature"]?["kind"]?.string == "language")
                #expect(model["card"]?["parameter_count"]?.int == 32_352)
                let http = try home.http()
                let whole = try http.post("/v1/chat/completions", json: Self.chat())
                #expect(whole.status == 200, "\(whole.text)")
                for path in ["/chat/completions", "/v1/v1/chat/completions"] {
                    let misplaced = try http.post(path, json: Self.chat())
                    #expect(
                        misplaced.status == 404 && misplaced.text.contains("ends with /v1, once"), "\(misplaced.text)")
                }
                let text = try #require(
                    try whole.json()["choices"]?.array?.first?["message"]?["content"]?.string)
                #expect(try whole.json()["usage"]?["completion_tokens"]?.int == 12)

                let stream = try http.post("/v1/chat/completions", json: Self.chat(["stream": true]))
                let pieces = try Self.documents(stream.text)
                    .compactMap { $0["choices"]?.array?.first?["delta"]?["content"]?.string }
                #expect(pieces.joined() == text, "the same text, whole and in pieces")
                #expect(stream.text.hasSuffix("data: [DONE]\n\n"))

                let shown = try home.json("models", "show", "tiny")
                #expect(shown["serving"]?["precision"]?.string != nil)
                let said = try home.run("chat", "tiny", input: "/system Be brief.\nHi\n/reset\n/help\n/quit\n")
                #expect(said.code == 0 && said.errors.contains("tokens/s"), "\(said.errors)")
                #expect(!said.output.isEmpty)
                let nobody = try home.run("chat", "nobody", input: "Hi\n")
                #expect(nobody.code == 66 && nobody.errors.contains("martlet models list"), "\(nobody.errors)")
                let table = try home.run("models", "show", "tiny").output
                #expect(table.contains("float16, logits at most ") && table.contains("; context "), "\(table)")
                #expect(try home.json("deploy", "tiny", "--as", "bird")["ready"]?.bool == true)
                let deployed = try http.post("/v1/chat/completions", json: Self.chat(["model": "bird"]))
                #expect(try deployed.json()["choices"]?.array?.first?["message"]?["content"]?.string == text)
                let rows = try http.post("/api/v1/deployments/bird/predict", json: "{\"rows\":[{}]}")
                #expect(rows.status == 400 && rows.text.contains("/v1/chat/completions"), "\(rows.text)")

                let folder = home.folder + "/exported"
                try home.json("models", "export", "tiny", folder)
                for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
                    let (given, back) = (
                        FileManager.default.contents(atPath: "\(Self.tiny)/\(name)"),
                        FileManager.default.contents(atPath: "\(folder)/\(name)")
                    )
                    #expect(given == back && given != nil, "\(name)")
                }
            }
        }

        @Test func badModelsAreRefusedWithTheirReason() async throws {
            try await TestHome.with { home in
                let manager = FileManager.default
                func copy(_ name: String, _ change: (String) throws -> Void) throws -> String {
                    let folder = "\(home.folder)/\(name)"
                    try manager.copyItem(atPath: Self.tiny, toPath: folder)
                    try change(folder)
                    return folder
                }
                let short = try copy("short") { folder in
                    let path = folder + "/model.safetensors"
                    let data = try #require(manager.contents(atPath: path))
                    try data.dropLast(1000).write(to: URL(fileURLWithPath: path))
                }
                let template = try copy("template") { folder in
                    try "{% for".write(toFile: folder + "/chat_template.jinja", atomically: true, encoding: .utf8)
                }
                let bare = try copy("bare") { try manager.removeItem(atPath: $0 + "/tokenizer.json") }
                let unknown = try copy("unknown") { folder in
                    try "{\"model_type\":\"nonesuch\",\"architectures\":[\"Nonesuch\"]}".write(
                        toFile: folder + "/config.json", atomically: true, encoding: .utf8)
                }
                let pickled = try copy("pickled") { folder in
                    try manager.moveItem(atPath: folder + "/model.safetensors", toPath: folder + "/pytorch_model.bin")
                }
                for folder in [short, template, bare, unknown, pickled] {
                    let result = try home.run("models", "import", folder, "--name", "bad")
                    #expect(result.code == 65 || result.code == 66, "\(folder): \(result.errors)")
                    #expect(!result.errors.contains("code 127") && !result.errors.contains("crashed"))
                }
                #expect(try home.json("models", "list")["data"]?.array?.isEmpty == true)
            }
        }

        @Test func aPipedConversationIsInOrderAndEndsWithTheServer() async throws {
            try await TestHome.with { home in
                // The likeliest words, so that the same is said twice.
                let folder = home.folder + "/greedy"
                try FileManager.default.copyItem(atPath: Self.tiny, toPath: folder)
                try home.write("greedy/generation_config.json", "{\"temperature\":0}")
                try home.json("models", "import", folder, "--name", "tiny")
                let input = "Hi\n\n /system\tBe brief. \nHo\n"
                let turns = try #require(try home.json("chat", "tiny", input: input).array)
                #expect(turns.count == 2)
                let said = try home.run("chat", "tiny", input: input)
                #expect(said.code == 0, "\(said.errors)")
                let expected = turns.map { ($0["content"]?.string ?? "") + "\n" }.joined()
                // What would drive a terminal is replaced, a scalar for a scalar.
                #expect(said.output.unicodeScalars.count == expected.unicodeScalars.count)
                #expect(
                    zip(said.output.unicodeScalars, expected.unicodeScalars).allSatisfy {
                        $0 == $1 || $0 == "\u{FFFD}"
                    }, "each line's end stands behind its answer: \(said.output.debugDescription)")

                let lines = String(repeating: "Hi\n/reset\n", count: 2_000)
                let chat = try home.start(["chat", "tiny"], input: home.write("lines", lines))
                try waitUntil("the first words", seconds: 60) { !chat.output.isEmpty }
                kill(try #require(home.owner).pid, SIGKILL)
                #expect(try chat.wait(seconds: 60) == .code(69))
                #expect(
                    chat.errors.contains("broke off; ask again") || chat.errors.contains("does not answer"),
                    "\(chat.errors.suffix(500))")
            }
        }

        @Test func aCharacterModelIsTalkedWithInItsOwnLetters() async throws {
            try await TestHome.with { home in
                func train(_ name: String, _ line: String) throws {
                    try home.write("\(name).txt", String(repeating: line, count: 40))
                    let recipe = try home.write(
                        "\(name).yaml",
                        """
                        name: \(name)
                        data: {source: \(name).txt, split: {train: 0.9, validation: 0.1, test: 0}}
                        model: {architecture: gpt, layers: 1, heads: 1, width: 8, context: 64, tokenizer: characters}
                        training: {steps: 2, batch_size: 2, optimizer: {type: adamw, learning_rate: 0.01}}
                        """)
                    try home.json("train", recipe)
                }
                // Neither capitals nor a colon nor a line's end.
                try train("letters", "the swift is small and the tree is tall ")
                let input = "the sea\nthe Zoo\nthe tree\n"
                let said = try home.run("chat", "letters", input: input)
                #expect(said.code == 65 && said.errors.contains("each message alone"), "\(said.errors)")
                #expect(said.errors.contains("the text has 'Z', which the tokenizer does not know"))
                #expect(said.output.split(separator: "\n").count == 2, "\(said.output.debugDescription)")
                let turns = try #require(try home.run("chat", "letters", "--json", input: input).json().array)
                #expect(turns.count == 2 && turns.allSatisfy { $0["completion_tokens"]?.int ?? 0 > 0 })

                try train("dialogue", "User: the sea is\nAssistant: the tree\n")
                let others = try home.run("chat", "dialogue", input: "the sea\nthe Zoo\n")
                #expect(others.code == 65 && others.errors.contains("'Z'"), "\(others.errors)")
                #expect(!others.errors.contains("each message alone") && others.errors.contains("tokens/s"))

                // More than the context of 64 characters holds.
                let long = try home.run("chat", "dialogue", input: String(repeating: "the tree is the sea\n", count: 4))
                #expect(long.code == 0, "\(long.errors)")
                #expect(
                    long.errors.components(separatedBy: "its oldest turns are left out").count == 2, "\(long.errors)")
                let alone = try home.run(
                    "chat", "dialogue", input: "the sea\n" + String(repeating: "the ", count: 20) + "\n")
                #expect(alone.code == 65 && alone.errors.contains("maximum context length is 64"), "\(alone.errors)")
            }
        }

        @Test func foldersAreTakenAsTheyAreKept() async throws {
            try await TestHome.with { home in
                // Behind a link, with each file a link, as the cache of Hugging Face's tools has them.
                let manager = FileManager.default
                let (folder, link) = (home.folder + "/snapshot", home.folder + "/link")
                try manager.createDirectory(atPath: folder, withIntermediateDirectories: true)
                for name in try manager.contentsOfDirectory(atPath: Self.tiny) {
                    try manager.createSymbolicLink(
                        atPath: "\(folder)/\(name)", withDestinationPath: "\(Self.tiny)/\(name)")
                }
                try manager.createSymbolicLink(atPath: link, withDestinationPath: folder)
                let model = try home.json("models", "import", link, "--name", "tiny")
                #expect(model["card"]?["parameter_count"]?.int == 32_352)

                let nowhere = try home.run("models", "export", "tiny", "/proc/nowhere")
                #expect(nowhere.code == 69 && nowhere.errors.contains("cannot be made"), "\(nowhere.errors)")

                let files = home.folder + "/files"
                let gguf = URL(fileURLWithPath: Self.tiny).deletingLastPathComponent().deletingLastPathComponent()
                    .appendingPathComponent("MartletModelsTests/Golden/gguf/llama.gguf").path
                try manager.createDirectory(atPath: files, withIntermediateDirectories: true)
                try manager.copyItem(atPath: gguf, toPath: files + "/model-Q8_0.gguf")
                try home.write("files/config.json", "{\"model_type\":\"llama\"}")
                #expect(
                    try home.json("models", "import", files, "--name", "one")["signature"]?["kind"]?.string
                        == "language")
                try manager.copyItem(atPath: gguf, toPath: files + "/model-Q4_0.gguf")
                let several = try home.run("models", "import", files, "--name", "two")
                #expect(several.code == 65 && several.errors.contains("model-Q4_0.gguf"), "\(several.errors)")
            }
        }

        @Test func aKilledReplicaEndsItsStreamsAndComesBack() async throws {
            try await TestHome.with { home in
                try home.json("models", "import", Self.tiny, "--name", "tiny")
                try home.json("models", "import", Self.tiny, "--name", "other")
                let http = try home.http()
                #expect(try http.post("/v1/chat/completions", json: Self.chat()).status == 200)
                let body = Self.chat(["stream": true, "max_tokens": 400, "n": 16])
                let replicas = home.replicas
                #expect(!replicas.isEmpty)
                let socket = try RawSocket(port: http.port, seconds: 60)
                let head = [
                    "POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Authorization: Bearer \(home.key)",
                    "Content-Type: application/json", "Content-Length: \(body.utf8.count)", "", body,
                ]
                try socket.write(Array(head.joined(separator: "\r\n").utf8))
                // It ends in the middle, however fast the model is.
                var byte: UInt8 = 0
                try waitUntil("the first words", seconds: 60, every: 0.001) {
                    recv(socket.descriptor, &byte, 1, CInt(MSG_PEEK) | CInt(MSG_DONTWAIT)) == 1
                }
                for replica in replicas { kill(replica, SIGKILL) }
                let broken = try socket.answer()
                #expect(broken.status == 200 && !broken.text.contains("[DONE]"))
                #expect(try Self.documents(broken.text).last?["error"]?["type"]?.string == "server_error")
                let again = try http.post("/v1/chat/completions", json: Self.chat())
                #expect(again.status == 200, "\(again.text)")
                #expect(try http.post("/v1/chat/completions", json: Self.chat(["model": "other"])).status == 200)
            }
        }
    }
}

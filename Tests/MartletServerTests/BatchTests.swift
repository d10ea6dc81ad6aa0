import AsyncHTTPClient
import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@Suite("Batches", .serialized)
struct BatchTests {
    static func line(_ id: String, _ text: String, model: String = "tiny") -> String {
        let line: JSON = [
            "custom_id": .string(id), "method": "POST", "url": "/v1/chat/completions",
            "body": ["model": .string(model), "messages": [["role": "user", "content": .string(text)]]],
        ]
        return line.serialized()
    }

    static func lines(_ count: Int) -> String {
        (1...count).map { line("r-\($0)", "Hi \($0)") }.joined(separator: "\n") + "\n"
    }

    @Test func aBatchRunsEachLineOnceAndLeavesItsFiles() async throws {
        let asked = Mutex<[String: Int]>([:])
        let answer: OpenAIFake.Answer = { request, exchange in
            #expect(request.isBackground)
            guard case .chat(let messages, _) = request.prompt else { return }
            let text = messages.last?["content"]?.string ?? ""
            asked.withLock { $0[text, default: 0] += 1 }
            if text == "Hi 7" { throw MartletError(.contextLengthExceeded, "too long") }
            try await OpenAIFake.say("Answer to ", text)(request, exchange)
        }
        try await OpenAIFake.with(answer) { fake in
            var text = Self.lines(40)
            text += Self.line("other", "Hi", model: "nobody") + "\n\n"
            let file = try await fake.upload(text, purpose: "batch")
            let made = try await fake.batch(file, ["metadata": ["k": "v"]])
            #expect(made["status"] == "validating" && made["object"] == "batch" && made["metadata"] == ["k": "v"])
            let done = try await fake.untilOver(made)
            #expect(done["status"] == "completed", "\(done.serialized())")
            #expect(done["request_counts"] == ["total": 41, "completed": 39, "failed": 2])
            #expect(done["usage"]?["input_tokens"] == 195 && done["usage"]?["output_tokens"] == 78)
            #expect(done["model"] == .null && done["errors"] == .null)
            let times = ["created_at", "in_progress_at", "finalizing_at", "completed_at"].compactMap { done[$0]?.int }
            #expect(times.count == 4 && times == times.sorted())

            let output = try await fake.fileLines(done["output_file_id"])
            #expect(output.count == 39)
            #expect(Set(output.compactMap { $0["custom_id"]?.string }).count == 39)
            let first = try #require(output.first { $0["custom_id"] == "r-3" })
            #expect(first["response"]?["status_code"] == 200 && first["error"] == .null)
            #expect(
                first["response"]?["body"]?["choices"]?.array?.first?["message"]?["content"] == "Answer to Hi 3")
            #expect(first["response"]?["request_id"]?.string?.hasPrefix("req_") == true)
            let failed = try await fake.fileLines(done["error_file_id"])
            #expect(
                Set(failed.compactMap { $0["response"]?["body"]?["error"]?["code"]?.string })
                    == ["context_length_exceeded", "model_not_found"])
            #expect(asked.withLock { $0 }.values.allSatisfy { $0 == 1 })

            #expect(try await fake.used("completion_tokens") == 78, "every line is billed")
            let page = try await fake.live.ask(.GET, "/v1/batches?limit=1").json()
            #expect(page["data"]?.array?.first?["id"] == made["id"] && page["has_more"] == false)
        }
    }

    @Test(
        "J15: a batch with bad lines names each and runs none",
        arguments: [
            ("{\"a\":", "invalid_json_line"), ("[1]", "invalid_json_line"),
            (#"{"custom_id":"x","method":"GET","url":"/v1/chat/completions","body":{}}"#, "invalid_method"),
            (#"{"custom_id":"x","method":"POST","url":"/v1/completions","body":{}}"#, "mismatched_url"),
            (#"{"method":"POST","url":"/v1/chat/completions","body":{}}"#, "missing_required_parameter"),
            (#"{"custom_id":"x","method":"POST","url":"/v1/chat/completions"}"#, "missing_required_parameter"),
            (#"{"custom_id":"r-1","method":"POST","url":"/v1/chat/completions","body":{}}"#, "duplicate_custom_id"),
            (#"{"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":{"stream":true}}"#, "invalid_body"),
            (
                #"{"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":{},"more":1}"#,
                "unknown_parameter"
            ),
        ]) func badLines(_ bad: String, _ code: String) async throws
    {
        try await OpenAIFake.with(models: []) { fake in
            let file = try await fake.upload(Self.lines(3) + bad + "\n" + Self.line("last", "x"), purpose: "batch")
            let done = try await fake.untilOver(try await fake.batch(file))
            #expect(done["status"] == "failed" && done["failed_at"]?.int != nil)
            let fault = try #require(done["errors"]?["data"]?.array?.first)
            #expect(fault["code"] == .string(code) && fault["line"] == 4, "\(fault.serialized())")
            #expect(done["request_counts"] == ["total": 0, "completed": 0, "failed": 0])
            #expect(done["output_file_id"] == .null && done["error_file_id"] == .null)
            #expect(fake.asked.count == 0)
        }
    }

    @Test("J15: 50,001 lines") func tooManyLines() async throws {
        try await OpenAIFake.with(models: []) { fake in
            let file = try await fake.upload(Self.lines(50_001), purpose: "batch")
            let done = try await fake.untilOver(try await fake.batch(file))
            #expect(done["status"] == "failed")
            #expect(done["errors"]?["data"]?.array?.first?["code"] == "too_many_tasks")
        }
    }

    @Test("J15: a file of one byte too many") func tooLargeAFile() async throws {
        try await OpenAIFake.with(models: []) { fake in
            var ids: [String] = []
            for count in [200_000_000, 200_000_001] {
                ids.append(try await fake.uploadBlanks(count))
            }
            let refused = try await fake.post("/v1/batches", OpenAIFake.batchBody(ids[1]))
            let error = try refused.json()["error"]
            #expect(refused.status == 400 && error?["param"] == "input_file_id", "\(refused.text)")
            #expect(error?["message"]?.string?.contains("200000001 bytes; a batch has at most 200000000") == true)
            // The largest is read.
            let done = try await fake.untilOver(try await fake.batch(ids[0]))
            #expect(done["errors"]?["data"]?.array?.first?["code"] == "empty_file", "\(done.serialized())")
        }
    }

    @Test func whatCannotBeABatchIsRefused() async throws {
        try await OpenAIFake.with(models: []) { fake in
            let file = try await fake.upload(Self.lines(1), purpose: "batch")
            let wrong = try await fake.upload("{\"messages\":[]}\n", purpose: "evals")
            let cases: [(JSONObject, Int, String)] = [
                (["endpoint": "/v1/images"], 400, "endpoint"), (["completion_window": "1h"], 400, "completion_window"),
                (["input_file_id": .string(wrong)], 400, "input_file_id"),
                (["input_file_id": "file-none"], 404, "input_file_id"), (["more": 1], 400, "more"),
                (
                    ["output_expires_after": ["anchor": "created_at", "seconds": 1]], 400,
                    "output_expires_after.seconds"
                ),
            ]
            for (fields, status, param) in cases {
                let answer = try await fake.post("/v1/batches", OpenAIFake.batchBody(file, fields))
                #expect(answer.status == status, "\(answer.text)")
                #expect(try answer.json()["error"]?["param"] == .string(param), "\(answer.text)")
            }
            #expect(try await fake.live.ask(.GET, "/v1/batches/batch_x").status == 404)
        }
    }

    @Test("J16: a cancelled batch ends within ten seconds and keeps what is done") func cancelled() async throws {
        let answer: OpenAIFake.Answer = { request, exchange in
            guard case .chat(let messages, _) = request.prompt else { return }
            if messages.last?["content"] == "Hi 1" { return try await OpenAIFake.say("done")(request, exchange) }
            try exchange.send(.started(promptTokens: 5, cachedTokens: 0))
            // It never ends by itself.
        }
        try await OpenAIFake.with(answer, configure: { $0.backgroundRequests = 4 }) { fake in
            let made = try await fake.batch(try await fake.upload(Self.lines(200), purpose: "batch"))
            let path = "/v1/batches/\(made["id"]?.string ?? "")"
            try await eventually { try await fake.live.ask(.GET, path).json()["request_counts"]?["completed"] == 1 }
            let (done, time) = try await counted {
                let answer = try await fake.live.ask(.POST, path + "/cancel")
                #expect(answer.status == 200, "\(answer.text)")
                #expect(try ["cancelling", "cancelled"].contains(answer.json()["status"]?.string))
                return try await fake.untilOver(made)
            }
            #expect(time < .seconds(10))
            #expect(done["status"] == "cancelled" && done["cancelling_at"]?.int != nil)
            #expect(done["request_counts"] == ["total": 200, "completed": 1, "failed": 0])
            #expect(try await fake.fileLines(done["output_file_id"]).count == 1)
            #expect(fake.asked.count <= 5)
            #expect(try await fake.live.ask(.POST, path + "/cancel").status == 409)
        }
    }

    @Test func aBusyModelIsAskedAgainLater() async throws {
        let count = Mutex(0)
        let answer: OpenAIFake.Answer = { request, exchange in
            let turn = count.withLock { count in
                count += 1
                return count
            }
            guard turn > 3 else { throw MartletError(.unavailable, "the queue is full; try again") }
            try await OpenAIFake.say("ok")(request, exchange)
        }
        try await OpenAIFake.with(answer) { fake in
            let made = try await fake.batch(try await fake.upload(Self.lines(10), purpose: "batch"))
            let done = try await fake.untilOver(made)
            #expect(done["request_counts"] == ["total": 10, "completed": 10, "failed": 0])
            #expect(count.withLock { $0 } == 13)
        }
    }

    @Test func otherEndpointsRunToo() async throws {
        let bodies: [(String, JSON)] = [
            ("/v1/completions", ["model": "tiny", "prompt": "Once"]),
            ("/v1/embeddings", ["model": "tiny", "input": "a"]),
            ("/v1/responses", ["model": "tiny", "input": "Hi", "store": true]),
            (
                "/v1/chat/completions",
                [
                    "model": "tiny", "messages": [["role": "user", "content": "Hi"]],
                    "chat_template_kwargs": ["enable_thinking": false],
                ]
            ),
        ]
        try await OpenAIFake.with { fake in
            for (endpoint, body) in bodies {
                let line: JSON = ["custom_id": "1", "method": "POST", "url": .string(endpoint), "body": body]
                let file = try await fake.upload(line.serialized(), purpose: "batch")
                let done = try await fake.untilOver(
                    try await fake.batch(file, ["endpoint": .string(endpoint)]))
                #expect(done["request_counts"] == ["total": 1, "completed": 1, "failed": 0], "\(endpoint)")
                let output = try await fake.fileLines(done["output_file_id"])
                #expect(output.first?["response"]?["body"]?["model"] == "tiny")
            }
            #expect(fake.asked.last?.templateVariables == ["enable_thinking": false])
        }
    }
}

extension OpenAIFake {
    /// A file through the route for files; its id.
    func upload(_ text: String, purpose: String) async throws -> String {
        let mark = "XXmarkXX"
        let body =
            "--\(mark)\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n\(purpose)\r\n--\(mark)\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"data.jsonl\"\r\n\r\n\(text)\r\n--\(mark)--\r\n"
        let answer = try await live.post(
            "/v1/files", body, headers: [("Content-Type", "multipart/form-data; boundary=\(mark)")])
        try #require(answer.status == 200, "\(answer.text)")
        return try #require(try answer.json()["id"]?.string)
    }

    /// A file of blank lines, made and sent a piece at a time.
    func uploadBlanks(_ count: Int) async throws -> String {
        let mark = "XXmarkXX"
        let head =
            "--\(mark)\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--\(mark)\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"data.jsonl\"\r\n\r\n"
        let tail = "\r\n--\(mark)--\r\n"
        let line = [UInt8](repeating: UInt8(ascii: " "), count: (1 << 20) - 1) + [UInt8(ascii: "\n")]
        let piece = ByteBuffer(bytes: line)
        let pieces = AsyncStream<ByteBuffer> { continuation in
            continuation.yield(ByteBuffer(string: head))
            for _ in 0..<count / line.count { continuation.yield(piece) }
            continuation.yield(ByteBuffer(bytes: line.prefix(count % line.count)))
            continuation.yield(ByteBuffer(string: tail))
            continuation.finish()
        }
        var request = HTTPClientRequest(url: live.url + "/v1/files")
        request.method = .POST
        request.headers.add(name: "Authorization", value: "Bearer \(live.adminKey)")
        request.headers.add(name: "Content-Type", value: "multipart/form-data; boundary=\(mark)")
        request.body = .stream(pieces, length: .known(Int64(head.utf8.count + count + tail.utf8.count)))
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(120))
        let answer = try JSONParser.parse(String(buffer: try await response.body.collect(upTo: 1 << 20)))
        try #require(response.status == .ok && answer["bytes"]?.int == count, "\(answer.serialized())")
        return try #require(answer["id"]?.string)
    }

    static func batchBody(_ file: String, _ fields: JSONObject = [:]) -> JSON {
        var body: JSONObject = [
            "input_file_id": .string(file), "endpoint": "/v1/chat/completions", "completion_window": "24h",
        ]
        for (key, value) in fields { body[key] = value }
        return .object(body)
    }

    func batch(_ file: String, _ fields: JSONObject = [:]) async throws -> JSON {
        let answer = try await post("/v1/batches", Self.batchBody(file, fields))
        try #require(answer.status == 200, "\(answer.text)")
        return try answer.json()
    }

    func untilOver(_ batch: JSON) async throws -> JSON {
        let path = "/v1/batches/\(batch["id"]?.string ?? "")"
        var last: JSON = .null
        try await eventually {
            last = try await live.ask(.GET, path).json()
            return ["completed", "failed", "expired", "cancelled"].contains(last["status"]?.string)
        }
        return last
    }

    func fileLines(_ id: JSON?) async throws -> [JSON] {
        let text = try await live.ask(.GET, "/v1/files/\(id?.string ?? "none")/content").text
        return try text.split(separator: "\n").map { try JSONParser.parse(String($0), limits: .trusted) }
    }
}

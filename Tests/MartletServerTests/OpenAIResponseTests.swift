import Foundation
import MartletTesting
import MartletWire
import Synchronization
import Testing

@Suite("Responses", .serialized)
struct OpenAIResponseTests {
    @Test func aStreamTellsEveryStep() async throws {
        try await OpenAIFake.with { fake in
            let events = try await fake.stream("/v1/responses", ["model": "tiny", "input": "Hi", "stream": true])
            #expect(
                events.compactMap { $0["type"]?.string } == [
                    "response.created", "response.in_progress", "response.output_item.added",
                    "response.content_part.added", "response.output_text.delta", "response.output_text.delta",
                    "response.output_text.done", "response.content_part.done", "response.output_item.done",
                    "response.completed",
                ])
            #expect(events.compactMap { $0["sequence_number"]?.int } == Array(0..<10))
            let done = try #require(events.last?["response"])
            #expect(done["status"] == "completed" && done["usage"]?["output_tokens"]?.int == 2)
            #expect(done["output"]?.array?.first?["content"]?.array?.first?["text"] == "Hello")
            #expect(events[0]["response"]?["output"] == [])
        }
    }

    @Test func whatIsKeptCanBeGoneOnFrom() async throws {
        try await OpenAIFake.with { fake in
            let first = try await fake.post(
                "/v1/responses",
                ["model": "tiny", "input": "One", "instructions": "Be kind.", "store": true, "metadata": ["k": "v"]]
            ).json()
            let id = try #require(first["id"]?.string)
            #expect(first["store"] == true && first["metadata"] == ["k": "v"])
            let second = try await fake.post(
                "/v1/responses", ["model": "tiny", "input": "Two", "previous_response_id": .string(id)]
            ).json()
            #expect(second["previous_response_id"] == .string(id))
            guard case .chat(let messages, _)? = fake.asked.last?.prompt else { return #expect(Bool(false)) }
            #expect(messages.compactMap { $0["content"]?.string } == ["One", "Hello", "Two"])
            #expect(try await fake.live.ask(.GET, "/v1/responses/\(id)").json() == first)
            let items = try await fake.live.ask(.GET, "/v1/responses/\(id)/input_items").json()
            #expect(items["data"]?.array?.first?["content"]?.array?.first?["text"] == "One")
            #expect(try await fake.live.ask(.POST, "/v1/responses/\(id)/cancel").status == 400)

            let unkept = try #require(second["id"]?.string)
            #expect(try await fake.live.ask(.GET, "/v1/responses/\(unkept)").status == 404)
            let missing = try await fake.post(
                "/v1/responses", ["model": "tiny", "input": "x", "previous_response_id": .string(unkept)])
            #expect(missing.status == 400)
            #expect(try missing.json()["error"]?["param"] == "previous_response_id")
            #expect(missing.text.contains("store: true"))

            #expect(try await fake.live.ask(.DELETE, "/v1/responses/\(id)").status == 200)
            #expect(try await fake.live.ask(.DELETE, "/v1/responses/\(id)").status == 404)
        }
    }

    @Test func responsesOfAnotherProjectAreNotThere() async throws {
        try await OpenAIFake.with { fake in
            let made = try await fake.post("/v1/responses", ["model": "tiny", "input": "One", "store": true]).json()
            let id = try #require(made["id"]?.string)
            _ = try await fake.live.post("/api/v1/projects", "{\"name\":\"other\"}")
            let key = try await fake.live.post(
                "/api/v1/keys", "{\"name\":\"k\",\"role\":\"inference\",\"project\":\"other\"}"
            ).json()
            let other = try #require(key["secret"]?.string)
            #expect(try await fake.live.ask(.GET, "/v1/responses/\(id)", key: other).status == 404)
            #expect(try await fake.live.ask(.DELETE, "/v1/responses/\(id)", key: other).status == 404)
            #expect(try await fake.live.ask(.GET, "/v1/models", key: other).json()["data"] == [])
            let body = Data(OpenAIFake.chat().serialized().utf8)
            #expect(try await fake.live.ask(.POST, "/v1/chat/completions", key: other, body: body).status == 404)
        }
    }

    @Test func itemsOfAllKindsAreRead() async throws {
        try await OpenAIFake.with { fake in
            let input: JSON = [
                ["role": "developer", "content": "Rule."], ["type": "message", "role": "user", "content": "Q"],
                ["type": "reasoning", "id": "r", "summary": []],
                ["type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"x\":1}", "id": "fc_1"],
                ["type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"],
                ["type": "function_call_output", "call_id": "c1", "output": "one"],
                [
                    "type": "message", "id": "m", "status": "completed", "role": "assistant",
                    "content": [["type": "output_text", "text": "A", "annotations": [], "logprobs": []]],
                ],
            ]
            let answer = try await fake.post("/v1/responses", ["model": "tiny", "input": input])
            #expect(answer.status == 200, "\(answer.text)")
            guard case .chat(let messages, _)? = fake.asked.last?.prompt else { return #expect(Bool(false)) }
            #expect(messages.compactMap { $0["role"]?.string } == ["system", "user", "assistant", "tool", "assistant"])
            #expect(messages[2]["tool_calls"]?.array?.count == 2)
            for (fields, param) in [
                (["input": [["type": "computer_call"]]], "input[0].type"),
                (["background": true, "store": false], "store"),
                (["conversation": "c"], "conversation"), (["truncation": "some"], "truncation"), (["n": 2], "n"),
                (["text": ["format": ["type": "x"]]], "text.format.type"), (["stop": "x"], "stop"),
                (["tools": [["type": "web_search"]]], "tools[0].type"), (["input": []], "input"),
                (["max_output_tokens": 0], "max_output_tokens"), (["include": ["x"]], "include"),
            ] as [(JSONObject, String)] {
                var body: JSONObject = ["model": "tiny", "input": "x"]
                for (key, value) in fields { body[key] = value }
                let answer = try await fake.post("/v1/responses", .object(body))
                #expect(answer.status == 400)
                #expect(try answer.json()["error"]?["param"] == .string(param), "\(answer.text)")
            }
        }
    }

    /// Whoever sends a response's fields is told of those, wherever the fault was found.
    @Test func whatIsWrongIsToldWithAResponsesOwnFields() async throws {
        let long = MartletError(
            .contextLengthExceeded, "this model's maximum context length is 8 tokens", param: "messages")
        let answer: OpenAIFake.Answer = { request, exchange in
            guard case .chat(let messages, _) = request.prompt else { return }
            let late = MartletError(.invalidRequest, "no token goes on", param: "response_format")
            if messages.last?["content"] == "late" {
                try exchange.send(.started(promptTokens: 5, cachedTokens: 0))
                try exchange.fail(late)
            } else {
                try exchange.fail(long)
            }
        }
        try await OpenAIFake.with(answer) { fake in
            for (input, param) in [("x", "input"), ("late", "text.format")] as [(JSON, JSON)] {
                let refused = try await fake.post("/v1/responses", ["model": "tiny", "input": input])
                #expect(refused.status == 400, "\(refused.text)")
                #expect(try refused.json()["error"]?["param"] == param, "\(refused.text)")
            }
            let chat = try await fake.post("/v1/chat/completions", OpenAIFake.chat())
            #expect(try chat.json()["error"]?["param"] == "messages")
            for (fields, param, remedy) in [
                (["max_tokens": 5], "max_tokens", "max_output_tokens"), (["messages": []], "messages", "input"),
                (["response_format": ["type": "text"]], "response_format", "text.format"),
                (["num_predict": 5], "num_predict", "max_output_tokens"),
                (["guided_regex": "a"], "guided_regex", "text.format"),
                (["options": ["num_ctx": 1]], "options", "max_output_tokens"),
                (["input": [["role": "tool", "content": "x"]]], "input[0].role", "user, system, developer, assistant"),
                (["input": [["role": "assistant"]]], "input[0].content", "give a text"),
                (
                    ["input": [["role": "assistant", "content": "x", "tool_calls": [[:]]]]], "input[0].tool_calls",
                    "function_call"
                ),
            ] as [(JSONObject, String, String)] {
                var body: JSONObject = ["model": "tiny", "input": "x"]
                for (key, value) in fields { body[key] = value }
                let error = try await fake.post("/v1/responses", .object(body)).json()["error"]
                #expect(error?["param"] == .string(param), "\(error?.serialized() ?? "")")
                let message = error?["message"]?.string ?? ""
                #expect(message.contains(remedy) && !message.contains("max_tokens and"), "\(message)")
            }
        }
    }

    private func ended(_ fake: OpenAIFake, _ id: String) async throws -> JSON {
        var body: JSON = .null
        try await eventually {
            body = try await fake.live.ask(.GET, "/v1/responses/\(id)").json()
            return !["queued", "in_progress"].contains(body["status"]?.string ?? "")
        }
        return body
    }

    @Test func inTheBackgroundItIsFetchedLater() async throws {
        try await OpenAIFake.with { fake in
            let asked: JSON = ["model": "tiny", "input": "One", "background": true, "metadata": ["k": "v"]]
            let answer = try await fake.post("/v1/responses", asked)
            let queued = try answer.json()
            #expect(answer.status == 200 && queued["status"] == "queued" && queued["output"] == [])
            #expect(queued["background"] == true && queued["store"] == true && queued["usage"] == .null)
            let id = try #require(queued["id"]?.string)
            let done = try await ended(fake, id)
            #expect(done["status"] == "completed" && done["id"] == .string(id) && done["background"] == true)
            #expect(done["created_at"] == queued["created_at"] && done["metadata"] == ["k": "v"])
            #expect(done["output"]?.array?.first?["content"]?.array?.first?["text"] == "Hello")
            // It is kept like any other, and paid for once.
            let items = try await fake.live.ask(.GET, "/v1/responses/\(id)/input_items").json()
            #expect(items["data"]?.array?.first?["content"]?.array?.first?["text"] == "One")
            let next: JSON = ["model": "tiny", "input": "Two", "previous_response_id": .string(id)]
            #expect(try await fake.post("/v1/responses", next).status == 200)
            guard case .chat(let messages, _)? = fake.asked.last?.prompt else { return #expect(Bool(false)) }
            #expect(messages.compactMap { $0["content"]?.string } == ["One", "Hello", "Two"])
            #expect(try await fake.used("requests") == 2)
            #expect(try await fake.live.ask(.POST, "/v1/responses/\(id)/cancel").json()["status"] == "completed")
            #expect(try await fake.live.ask(.DELETE, "/v1/responses/\(id)").status == 200)

            let unknown = try await fake.post("/v1/responses", ["model": "nobody", "input": "x", "background": true])
            #expect(unknown.status == 404 && unknown.text.contains("model_not_found"))
            let failing = try await fake.post(
                "/v1/responses",
                ["model": "tiny", "input": "x", "background": true, "previous_response_id": .string(id)])
            #expect(failing.status == 400)
        }
    }

    @Test func whatRunsInTheBackgroundCanBeCancelledOrDeleted() async throws {
        let cancelled = Mutex(0)
        try await OpenAIFake.with({ _, exchange in
            try exchange.send(.started(promptTokens: 1, cachedTokens: 0))
            while !exchange.isCancelled() { try await Task.sleep(for: .milliseconds(5)) }
            cancelled.withLock { $0 += 1 }
            try exchange.send(.done(OpenAIFake.usage(completion: 0)))
        }) { fake in
            var ids: [String] = []
            for _ in 0..<2 {
                let made = try await fake.post("/v1/responses", ["model": "tiny", "input": "x", "background": true])
                ids.append(try #require(try made.json()["id"]?.string))
            }
            try await eventually { fake.asked.count == 2 }
            let running = try await fake.live.ask(.GET, "/v1/responses/\(ids[0])").json()
            #expect(running["status"] == "in_progress")
            let unstreamed = try await fake.live.ask(.GET, "/v1/responses/\(ids[0])?stream=true")
            #expect(unstreamed.status == 400 && unstreamed.text.contains("was not asked for with 'stream'"))
            let early = try await fake.post(
                "/v1/responses", ["model": "tiny", "input": "y", "previous_response_id": .string(ids[0])])
            #expect(early.status == 400 && early.text.contains("not over"))

            let ended = try await fake.live.ask(.POST, "/v1/responses/\(ids[0])/cancel").json()
            #expect(ended["status"] == "cancelled")
            #expect(try await fake.live.ask(.GET, "/v1/responses/\(ids[0])").json()["status"] == "cancelled")
            #expect(try await fake.live.ask(.POST, "/v1/responses/\(ids[0])/cancel").json()["status"] == "cancelled")
            #expect(try await fake.live.ask(.DELETE, "/v1/responses/\(ids[1])").status == 200)
            #expect(try await fake.live.ask(.GET, "/v1/responses/\(ids[1])").status == 404)
            try await eventually { cancelled.withLock { $0 } == 2 }
        }
    }

    /// The events of a kept response are those that it came with, where each text came at once.
    @Test func aKeptResponseIsToldAgainAsItWas() async throws {
        let calls: OpenAIFake.Answer = { _, exchange in
            try exchange.send(.started(promptTokens: 5, cachedTokens: 0))
            try exchange.send(.text(choice: 0, "I look.", tokens: []))
            for (index, arguments) in ["{\"a\":1}", ""].enumerated() {
                try exchange.send(.toolCall(choice: 0, index: index, id: "call_\(index)", name: "f"))
                if !arguments.isEmpty { try exchange.send(.toolArguments(choice: 0, index: index, arguments)) }
            }
            try exchange.send(.finished(choice: 0, .length, completionTokens: 8))
            try exchange.send(.done(OpenAIFake.usage(completion: 8)))
        }
        let answers = [
            "text": OpenAIFake.say("Hello"), "nothing": OpenAIFake.say(), "cut": OpenAIFake.say("a", finish: .length),
            "calls": calls,
        ]
        try await OpenAIFake.with({ request, exchange in
            guard case .chat(let messages, _) = request.prompt else { return }
            try await answers[messages.last?["content"]?.string ?? ""]?(request, exchange)
        }) { fake in
            for name in answers.keys {
                let told = try await fake.stream(
                    "/v1/responses",
                    [
                        "model": "tiny", "input": .string(name), "stream": true, "store": true,
                        "include": ["message.output_text.logprobs"],
                    ])
                let id = try #require(told.first?["response"]?["id"]?.string)
                let path = "/v1/responses/\(id)?stream=true"
                #expect(try OpenAIFake.documents(await fake.live.ask(.GET, path)) == told, "\(name)")
                for start in [0, 3, told.count - 1] {
                    let rest = try await fake.live.ask(.GET, path + "&starting_after=\(start)")
                    #expect(try OpenAIFake.documents(rest) == Array(told.dropFirst(start + 1)), "\(name) \(start)")
                }
                let beyond = try await fake.live.ask(.GET, path + "&starting_after=\(told.count)")
                #expect(try beyond.status == 400 && beyond.json()["error"]?["param"] == "starting_after")
                #expect(beyond.text.contains("number \(told.count - 1)"))
            }
        }
    }

    /// A call that its answer's limit cut off is a call that is not whole, wherever it is told.
    @Test func aCallCutAtTheLimitIsIncomplete() async throws {
        let answer: OpenAIFake.Answer = { request, exchange in
            guard case .chat(let messages, _) = request.prompt else { return }
            let isWhole = messages.last?["content"] == "whole"
            try exchange.send(.started(promptTokens: 5, cachedTokens: 0))
            try exchange.send(.toolCall(choice: 0, index: 0, id: "call_0", name: "f"))
            try exchange.send(.toolArguments(choice: 0, index: 0, isWhole ? "{\"a\":1}" : "{\"a\":"))
            try exchange.send(.finished(choice: 0, .length, completionTokens: 8))
            try exchange.send(.done(OpenAIFake.usage(completion: 8)))
        }
        try await OpenAIFake.with(answer) { fake in
            for (input, status) in [("part", "incomplete"), ("whole", "completed")] as [(JSON, JSON)] {
                let asked: JSONObject = ["model": "tiny", "input": input]
                let whole = try await fake.post("/v1/responses", .object(asked)).json()
                #expect(whole["status"] == "incomplete" && whole["output"]?.array?.count == 1)
                #expect(whole["output"]?.array?.first?["status"] == status)
                var streamed = asked
                streamed["stream"] = true
                let events = try await fake.stream("/v1/responses", .object(streamed))
                #expect(events.last?["type"] == "response.incomplete")
                #expect(events.last?["response"]?["output"]?.array?.first?["status"] == status)
                let done = events.first { $0["type"] == "response.output_item.done" }
                #expect(done?["item"]?["status"] == status)
            }
            let chat = try await fake.post("/v1/chat/completions", OpenAIFake.chat()).json()
            let choice = chat["choices"]?.array?.first
            #expect(choice?["finish_reason"] == "length" && choice?["message"]?["content"] == .null)
            let call = choice?["message"]?["tool_calls"]?.array?.first
            #expect(call?["function"] == ["name": "f", "arguments": "{\"a\":"])
            let chunks = try await fake.stream("/v1/chat/completions", OpenAIFake.chat(["stream": true]))
            let deltas = chunks.compactMap { $0["choices"]?.array?.first?["delta"] }
            #expect(deltas.count == 4 && deltas.dropFirst().allSatisfy { $0["content"] == nil })
            #expect(chunks.dropLast().last?["choices"]?.array?.first?["finish_reason"] == "length")
        }
    }

    @Test func anAnswerCutAtItsLimitIsIncomplete() async throws {
        try await OpenAIFake.with(OpenAIFake.say("a", finish: .length)) { fake in
            let whole = try await fake.post("/v1/responses", ["model": "tiny", "input": "x", "max_output_tokens": 1])
                .json()
            #expect(whole["status"] == "incomplete")
            #expect(whole["incomplete_details"]?["reason"] == "max_output_tokens")
            let events = try await fake.stream("/v1/responses", ["model": "tiny", "input": "x", "stream": true])
            #expect(events.last?["type"] == "response.incomplete")
        }
    }
}

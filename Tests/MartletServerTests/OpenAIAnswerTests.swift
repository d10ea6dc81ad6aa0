import Foundation
import MartletTesting
import MartletWire
import Testing

@Suite("What OpenAI's API answers", .serialized)
struct OpenAIAnswerTests {
    @Test func aWholeChatHasEveryField() async throws {
        try await OpenAIFake.with { fake in
            let answer = try await fake.post(
                "/v1/chat/completions", OpenAIFake.chat(["n": 2, "logprobs": true, "top_logprobs": 2]))
            let body = try answer.json()
            #expect(body["object"] == "chat.completion" && body["model"] == "tiny")
            #expect(body["id"]?.string?.hasPrefix("chatcmpl-") == true)
            let choices = try #require(body["choices"]?.array)
            #expect(choices.map { $0["message"]?["content"] } == ["Hello", "Hello"])
            #expect(choices.map { $0["finish_reason"] } == ["stop", "stop"])
            let logprobs = try #require(choices[0]["logprobs"]?["content"]?.array)
            #expect(logprobs.map { $0["token"] } == ["Hel", "lo"])
            #expect(logprobs[0]["top_logprobs"]?.array?.count == 2)
            #expect(logprobs[0]["bytes"] == [72, 101, 108])
            #expect(body["usage"]?["total_tokens"]?.int == 9)
            #expect(body["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int == 2)
            for name in ["x-request-id", "openai-processing-ms", "x-ratelimit-limit-requests"] {
                #expect(answer.headers.first(name: name) != nil, "\(name)")
            }
        }
    }

    /// Proxies close a connection on which nothing comes for a minute, and a long prompt can take longer.
    @Test func aSilentStreamTellsThatItWaits() async throws {
        let slow: OpenAIFake.Answer = { request, exchange in
            try exchange.send(.started(promptTokens: 5, cachedTokens: 0))
            try await sleepByTurns(.seconds(10))
            try exchange.send(.text(choice: 0, "late", tokens: []))
            try exchange.send(.finished(choice: 0, .stop, completionTokens: 1))
            try exchange.send(.done(OpenAIFake.usage(completion: 1)))
        }
        try await OpenAIFake.with(slow) { fake in
            let answer = try await fake.post("/v1/chat/completions", OpenAIFake.chat(["stream": true]))
            let blocks = answer.text.components(separatedBy: "\n\n").filter { !$0.isEmpty }
            #expect(blocks.contains(": wait") && blocks.last == "data: [DONE]", "\(answer.text)")
            #expect(blocks.allSatisfy { $0 == ": wait" || $0.hasPrefix("data: ") })
            #expect(answer.text.contains("\"late\""))
        }
    }

    @Test func aStreamHasTheRoleFirstAndTheReasonLast() async throws {
        try await OpenAIFake.with { fake in
            let plain = try await fake.stream("/v1/chat/completions", OpenAIFake.chat(["stream": true]))
            #expect(plain.count == 5)
            #expect(plain[0]["choices"]?.array?.first?["delta"]?["role"] == "assistant")
            #expect(plain[1]["choices"]?.array?.first?["delta"] == ["content": "Hel"])
            #expect(plain[3]["choices"]?.array?.first?["finish_reason"] == "stop")
            #expect(plain[3]["choices"]?.array?.first?["delta"] == [:])
            #expect(plain[4] == "[DONE]")
            #expect(plain.dropLast().allSatisfy { $0["usage"] == nil && $0["object"] == "chat.completion.chunk" })
            #expect(Set(plain.dropLast().compactMap { $0["id"]?.string }).count == 1)

            let counted = try await fake.stream(
                "/v1/chat/completions",
                OpenAIFake.chat(["stream": true, "stream_options": ["include_usage": true], "n": 2, "logprobs": true]))
            let usage = counted[counted.count - 2]
            #expect(usage["choices"] == [] && usage["usage"]?["completion_tokens"]?.int == 4)
            #expect(counted.dropLast(2).allSatisfy { $0["usage"] == .null })
            let indexes = counted.compactMap { $0["choices"]?.array?.first?["index"]?.int }
            #expect(Set(indexes) == [0, 1])
            let texts = counted.filter { $0["choices"]?.array?.first?["delta"]?["content"] == "Hel" }
            #expect(texts.first?["choices"]?.array?.first?["logprobs"]?["content"]?.array?.count == 1)

            let completion = try await fake.stream(
                "/v1/completions", ["model": "tiny", "prompt": ["a", "b"], "stream": true, "logprobs": 1])
            #expect(completion.last == "[DONE]")
            let choices = completion.dropLast().compactMap { $0["choices"]?.array?.first }
            #expect(Set(choices.compactMap { $0["index"]?.int }) == [0, 1])
            let offsets = choices.filter { $0["index"]?.int == 0 }.compactMap { $0["logprobs"]?["text_offset"] }
            #expect(offsets == [[0], [3]])
        }
    }

    @Test func toolCallsAreToldInParts() async throws {
        let answer: OpenAIFake.Answer = { _, exchange in
            try exchange.send(.started(promptTokens: 5, cachedTokens: 0))
            for index in 0..<2 {
                try exchange.send(.toolCall(choice: 0, index: index, id: "call_\(index)", name: "f"))
                try exchange.send(.toolArguments(choice: 0, index: index, "{\"a\""))
                try exchange.send(.toolArguments(choice: 0, index: index, ":1}"))
            }
            try exchange.send(.finished(choice: 0, .toolCalls, completionTokens: 8))
            try exchange.send(.done(OpenAIFake.usage(completion: 8)))
        }
        try await OpenAIFake.with(answer) { fake in
            let tools: JSON = [["type": "function", "function": ["name": "f", "parameters": ["type": "object"]]]]
            let whole = try await fake.post("/v1/chat/completions", OpenAIFake.chat(["tools": tools])).json()
            let message = whole["choices"]?.array?.first?["message"]
            #expect(message?["content"] == .null)
            #expect(message?["tool_calls"]?.array?.map { $0["function"]?["arguments"] } == ["{\"a\":1}", "{\"a\":1}"])
            #expect(whole["choices"]?.array?.first?["finish_reason"] == "tool_calls")
            let chunks = try await fake.stream(
                "/v1/chat/completions", OpenAIFake.chat(["tools": tools, "stream": true]))
            let calls = chunks.compactMap { $0["choices"]?.array?.first?["delta"]?["tool_calls"]?.array?.first }
            #expect(calls.count == 6)
            #expect(calls[0]["id"] == "call_0" && calls[0]["function"]?["name"] == "f")
            #expect(calls.map { $0["index"]?.int } == [0, 0, 0, 1, 1, 1])

            let response = try await fake.post(
                "/v1/responses",
                ["model": "tiny", "input": "x", "tools": [["type": "function", "name": "f", "parameters": [:]]]]
            ).json()
            let items = try #require(response["output"]?.array)
            #expect(items.map { $0["type"] } == ["function_call", "function_call"])
            #expect(items.map { $0["call_id"] } == ["call_0", "call_1"])
        }
    }

    @Test func whatIsWrongBeforeTheFirstTokenIsAStatus() async throws {
        let answer: OpenAIFake.Answer = { _, _ in
            throw MartletError(.contextLengthExceeded, "too long", param: "messages")
        }
        try await OpenAIFake.with(answer) { fake in
            for isStreamed in [false, true] {
                let answer = try await fake.post(
                    "/v1/chat/completions", OpenAIFake.chat(["stream": .bool(isStreamed)]))
                #expect(answer.status == 400)
                #expect(try answer.json()["error"]?["code"] == "context_length_exceeded")
            }
            let usage = try await fake.live.ask(.GET, "/api/v1/usage").json()
            #expect(usage["data"]?.array?.contains { $0["kind"] == "inference" } == false, "a refusal costs nothing")
        }
    }

    @Test func aFailureInTheMiddleIsToldInTheStream() async throws {
        let answer: OpenAIFake.Answer = { _, exchange in
            try exchange.send(.started(promptTokens: 5, cachedTokens: 0))
            try exchange.send(.text(choice: 0, "x", tokens: []))
            throw MartletError(.unavailable, "the model's process ended while it answered; try again in a few seconds")
        }
        try await OpenAIFake.with(answer) { fake in
            let chunks = try await fake.stream("/v1/chat/completions", OpenAIFake.chat(["stream": true]))
            let error = try #require(chunks.last?["error"]?.object)
            #expect(error["type"] == "server_error" && error.keys.sorted() == ["code", "message", "param", "type"])
            let whole = try await fake.post("/v1/chat/completions", OpenAIFake.chat())
            #expect(whole.status == 503)
            #expect(whole.headers.first(name: "retry-after") != nil)
            #expect(whole.headers.first(name: "x-should-retry") == "true")
            let response = try await fake.stream(
                "/v1/responses", ["model": "tiny", "input": "x", "stream": true])
            #expect(response.last?["type"] == "response.failed")
            #expect(response.last?["response"]?["status"] == "failed")
        }
    }

    @Test func embeddingsComeAsNumbersOrBytes() async throws {
        try await OpenAIFake.with { fake in
            let numbers = try await fake.post("/v1/embeddings", ["model": "tiny", "input": ["a", "b"]]).json()
            let rows: [JSON?] = [[0.0, 0.25, 0.5, 0.75], [1.0, 1.25, 1.5, 1.75]]
            #expect(numbers["data"]?.array?.map { $0["embedding"] } == rows)
            #expect(numbers["usage"]?["prompt_tokens"]?.int == 6)
            let bytes = try await fake.post(
                "/v1/embeddings", ["model": "tiny", "input": [[1], [2]], "encoding_format": "base64", "dimensions": 2]
            ).json()
            let second = try #require(bytes["data"]?.array?.last?["embedding"]?.string)
            #expect(Data(base64Encoded: second) == Data([0, 0, 0x80, 0x3F, 0, 0, 0xA0, 0x3F]))
            for body in [
                ["model": "tiny", "input": ""], ["model": "tiny", "input": []], ["model": "tiny"],
                ["model": "tiny", "input": "x", "dimensions": 0], ["model": "tiny", "input": "x", "size": 1],
            ] as [JSON] {
                #expect(try await fake.post("/v1/embeddings", body).status == 400)
            }
            let tokens = try await fake.post("/tokenize", ["model": "tiny", "prompt": "abc"]).json()
            #expect(tokens == ["count": 3, "max_model_len": 64, "tokens": [1, 2, 3]])
            // A chat is cut as a chat is read: what begins a text is the template's to write.
            let chat: JSONObject = ["model": "tiny", "messages": [["role": "user", "content": "Hi"]]]
            #expect(try await fake.post("/tokenize", .object(chat)).json()["tokens"] == [2, 3])
            var special = chat
            special["add_special_tokens"] = true
            #expect(try await fake.post("/tokenize", .object(special)).json()["tokens"] == [1, 2, 3])
            var both = chat
            both["prompt"] = "abc"
            let refused = try await fake.post("/tokenize", .object(both))
            #expect(refused.status == 400)
            let error = try refused.json()["error"]
            #expect(error?["param"] == "prompt")
            #expect(error?["message"] == "'prompt' and 'messages' are both given; give one of the two")
            let text = try await fake.post("/detokenize", ["model": "tiny", "tokens": [1, 2]]).json()
            #expect(text == ["prompt": "2 tokens of tiny"])
        }
    }

    @Test func modelsAreListedInPages() async throws {
        try await OpenAIFake.with(models: ["a", "b", "c"]) { fake in
            func page(_ query: String) async throws -> (ids: [String?], hasMore: JSON?) {
                let page = try await fake.live.ask(.GET, "/v1/models" + query).json()
                return (page["data"]?.array?.map { $0["id"]?.string } ?? [], page["has_more"])
            }
            let all = try await page("").ids
            #expect(all.count == 3)
            var read: [String?] = []
            var after = ""
            while let next = try await page("?limit=1" + after).ids.first {
                read.append(next)
                after = "&after=\(next ?? "")"
            }
            #expect(read == all)
            #expect(try await page("?limit=2").hasMore == true)
            #expect(try await page("?limit=3").hasMore == false)
            for query in ["?limit=0", "?limit=x", "?after=nobody"] {
                #expect(try await fake.live.ask(.GET, "/v1/models" + query).status == 400, "\(query)")
            }
        }
    }

    @Test func tokensAreBilled() async throws {
        try await OpenAIFake.with { fake in
            _ = try await fake.post("/v1/chat/completions", OpenAIFake.chat())
            _ = try await fake.stream("/v1/chat/completions", OpenAIFake.chat(["stream": true]))
            #expect(try await fake.used("prompt_tokens", of: "tiny@1") == 10)
            #expect(try await fake.used("completion_tokens", of: "tiny@1") == 4)
            #expect(try await fake.used("requests", of: "tiny@1") == 2)
        }
    }
}

import MartletStore
import MartletWire

extension EvalJudge {
    /// A sampled answer: its text for graders, and what an output item shows of it.
    struct Answer: Sendable {
        var text: String
        var toolCalls: [JSON]
        var shown: JSON

        /// `body` is a chat completion or a response.
        init(_ body: JSON, messages: JSON, request: JSONObject) {
            var finish = "stop"
            if let choice = body["choices"]?.array?.first {
                text = choice["message"]?["content"]?.string ?? ""
                toolCalls = choice["message"]?["tool_calls"]?.array ?? []
                finish = choice["finish_reason"]?.string ?? "stop"
            } else {
                let items = body["output"]?.array ?? []
                text = items.flatMap { $0["content"]?.array ?? [] }.compactMap { $0["text"]?.string }.joined()
                toolCalls = items.filter { $0["type"] == "function_call" }
                if body["status"] == "incomplete" { finish = "length" }
            }
            shown = Self.document(
                model: body["model"] ?? "", input: messages, output: text, finish: finish, request: request,
                tokens: BatchResult.tokens(body))
        }

        /// An answer that came with its item.
        static func shown(given source: JSON) -> JSON {
            document(
                model: source["sample"]?["model"] ?? "", input: source["item"]?["input"] ?? [],
                output: source["sample"]?["output_text"]?.string, finish: "stop", request: JSONObject(), tokens: .init()
            )
        }

        static func shown(error: MartletError, model: String) -> JSON {
            var object =
                document(
                    model: .string(model), input: [], output: nil, finish: "error", request: JSONObject(),
                    tokens: .init()
                ).object ?? JSONObject()
            object["error"] = ["code": .string(error.code.rawValue), "message": .string(error.message)]
            return .object(object)
        }

        private static func document(
            model: JSON, input: JSON, output: String?, finish: String, request: JSONObject, tokens: StoredBatch.Tally
        ) -> JSON {
            let messages: [JSON] = (input.array ?? []).map { message in
                ["role": message["role"] ?? "user", "content": .string(plain(message["content"]))]
            }
            return [
                "input": .array(messages),
                "output": output.map { [["role": "assistant", "content": .string($0)]] } ?? [],
                "finish_reason": .string(finish), "model": model, "error": nil,
                "usage": [
                    "total_tokens": JSON(tokens.inputTokens &+ tokens.outputTokens),
                    "completion_tokens": JSON(tokens.outputTokens), "prompt_tokens": JSON(tokens.inputTokens),
                    "cached_tokens": JSON(tokens.cachedTokens),
                ],
                "temperature": request["temperature"] ?? 1.0, "top_p": request["top_p"] ?? 1.0,
                "max_completion_tokens": request["max_completion_tokens"] ?? request["max_output_tokens"] ?? nil,
                "seed": request["seed"] ?? nil,
            ]
        }

        private static func plain(_ content: JSON?) -> String {
            content?.string ?? (content?.array ?? []).compactMap { $0["text"]?.string }.joined(separator: "\n")
        }
    }
}

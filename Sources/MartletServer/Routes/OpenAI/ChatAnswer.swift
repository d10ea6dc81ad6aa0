import MartletWire

/// A chat completion, whole or in chunks.
struct ChatAnswer: TextAnswer {
    private let head: AnswerHead
    private let hasLogprobs: Bool
    private let includesUsage: Bool
    private var choices: [AnswerParts]
    private var usage = GenerationUsage.none
    /// Up to a chunk's choices, and after them.
    private let opening: String
    private let closing: String

    init(_ head: AnswerHead, choiceCount: Int, hasLogprobs: Bool, includesUsage: Bool) {
        self.head = head
        self.hasLogprobs = hasLogprobs
        self.includesUsage = includesUsage
        choices = Array(repeating: AnswerParts(), count: choiceCount)
        var opening =
            "{\"id\":\"\(head.id)\",\"object\":\"chat.completion.chunk\",\"created\":\(head.created),\"model\":"
        JSON.quote(head.model, to: &opening)
        self.opening =
            opening + ",\"service_tier\":\"default\",\"system_fingerprint\":\"\(head.fingerprint)\",\"choices\":["
        closing = includesUsage ? "],\"usage\":null}" : "]}"
    }

    mutating func take(_ item: GenerationSet.Item) {
        if case .done(let usage) = item.event { self.usage = self.usage + usage }
        guard let choice = item.event.choice, choices.indices.contains(choice) else { return }
        choices[choice].take(item.event)
    }

    var whole: JSON {
        [
            "id": .string(head.id), "object": "chat.completion", "created": JSON(head.created),
            "model": .string(head.model),
            "choices": .array(
                choices.enumerated().map { index, parts in
                    [
                        "index": JSON(index), "message": message(parts),
                        "logprobs": hasLogprobs
                            ? ["content": .array(Logprobs.chat(parts.chances)), "refusal": nil] : nil,
                        "finish_reason": .string((parts.finish ?? .stop).rawValue),
                    ]
                }),
            "usage": usage.completionJSON, "service_tier": "default", "system_fingerprint": .string(head.fingerprint),
        ]
    }

    private func message(_ parts: AnswerParts) -> JSON {
        var message: JSONObject = [
            "role": "assistant",
            "content": parts.text.isEmpty && !parts.toolCalls.isEmpty ? .null : .string(parts.text), "refusal": .null,
            "annotations": [],
        ]
        if !parts.toolCalls.isEmpty { message["tool_calls"] = parts.toolCallsJSON }
        return .object(message)
    }

    // MARK: Chunks

    mutating func chunks(_ item: GenerationSet.Item) -> [String] {
        switch item.event {
        case .started:
            return choices.indices.map {
                chunk($0, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}")
            }
        case .text(let choice, let text, let tokens):
            guard !text.isEmpty || !tokens.isEmpty else { return [] }
            var delta = "{\"content\":"
            JSON.quote(text, to: &delta)
            let chances: JSON = ["content": .array(Logprobs.chat(tokens)), "refusal": nil]
            return [chunk(choice, delta + "}", logprobs: hasLogprobs ? chances.serialized() : "null")]
        case .toolCall(let choice, let index, let id, let name):
            let delta: JSON = [
                "tool_calls": [
                    [
                        "index": JSON(index), "id": .string(id), "type": "function",
                        "function": ["name": .string(name), "arguments": ""],
                    ]
                ]
            ]
            return [chunk(choice, delta.serialized())]
        case .toolArguments(let choice, let index, let text):
            let delta: JSON = [
                "tool_calls": [["index": JSON(index), "function": ["arguments": .string(text)]]]
            ]
            return [chunk(choice, delta.serialized())]
        case .finished(let choice, let finish, _): return [chunk(choice, "{}", finish: "\"\(finish.rawValue)\"")]
        case .done(let usage):
            self.usage = self.usage + usage
            return []
        }
    }

    private func chunk(_ choice: Int, _ delta: String, logprobs: String = "null", finish: String = "null") -> String {
        opening + "{\"index\":\(choice),\"delta\":\(delta),\"logprobs\":\(logprobs),\"finish_reason\":\(finish)}"
            + closing
    }

    var lastChunks: [String] {
        guard includesUsage else { return [] }
        return [opening + "],\"usage\":\(usage.completionJSON.serialized())}"]
    }
}

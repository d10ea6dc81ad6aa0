import MartletWire

/// A text completion, whole or in chunks: the answers of the first prompt, then those of the next.
struct CompletionAnswer: TextAnswer {
    private let head: AnswerHead
    private let choiceCount: Int
    private let hasLogprobs: Bool
    private let includesUsage: Bool
    private var choices: [AnswerParts]
    private var offsets: [Int]
    private var usage = GenerationUsage.none

    init(_ head: AnswerHead, promptCount: Int, choiceCount: Int, hasLogprobs: Bool, includesUsage: Bool) {
        self.head = head
        self.choiceCount = choiceCount
        self.hasLogprobs = hasLogprobs
        self.includesUsage = includesUsage
        choices = Array(repeating: AnswerParts(), count: promptCount * choiceCount)
        offsets = Array(repeating: 0, count: choices.count)
    }

    private func index(_ item: GenerationSet.Item) -> Int? {
        guard let choice = item.event.choice, (0..<choiceCount).contains(choice) else { return nil }
        let index = item.prompt * choiceCount + choice
        return choices.indices.contains(index) ? index : nil
    }

    mutating func take(_ item: GenerationSet.Item) {
        if case .done(let usage) = item.event { self.usage = self.usage + usage }
        if let index = index(item) { choices[index].take(item.event) }
    }

    var whole: JSON {
        document(
            choices.enumerated().map { index, parts in
                var offset = 0
                return choice(
                    index, text: parts.text,
                    logprobs: hasLogprobs ? Logprobs.completion(parts.chances, offset: &offset) : .null,
                    finish: parts.finish ?? .stop)
            }, usage: usage.completionJSON)
    }

    mutating func chunks(_ item: GenerationSet.Item) -> [String] {
        if case .done(let usage) = item.event { self.usage = self.usage + usage }
        guard let index = index(item) else { return [] }
        switch item.event {
        case .text(_, let text, let tokens):
            guard !text.isEmpty || !tokens.isEmpty else { return [] }
            let logprobs = hasLogprobs ? Logprobs.completion(tokens, offset: &offsets[index]) : .null
            return [chunk(choice(index, text: text, logprobs: logprobs, finish: nil))]
        case .finished(_, let finish, _):
            return [chunk(choice(index, text: "", logprobs: .null, finish: finish))]
        case .started, .toolCall, .toolArguments, .done: return []
        }
    }

    var lastChunks: [String] {
        includesUsage ? [document([], usage: usage.completionJSON).serialized()] : []
    }

    private func chunk(_ choice: JSON) -> String {
        document([choice], usage: includesUsage ? .null : nil).serialized()
    }

    private func choice(_ index: Int, text: String, logprobs: JSON, finish: GenerationEvent.Finish?) -> JSON {
        [
            "text": .string(text), "index": JSON(index), "logprobs": logprobs,
            "finish_reason": finish.map { .string($0 == .length ? "length" : "stop") } ?? .null,
        ]
    }

    private func document(_ choices: [JSON], usage: JSON?) -> JSON {
        var object: JSONObject = [
            "id": .string(head.id), "object": "text_completion", "created": JSON(head.created),
            "model": .string(head.model), "system_fingerprint": .string(head.fingerprint), "choices": .array(choices),
        ]
        if let usage { object["usage"] = usage }
        return .object(object)
    }
}

import MartletPlatform
import MartletWire

/// `POST /v1/completions`, read strictly.
struct CompletionRequest: TextRequest {
    var model: String
    /// One for each prompt, in order; each has `choiceCount` answers.
    var generations: [GenerationRequest]
    var isStreamed: Bool
    var includesUsage: Bool
    var hasLogprobs: Bool

    static let promptLimit = 2048
    private static let defaultTokens = 16

    /// Throws `invalidRequest` with the field as `param`.
    init(_ body: JSON, choiceLimit: Int) throws {
        var fields = try RequestFields(body)
        model = try fields.requiredString("model")
        let prompts = try Self.prompts(&fields)
        let common = try SamplingFields(&fields, choiceLimit: choiceLimit)
        isStreamed = common.isStreamed
        includesUsage = common.includesUsage
        let top = try fields.int("logprobs", 0...20)
        hasLogprobs = top != nil
        let echo = try fields.bool("echo") ?? false
        let maxTokens = try SamplingFields.maxTokens(&fields, from: 0) ?? Self.defaultTokens
        guard maxTokens > 0 || echo else {
            throw fields.fault("max_tokens", "is 0, which asks for nothing; give 1 or more, or echo: true")
        }
        if let best = try fields.int("best_of", 1...choiceLimit), best != common.choiceCount {
            throw fields.fault(
                "best_of",
                "is \(best) and n is \(common.choiceCount); every answer that is made is returned, so set n to \(best) and "
                    + "take the best of them, or leave best_of out")
        }
        try TemplateVariables.refuse(&fields)
        try fields.unsupported("suffix", neutral: [""], "models here go on with a text and do not fill gaps")
        try fields.unsupported("response_format", neutral: [["type": "text"]], "ask /v1/chat/completions for it")
        try fields.unsupported(
            "add_special_tokens", neutral: [true], "a text always gets them; send token ids to choose them yourself")
        try fields.finish()
        let (total, isOverflow) = prompts.count.multipliedReportingOverflow(by: common.choiceCount)
        guard !isOverflow, total <= Self.promptLimit else {
            throw fields.fault("prompt", "asks for \(total) answers; ask for at most \(Self.promptLimit) at once")
        }
        generations = prompts.map { prompt in
            GenerationRequest(
                prompt: prompt, choiceCount: common.choiceCount, maxTokens: maxTokens, minTokens: common.minTokens,
                sampling: common.sampling, stop: common.stop, topLogprobs: top, echo: echo,
                ignoreEnd: common.ignoreEnd, tenant: "", owner: "")
        }
    }

    var prompts: [GenerationRequest] { generations }

    func answer(_ generation: Generation) throws -> CompletionAnswer {
        CompletionAnswer(
            try AnswerHead(prefix: "cmpl-", model: model, generation: generation), promptCount: generations.count,
            choiceCount: generations.first?.choiceCount ?? 1, hasLogprobs: hasLogprobs, includesUsage: includesUsage)
    }

    /// A text, texts, token ids, or lists of token ids.
    private static func prompts(_ fields: inout RequestFields) throws -> [GenerationRequest.Prompt] {
        let value = try fields.required("prompt")
        if let text = value.string { return [.text(text)] }
        guard let list = value.array, !list.isEmpty else {
            throw fields.fault("prompt", "must be a text, a list of texts, token ids, or lists of token ids; mend it")
        }
        guard list.count <= promptLimit || list.allSatisfy({ $0.int != nil }) else {
            throw fields.fault("prompt", "has \(list.count) texts; send at most \(promptLimit)")
        }
        if list.allSatisfy({ $0.string != nil }) { return list.compactMap(\.string).map { .text($0) } }
        if list.allSatisfy({ $0.double != nil }) { return [.tokens(try TokenIDs.read(list, fields.param("prompt")))] }
        return try list.enumerated().map { index, item in
            guard let tokens = item.array else {
                throw fields.fault("prompt", "mixes kinds; send texts only, or lists of token ids only")
            }
            return .tokens(try TokenIDs.read(tokens, fields.param("prompt[\(index)]")))
        }
    }
}

/// Token ids in a request.
enum TokenIDs {
    static let limit = 1 << 22

    /// Whole numbers from 0; whether the vocabulary has them is the replica's to say. Throws `invalidRequest`.
    static func read(_ list: [JSON], _ param: String) throws -> [Int] {
        guard (1...limit).contains(list.count) else {
            throw MartletError(
                .invalidRequest, "'\(param)' has \(list.count) token ids; send 1 to \(limit)", param: param)
        }
        return try list.map { item in
            guard let token = item.int, (0...Int(Int32.max)).contains(token) else {
                throw MartletError(
                    .invalidRequest, "'\(param)' has \(item.serialized().prefix(40)), which is not a token id; mend it",
                    param: param)
            }
            return token
        }
    }
}

import MartletPlatform
import MartletWire

/// `POST /v1/chat/completions`, read strictly.
struct ChatRequest: TextRequest {
    var model: String
    var generation: GenerationRequest
    /// Where the answer is kept; nil where that was not asked for.
    var kept: KeptChat?
    var isStreamed: Bool
    var includesUsage: Bool
    var hasLogprobs: Bool

    /// Throws `invalidRequest` with the field as `param`.
    init(_ body: JSON, choiceLimit: Int, completions: ChatCompletionService) throws {
        var fields = try RequestFields(body)
        model = try fields.requiredString("model")
        let messages = try ChatMessages.read(&fields)
        let common = try SamplingFields(&fields, choiceLimit: choiceLimit)
        let tools = try ToolFields(&fields)
        let variables = try TemplateVariables.read(&fields)
        isStreamed = common.isStreamed
        includesUsage = common.includesUsage

        hasLogprobs = try fields.bool("logprobs") ?? false
        let top = try fields.int("top_logprobs", 0...20)
        guard hasLogprobs || (top ?? 0) == 0 else {
            throw fields.fault("top_logprobs", "needs logprobs: true; set it")
        }
        let maxTokens = try SamplingFields.maxTokens(&fields, from: 1)
        let metadata = try StoredMetadata.read(&fields)
        if try fields.bool("store") ?? false {
            kept = KeptChat(
                metadata: metadata ?? [:], messages: fields.object["messages"] ?? [], request: fields.object,
                completions: completions)
        }
        fields.ignore("reasoning_effort", "verbosity")
        try fields.unsupported("modalities", neutral: [["text"]], "models here answer with text")
        // How sound is made, of an answer that has none; and a guess that would only make the same answer faster.
        _ = try fields.object("audio")
        _ = try fields.object("prediction")
        try fields.unsupported("web_search_options", "there is no search here")
        try fields.unsupported("moderation", "there is no moderation model here")
        try fields.unsupported("best_of", neutral: [1], "it belongs to /v1/completions")
        try fields.unsupported("echo", neutral: [false], "it belongs to /v1/completions")
        try fields.unsupported("add_special_tokens", neutral: [false], "a chat's template writes them itself")
        try fields.finish()

        generation = GenerationRequest(
            prompt: .chat(messages: messages, tools: tools.described), choiceCount: common.choiceCount,
            maxTokens: maxTokens, minTokens: common.minTokens, sampling: common.sampling, stop: common.stop,
            topLogprobs: hasLogprobs ? top ?? 0 : nil, ignoreEnd: common.ignoreEnd, form: tools.form,
            parallelToolCalls: tools.parallel, tenant: "", owner: "")
        generation.templateVariables = variables
    }
    var prompts: [GenerationRequest] { [generation] }

    func answer(_ generation: Generation) throws -> ChatAnswer {
        ChatAnswer(
            try AnswerHead(prefix: "chatcmpl-", model: model, generation: generation),
            choiceCount: self.generation.choiceCount, hasLogprobs: hasLogprobs, includesUsage: includesUsage)
    }

    func finished(_ answer: ChatAnswer, by principal: Principal) async throws {
        try await kept?.keep(answer.whole, model: model, by: principal)
    }
}

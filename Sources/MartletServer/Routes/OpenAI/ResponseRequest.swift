import MartletWire

/// `POST /v1/responses`, read strictly.
struct ResponseRequest {
    var model: String
    var input: ResponseInput
    var instructions: String?
    var previousID: String?
    var isStored: Bool
    var isStreamed: Bool
    /// Whether it is answered at once and worked out later.
    var isBackground: Bool
    var hasLogprobs: Bool
    /// Whether the oldest messages may be dropped where the conversation is too long.
    var isTruncated: Bool
    /// Without the messages of what went before.
    var generation: GenerationRequest
    /// What the response repeats of its request.
    var echo: JSONObject

    private static let included = [
        "message.output_text.logprobs", "reasoning.encrypted_content", "file_search_call.results",
        "web_search_call.results", "web_search_call.action.sources", "message.input_image.image_url",
        "computer_call_output.output.image_url", "code_interpreter_call.outputs",
    ]

    /// Throws `invalidRequest` with the field as `param`.
    init(_ body: JSON, responseID: String) throws {
        var fields = try RequestFields(body)
        model = try fields.requiredString("model")
        input = try ResponseInput(&fields, responseID: responseID)
        instructions = try fields.string("instructions")
        previousID = try fields.string("previous_response_id")
        isBackground = try fields.bool("background") ?? false
        let store = try fields.bool("store")
        isStored = store ?? isBackground
        isStreamed = try fields.bool("stream") ?? false
        guard !isBackground || store != false else {
            throw fields.fault("store", "is false, but a response in the background must be kept until it is fetched")
        }
        _ = try SamplingFields.includesUsage(&fields, isStreamed: isStreamed)
        var sampling = Sampling()
        sampling.temperature = try fields.number("temperature", 0...2)
        sampling.topP = try fields.number("top_p", 0...1)
        sampling.topK = try fields.int("top_k", -1...SamplingFields.tokenLimit).map { max(0, $0) }
        sampling.minP = try fields.number("min_p", 0...1)
        let ignoresEnd = try fields.bool("ignore_eos") ?? false
        let maxTokens = try fields.int("max_output_tokens", 1...SamplingFields.tokenLimit)
        let top = try fields.int("top_logprobs", 0...20)
        hasLogprobs = try Self.wantsLogprobs(&fields) || (top ?? 0) > 0
        let tools = try ToolFields(flat: &fields)
        let variables = try TemplateVariables.read(&fields)
        let metadata = try fields.object("metadata")
        isTruncated = try fields.choice("truncation", ["auto", "disabled"]) == "auto"
        _ = try fields.int("max_tool_calls", 1...SamplingFields.tokenLimit)
        fields.ignore("reasoning")
        try SamplingFields.ignoreHarmless(&fields)
        try OtherServers.refuse(&fields, inResponse: true)
        try Self.refuse(&fields)
        try fields.finish()

        generation = GenerationRequest(
            prompt: .chat(messages: [], tools: tools.described), maxTokens: maxTokens, sampling: sampling,
            topLogprobs: hasLogprobs ? top ?? 0 : nil, ignoreEnd: ignoresEnd, form: tools.form,
            parallelToolCalls: tools.parallel, tenant: "", owner: "")
        generation.templateVariables = variables
        let given = fields.object
        echo = [
            "instructions": given["instructions"] ?? .null, "max_output_tokens": given["max_output_tokens"] ?? .null,
            "max_tool_calls": given["max_tool_calls"] ?? .null, "metadata": metadata ?? [:],
            "parallel_tool_calls": .bool(tools.parallel),
            "previous_response_id": previousID.map { .string($0) } ?? .null,
            "reasoning": ["effort": given["reasoning"]?["effort"] ?? .null, "summary": .null],
            "store": .bool(isStored), "temperature": given["temperature"] ?? 1.0,
            "text": ["format": given["text"]?["format"] ?? ["type": "text"]],
            "tool_choice": given["tool_choice"].flatMap { $0.isNull ? nil : $0 } ?? "auto",
            "tools": given["tools"].flatMap { $0.isNull ? nil : $0 } ?? [], "top_logprobs": JSON(top ?? 0),
            "top_p": given["top_p"] ?? 1.0, "truncation": isTruncated ? "auto" : "disabled",
            "user": given["user"] ?? .null,
            "service_tier": "default", "background": .bool(isBackground),
        ]
    }

    private static func wantsLogprobs(_ fields: inout RequestFields) throws -> Bool {
        let names = try fields.list("include") ?? []
        for name in names where !included.contains(name.string ?? "") {
            throw fields.fault("include", "has \(name.serialized().prefix(60)), which is not known; leave it out")
        }
        return names.contains("message.output_text.logprobs")
    }

    private static func refuse(_ fields: inout RequestFields) throws {
        try fields.unsupported("conversation", "use previous_response_id with store: true")
        try fields.unsupported("prompt", "there are no stored prompts; send input and instructions")
        try fields.unsupported("context_management", neutral: [[]], "send the items that matter")
        try fields.unsupported("moderation", "there is no moderation model here")
        try fields.unsupported("image", "models here answer with text")
        try fields.unsupported("access_programs", "there are none here")
        for (name, other) in otherNames where fields.object[name] != nil {
            try fields.unsupported(name, "in a response it is called \(other)")
        }
    }

    /// Fields of the other ways to ask for text, and what a response has in their place.
    private static let otherNames = [
        ("messages", "input"), ("prompt", "input"), ("max_tokens", "max_output_tokens"),
        ("max_completion_tokens", "max_output_tokens"), ("response_format", "text.format"),
        ("reasoning_effort", "reasoning.effort"), ("verbosity", "text.verbosity"),
    ]

    /// A fault that was found past the request's reading, with the field as it is called here.
    static func renamed(_ error: any Error) -> any Error {
        guard var fault = error as? MartletError, let name = otherNames.first(where: { $0.0 == fault.param }) else {
            return error
        }
        fault.param = name.1
        return fault
    }

    /// The whole prompt: instructions and the messages, the input's last.
    func request(_ messages: [JSON]) -> GenerationRequest {
        var request = generation
        guard case .chat(_, let tools) = generation.prompt else { return request }
        let system: [JSON] = instructions.map { [["role": "system", "content": .string($0)]] } ?? []
        request.prompt = .chat(messages: system + messages, tools: tools)
        return request
    }
}

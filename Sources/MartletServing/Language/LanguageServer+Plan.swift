import MartletModels
import MartletText
import MartletWire

/// A request as it is planned: its tokens and what it is held to.
extension LanguageServer {
    func plan(
        _ request: GenerationRequest, id: RequestID, arrived: UInt64,
        emit: @escaping @Sendable (Result<GenerationEvent, MartletError>) -> Void
    ) throws -> GenerationPlan {
        guard bounds.generates else {
            throw MartletError(
                .invalidRequest, "\(name) makes vectors of texts and no text; ask it at /v1/embeddings", param: "model")
        }
        let settings = try SamplingSettings(
            request, defaults: text.sampling, endTokens: text.vocabulary.endTokens,
            vocabularyCount: bounds.vocabularyCount)
        guard request.choiceCount >= 1 else {
            throw MartletError(.invalidRequest, "n is \(request.choiceCount); ask for 1 or more", param: "n")
        }
        let prompt = try tokens(of: request)
        guard !prompt.isEmpty else {
            throw MartletError(.invalidRequest, "the prompt has no tokens; give some text", param: "prompt")
        }
        let room: Int
        if let sourceLength = bounds.sourceLength {
            guard prompt.count <= sourceLength else { throw tooLong(prompt.count, Self.param(request.prompt)) }
            guard !request.echo else {
                throw MartletError(
                    .invalidRequest, "echo is not supported by \(name): its answer does not go on with the prompt",
                    param: "echo")
            }
            room = bounds.contextLength
        } else {
            guard prompt.count < bounds.contextLength else { throw tooLong(prompt.count, Self.param(request.prompt)) }
            room = bounds.contextLength - prompt.count
        }
        let wanted = request.maxTokens ?? room
        guard wanted >= 1 || (wanted == 0 && request.echo) else {
            throw MartletError(.invalidRequest, "max_tokens is \(wanted); ask for 1 or more", param: "max_tokens")
        }
        var plan = GenerationPlan(
            id: id, prompt: prompt, choiceCount: request.choiceCount, maxTokens: min(wanted, room),
            settings: settings, stops: request.stop, ignoresEnd: request.ignoreEnd,
            echo: request.echo ? try echoed(request.prompt, prompt) : nil, tenant: request.tenant,
            owner: request.owner,
            deadline: MonotonicTime.deadline(request.deadlineMicroseconds, from: arrived), arrived: arrived, emit: emit)
        plan.readsSource = bounds.sourceLength != nil
        plan.dropsFirstSpace = text.dropsFirstSpace
        plan.isBackground = request.isBackground
        if case .chat = request.prompt {} else { plan.tellsEnd = settings.topLogprobs != nil }
        try constraints.apply(request, to: &plan)
        plan.adapter = try request.adapter.map(lease)
        return plan
    }

    func lease(_ reference: AdapterReference) throws -> AdapterLease {
        guard let adapters else {
            throw MartletError(.invalidRequest, "\(name) is served without adapters", param: "model")
        }
        return try adapters.lease(reference)
    }

    private func tokens(of request: GenerationRequest) throws -> [Int32] {
        switch request.prompt {
        case .text(let text): try encode(text, special: true, param: "prompt")
        case .tokens(let tokens): try checked(tokens, param: "prompt")
        case .chat(let messages, let tools):
            try encode(rendered(messages, tools, request.templateVariables), special: false, param: "messages")
        }
    }

    /// - Parameter variables: an object, what the request gives the template beside the rest.
    func rendered(_ messages: [JSON], _ tools: [JSON], _ variables: JSON) throws -> String {
        guard let render = text.render else {
            throw MartletError(
                .invalidRequest,
                "\(name) has no chat template; use /v1/completions, or import the model with its template",
                param: "messages")
        }
        let variables = variables.object ?? [:]
        do {
            return try render(messages, tools, variables)
        } catch let error as MartletError where error.code == .invalidData && variables.count > 0 {
            // The template was read with the model, and these may be what it cannot take.
            throw MartletError(
                .invalidRequest, "with these 'chat_template_kwargs', \(error.message)", param: "chat_template_kwargs")
        }
    }

    func encode(_ text: String, special: Bool, param: String) throws -> [Int32] {
        // A token stands for 128 bytes at the most in any vocabulary that is used; what is longer cannot fit.
        let bytes = text.utf8.count
        guard bytes / 128 <= bounds.textLength else { throw tooLong(bytes / 128, param) }
        return try checked(self.text.encode(text, special), param: param)
    }

    func checked(_ tokens: [Int], param: String) throws -> [Int32] {
        try tokens.map { token in
            guard token >= 0, token < bounds.vocabularyCount else {
                let hint = param == "input" ? " (LangChain: check_embedding_ctx_length=False sends text)" : ""
                throw MartletError(
                    .invalidRequest,
                    "\(param) has token \(token); the model has 0 to \(bounds.vocabularyCount - 1): send text, or ids that "
                        + "this model's own tokenizer gave" + hint,
                    param: param)
            }
            return Int32(token)
        }
    }

    private func echoed(_ prompt: GenerationRequest.Prompt, _ tokens: [Int32]) throws -> String {
        if case .text(let text) = prompt { return text }
        return try text.decode(tokens.map { Int($0) })
    }

    private static func param(_ prompt: GenerationRequest.Prompt) -> String {
        if case .chat = prompt { "messages" } else { "prompt" }
    }

    func tooLong(_ count: Int, _ param: String) -> MartletError {
        MartletError(
            .contextLengthExceeded,
            "this model's maximum context length is \(bounds.textLength) tokens, and your "
                + "\(param == "messages" ? "prompt" : param) has \(count) or more; shorten it",
            param: param)
    }
}

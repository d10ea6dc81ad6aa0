import Hummingbird
import MartletPlatform
import MartletWire

/// `/tokenize` and `/detokenize`, as other servers of language models have them.
struct TokenRoutes {
    let platform: Platform

    /// `{model, prompt}` or `{model, messages, tools, chat_template_kwargs}` → `{count, max_model_len, tokens}`.
    func tokenize(_ call: Call) async throws -> Response {
        try call.checkQuery()
        var fields = try RequestFields(try await call.json())
        let model = try fields.requiredString("model")
        let input: TokenizeRequest.Input
        var variables: JSON = [:]
        let hasMessages = fields.value("messages") != nil
        if let text = try fields.string("prompt") {
            guard !hasMessages else {
                throw fields.fault("prompt", "and '\(fields.param("messages"))' are both given; give one of the two")
            }
            input = .text(text)
        } else if hasMessages {
            let messages = try ChatMessages.read(&fields)
            let tools = try ToolFields(&fields).described
            variables = try TemplateVariables.read(&fields)
            input = .chat(
                VerbatimJSON(wrappedValue: .array(messages)), tools: VerbatimJSON(wrappedValue: .array(tools)))
        } else {
            throw fields.fault("prompt", "is missing; give a prompt or messages")
        }
        // A chat's template writes them itself, where the model wants any: so the count is what a chat is billed.
        var isChat = false
        if case .chat = input { isChat = true }
        let addsSpecial = try fields.bool("add_special_tokens") ?? !isChat
        try OtherServers.refuse(&fields)
        try fields.finish()
        let request = TokenizeRequest(input: input, addSpecialTokens: addsSpecial, templateVariables: variables)
        let reply = try await platform.deployments.tokenize(model: model, request: request, by: call.caller())
        return .document([
            "count": JSON(reply.tokens.count), "max_model_len": JSON(reply.contextLength),
            "tokens": .array(reply.tokens.map { JSON($0) }),
        ])
    }

    /// `{model, tokens}` → `{prompt}`.
    func detokenize(_ call: Call) async throws -> Response {
        try call.checkQuery()
        var fields = try RequestFields(try await call.json())
        let model = try fields.requiredString("model")
        guard let list = try fields.list("tokens") else { throw fields.fault("tokens", "is missing; add it") }
        let tokens = list.isEmpty ? [] : try TokenIDs.read(list, "tokens")
        try fields.finish()
        let reply = try await platform.deployments.detokenize(model: model, tokens: tokens, by: call.caller())
        return .document(["prompt": .string(reply.text)])
    }
}

import MartletWire

/// `chat_template_kwargs`, as other servers have it: what a request gives the model's chat template beside the messages
/// and the tools, such as `{"enable_thinking": false}`.
enum TemplateVariables {
    private static let name = "chat_template_kwargs"
    private static let reserved: Set<String> = [
        "messages", "tools", "add_generation_prompt", "continue_final_message", "chat_template", "tokenize",
        "raise_exception", "strftime_now", "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token",
        "mask_token",
    ]

    /// An object, empty where the request has none.
    /// - Throws: `invalidRequest` where it is no object or has a name that is the server's to set.
    static func read(_ fields: inout RequestFields) throws -> JSON {
        guard let given = try fields.object(name) else { return [:] }
        if let key = given.object?.keys.first(where: reserved.contains) {
            throw fields.fault(name, "has '\(key)', which the server sets itself; leave it out")
        }
        return given
    }

    /// Refused where nothing is rendered.
    static func refuse(_ fields: inout RequestFields) throws {
        try fields.unsupported(name, neutral: [[:]], "a text goes to the model as it is; use /v1/chat/completions")
    }
}

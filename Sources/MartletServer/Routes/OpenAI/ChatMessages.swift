import MartletWire

/// The messages of a chat, checked, in the form that templates read.
enum ChatMessages {
    private static let countLimit = 4096

    /// Developer messages become system messages, text parts one text, and the arguments of calls objects. Throws
    /// `invalidRequest` that names the message and field.
    static func read(_ fields: inout RequestFields) throws -> [JSON] {
        guard let list = try fields.list("messages") else { throw fields.fault("messages", "is missing; add it") }
        guard (1...countLimit).contains(list.count) else {
            throw fields.fault("messages", "has \(list.count) messages; send 1 to \(countLimit)")
        }
        return try list.enumerated().map { index, value in
            try message(value, path: fields.param("messages[\(index)]"))
        }
    }

    /// One message, checked.
    static func message(_ value: JSON, path: String) throws -> JSON {
        var fields = try RequestFields(value, path: path)
        guard let role = try fields.choice("role", ["system", "developer", "user", "assistant", "tool"]) else {
            throw fields.fault("role", "is missing; add it")
        }
        var message: JSONObject = ["role": .string(role == "developer" ? "system" : role)]
        if let name = try fields.string("name") { message["name"] = .string(name) }
        // Beginnings that prompts share are always kept.
        fields.ignore("cache_control")
        switch role {
        case "assistant": try assistant(&fields, &message)
        case "tool":
            message["content"] = .string(try text(&fields))
            message["tool_call_id"] = .string(try fields.requiredString("tool_call_id"))
        default: message["content"] = .string(try text(&fields))
        }
        try fields.finish()
        return .object(message)
    }

    /// What the client got as an answer may come back as it was.
    private static func assistant(_ fields: inout RequestFields, _ message: inout JSONObject) throws {
        let calls = try fields.list("tool_calls") ?? []
        let refusal = try fields.string("refusal")
        // The last is LiteLLM's, in every answer that it gives to its callers.
        fields.ignore("annotations", "parsed", "provider_specific_fields")
        // What a model thought, as other servers tell it: a template that wants it reads it.
        let thought = (try fields.string("reasoning_content"), try fields.string("reasoning"))
        if let thought = thought.0 ?? thought.1 { message["reasoning_content"] = .string(thought) }
        try fields.unsupported("audio", "models here answer with text")
        try fields.unsupported("function_call", "use tool_calls")
        if fields.value("content") != nil {
            message["content"] = .string(try text(&fields))
        } else if let refusal {
            message["content"] = .string(refusal)
        } else if calls.isEmpty {
            throw fields.fault("content", "is missing; give a text or tool_calls")
        } else {
            message["content"] = .null
        }
        guard !calls.isEmpty else { return }
        message["tool_calls"] = .array(
            try calls.enumerated().map { index, call in
                try toolCall(call, path: fields.param("tool_calls[\(index)]"))
            })
    }

    private static func toolCall(_ value: JSON, path: String) throws -> JSON {
        var fields = try RequestFields(value, path: path)
        let id = try fields.requiredString("id")
        guard try fields.choice("type", ["function"]) != nil else { throw fields.fault("type", "is missing; add it") }
        var function = try RequestFields(try fields.required("function"), path: fields.param("function"))
        fields.ignore("index")
        try fields.finish()
        let name = try function.requiredString("name")
        let arguments = try function.requiredString("arguments")
        function.ignore("parsed_arguments")
        try function.finish()
        return call(id: id, name: name, arguments: arguments)
    }

    /// A call as templates read it: they print the arguments as JSON, or walk over them; what does not parse is shown as
    /// it was. Of a function without arguments some clients send an empty text.
    static func call(id: String, name: String, arguments: String) -> JSON {
        let read: JSON? = arguments.isEmpty ? [:] : try? JSONParser.parse(arguments)
        let parsed = read.flatMap { $0.object == nil ? nil : $0 }
        return [
            "id": .string(id), "type": "function",
            "function": ["name": .string(name), "arguments": parsed ?? .string(arguments)],
        ]
    }

    /// A text, or parts that are all texts, one line each.
    static func text(_ fields: inout RequestFields, _ name: String = "content") throws -> String {
        switch try fields.required(name) {
        case .string(let text): return text
        case .array(let parts):
            return try parts.enumerated().map { index, part in
                try self.part(part, path: fields.param("\(name)[\(index)]"))
            }.joined(separator: "\n")
        case let other:
            throw fields.fault(name, "is \(other.kind) but must be a string or a list of parts; mend it")
        }
    }

    private static func part(_ value: JSON, path: String) throws -> String {
        var fields = try RequestFields(value, path: path)
        switch try fields.requiredString("type") {
        case "text", "input_text", "output_text":
            let text = try fields.requiredString("text")
            fields.ignore("annotations", "logprobs", "prompt_cache_breakpoint", "cache_control")
            try fields.finish()
            return text
        case "refusal":
            let text = try fields.requiredString("refusal")
            try fields.finish()
            return text
        case let type:
            throw fields.fault("type", "is '\(type.prefix(40))'; only text can be read here, no images, sound or files")
        }
    }
}

/// One message of a line, as the chat API takes it, in the form that templates read: developer messages become system
/// messages, text parts one text, and the arguments of calls objects.
struct TuningMessage {
    enum Role: String, CaseIterable { case system, developer, user, assistant, tool }

    let role: Role
    let json: JSON
    /// 0 keeps the loss off an assistant's message.
    let weight: Int
    /// Of a tool's answer.
    let callID: String?
    /// Of the calls that it makes.
    let callIDs: [String]

    init(_ value: JSON, path: String) throws {
        var fields = try TuningFields(value, path: path)
        let name = try fields.text("role")
        guard let known = Role(rawValue: name) else {
            throw fields.fault(
                "role", "is '\(name.prefix(60))'; use \(Role.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        role = known == .developer ? .system : known
        var message: JSONObject = ["role": .string(role.rawValue)]
        if let name = try fields.optionalText("name") { message["name"] = .string(name) }
        var calls: [(id: String, json: JSON)] = []
        switch role {
        case .assistant:
            calls = try fields.optionalList("tool_calls").enumerated().map { index, call in
                try Self.call(call, path: fields.param("tool_calls[\(index)]"))
            }
            if fields.has("function_call") { throw fields.fault("function_call", "is not read; use tool_calls") }
            let text = try fields.optionalContent() ?? fields.optionalText("refusal")
            fields.ignore("refusal", "annotations", "audio", "parsed")
            guard let text, text.contains(where: { !$0.isWhitespace }) else {
                guard !calls.isEmpty else {
                    throw fields.fault("content", "of the assistant is empty; give a text or tool_calls")
                }
                message["content"] = .null
                break
            }
            message["content"] = .string(text)
        case .tool:
            message["content"] = .string(try fields.content())
            message["tool_call_id"] = .string(try fields.text("tool_call_id"))
        default: message["content"] = .string(try fields.content())
        }
        if !calls.isEmpty { message["tool_calls"] = .array(calls.map(\.json)) }
        callIDs = calls.map(\.id)
        callID = role == .tool ? message["tool_call_id"]?.string : nil
        weight = try Self.weight(&fields, role)
        json = .object(message)
        try fields.finish()
        guard Set(callIDs).count == callIDs.count else {
            throw fields.fault("tool_calls", "has one id twice; give each call its own")
        }
    }

    private static func weight(_ fields: inout TuningFields, _ role: Role) throws -> Int {
        guard let value = fields.value("weight") else { return 1 }
        guard role == .assistant else {
            throw fields.fault("weight", "stands on a message of the \(role.rawValue)'s; only the assistant's has one")
        }
        guard let weight = value.int, weight == 0 || weight == 1 else {
            throw fields.fault("weight", "is \(value.serialized().prefix(40)); give 0 or 1")
        }
        return weight
    }

    private static func call(_ value: JSON, path: String) throws -> (id: String, json: JSON) {
        var fields = try TuningFields(value, path: path)
        let id = try fields.text("id")
        guard try fields.text("type") == "function" else {
            throw fields.fault("type", "is not 'function', the only kind")
        }
        fields.ignore("index")
        var function = try TuningFields(try fields.required("function"), path: fields.param("function"))
        try fields.finish()
        let name = try function.text("name")
        let arguments = try function.text("arguments")
        guard let parsed = try? JSONParser.parse(arguments), parsed.object != nil else {
            throw function.fault("arguments", "is not the text of a JSON object; write \"{\\\"key\\\": 1}\"")
        }
        function.ignore("parsed_arguments")
        try function.finish()
        return (
            id,
            [
                "id": .string(id), "type": "function",
                "function": ["name": .string(name), "arguments": parsed],
            ]
        )
    }
}

/// A line's `tools`, checked, as templates describe them.
enum TuningTools {
    static func read(_ fields: inout TuningFields) throws -> [JSON] {
        for name in ["functions", "function_call"] where fields.has(name) {
            throw fields.fault(name, "is not read; use tools and tool_calls")
        }
        if let parallel = fields.value("parallel_tool_calls"), parallel.bool == nil {
            throw fields.fault("parallel_tool_calls", "is \(parallel.kind) but must be true or false")
        }
        var names: Set<String> = []
        return try fields.optionalList("tools").enumerated().map { index, value in
            var tool = try TuningFields(value, path: fields.param("tools[\(index)]"))
            guard try tool.text("type") == "function" else {
                throw tool.fault("type", "is not 'function', the only kind of tool")
            }
            var function = try TuningFields(try tool.required("function"), path: tool.param("function"))
            try tool.finish()
            let name = try function.text("name")
            guard names.insert(name).inserted else {
                throw function.fault("name", "'\(name.prefix(60))' stands twice; give each tool its own name")
            }
            var described: JSONObject = ["name": .string(name)]
            if let text = try function.optionalText("description") { described["description"] = .string(text) }
            let parameters = function.value("parameters") ?? ["type": "object", "properties": [:]]
            guard parameters.object != nil else {
                throw function.fault("parameters", "is \(parameters.kind) but must be a JSON schema, an object")
            }
            described["parameters"] = parameters
            function.ignore("strict")
            try function.finish()
            return ["type": "function", "function": .object(described)]
        }
    }
}

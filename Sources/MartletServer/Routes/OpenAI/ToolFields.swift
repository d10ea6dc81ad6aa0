import MartletWire

/// Tools, the choice among them, and the form of an answer.
struct ToolFields {
    /// As the template describes them: `{"type":"function","function":{…}}`.
    var described: [JSON] = []
    var tools: [GenerationRequest.Tool] = []
    var form = GenerationRequest.Form.text
    var parallel = true

    static let toolLimit = 128
    /// Bytes of names and texts, and eight for each value, of all schemas of a request: reading and describing more of
    /// them would keep others waiting.
    private static let schemaLimit = 1 << 20
    private var schemaBytes = 0

    /// From chat completions: functions are nested, as is the choice of one.
    init(_ fields: inout RequestFields) throws {
        // Functions that must not be called are as none.
        if fields.value("function_call") != "none" { try fields.unsupported("functions", neutral: [[]], "use tools") }
        fields.ignore("functions")
        try fields.unsupported("function_call", neutral: ["none", "auto"], "use tool_choice")
        for (index, value) in (try fields.list("tools") ?? []).enumerated() {
            var tool = try RequestFields(value, path: fields.param("tools[\(index)]"))
            try Self.checkType(&tool)
            let function = try tool.required("function")
            tool.ignore("cache_control")
            try tool.finish()
            try add(function, path: tool.param("function"))
        }
        try choose(&fields, isNested: true)
        parallel = try fields.bool("parallel_tool_calls") ?? true
        if let format = try fields.object("response_format") {
            try setFormat(format, param: fields.param("response_format"), nested: "json_schema")
        }
    }

    /// From responses: functions and the format's schema lie flat.
    init(flat fields: inout RequestFields) throws {
        for (index, value) in (try fields.list("tools") ?? []).enumerated() {
            let path = fields.param("tools[\(index)]")
            var tool = try RequestFields(value, path: path)
            try Self.checkType(&tool)
            guard var object = value.object else { continue }
            object["type"] = nil
            try add(.object(object), path: path)
        }
        try choose(&fields, isNested: false)
        parallel = try fields.bool("parallel_tool_calls") ?? true
        guard let text = try fields.object("text") else { return }
        var inner = try RequestFields(text, path: fields.param("text"))
        _ = try inner.choice("verbosity", ["low", "medium", "high"])
        if let format = try inner.object("format") {
            try setFormat(format, param: inner.param("format"), nested: nil)
        }
        try inner.finish()
    }

    private mutating func count(_ schema: JSON, param: String) throws {
        var work = [schema]
        while let value = work.popLast(), schemaBytes <= Self.schemaLimit {
            schemaBytes += 8
            switch value {
            case .string(let text): schemaBytes += text.utf8.count
            case .array(let items): work += items
            case .object(let object):
                for (key, value) in object {
                    schemaBytes += key.utf8.count
                    work.append(value)
                }
            default: break
            }
        }
        guard schemaBytes <= Self.schemaLimit else {
            throw MartletError(
                .invalidRequest, "'\(param)' is too large: all schemas together may have 1 MiB; make them smaller",
                param: param)
        }
    }

    private static func checkType(_ tool: inout RequestFields) throws {
        let type = try tool.requiredString("type")
        guard type == "function" else {
            throw tool.fault("type", "is '\(type.prefix(40))'; only tools of type function can be called here")
        }
    }

    private mutating func add(_ value: JSON, path: String) throws {
        var fields = try RequestFields(value, path: path)
        let name = try fields.requiredString("name")
        let isName = name.utf8.allSatisfy { byte in
            byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || (0x30...0x39).contains(byte)
                || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        }
        guard isName, (1...64).contains(name.utf8.count) else {
            throw fields.fault("name", "is '\(name.prefix(60))'; use 1 to 64 letters, digits, '_' and '-'")
        }
        guard !tools.contains(where: { $0.name == name }) else {
            throw fields.fault("name", "'\(name)' stands twice; give each tool its own name")
        }
        guard tools.count < Self.toolLimit else {
            throw fields.fault("name", "is one too many; give at most \(Self.toolLimit) tools")
        }
        var function: JSONObject = ["name": .string(name)]
        if let description = try fields.string("description") { function["description"] = .string(description) }
        let parameters = try fields.object("parameters") ?? ["type": "object", "properties": [:]]
        try count(parameters, param: fields.param("parameters"))
        function["parameters"] = parameters
        // What is generated always fits the schema.
        _ = try fields.bool("strict")
        try fields.unsupported("async", neutral: [false], "every call is answered before the next turn")
        try fields.unsupported("defer_loading", neutral: [false], "every tool is described to the model")
        fields.ignore("output_schema", "allowed_callers")
        try fields.finish()
        described.append(["type": "function", "function": .object(function)])
        tools.append(GenerationRequest.Tool(name: name, parameters: parameters))
    }

    /// - Parameter isNested: whether what is said of a function stands in an object of its own.
    private mutating func choose(_ fields: inout RequestFields, isNested: Bool) throws {
        let choice = fields.value("tool_choice")
        switch choice {
        case nil: form = tools.isEmpty ? .text : .tools(tools)
        case .string("auto"): form = tools.isEmpty ? .text : .tools(tools)
        case .string("none"):
            form = .text
            described = []
        case .string("required"):
            guard !tools.isEmpty else {
                throw fields.fault("tool_choice", "is 'required' but there are no tools; add some")
            }
            form = .requiredTools(tools)
        case .object?:
            var named = try RequestFields(choice ?? .null, path: fields.param("tool_choice"))
            switch try named.requiredString("type") {
            case "function": form = .requiredTools([try tool(&named, isNested: isNested)])
            case "allowed_tools": form = try allowed(&named, isNested: isNested)
            case let type: throw named.fault("type", "is '\(type.prefix(40))'; use function or allowed_tools")
            }
            try named.finish()
        case let other?:
            throw fields.fault(
                "tool_choice", "is \(other.serialized().prefix(60)); use none, auto, required or a function by name")
        }
    }

    /// One of the tools, by the name that stands in `fields`.
    private func tool(_ fields: inout RequestFields, isNested: Bool) throws -> GenerationRequest.Tool {
        let name: String
        if isNested {
            var function = try RequestFields(try fields.required("function"), path: fields.param("function"))
            name = try function.requiredString("name")
            try function.finish()
        } else {
            name = try fields.requiredString("name")
        }
        guard let tool = tools.first(where: { $0.name == name }) else {
            throw MartletError(
                .invalidRequest, "'tool_choice' names '\(name.prefix(60))', which is not among the tools; add it",
                param: "tool_choice")
        }
        return tool
    }

    /// Some of the tools: the others are described to the model all the same, so that a conversation's beginning stays
    /// as it is while what may be called changes.
    private func allowed(_ choice: inout RequestFields, isNested: Bool) throws -> GenerationRequest.Form {
        var fields = choice
        if isNested {
            fields = try RequestFields(try choice.required("allowed_tools"), path: choice.param("allowed_tools"))
        }
        guard let mode = try fields.choice("mode", ["auto", "required"]) else {
            throw fields.fault("mode", "is missing; add it")
        }
        guard let list = try fields.list("tools"), !list.isEmpty else {
            throw fields.fault("tools", "is missing; name the tools that may be called")
        }
        let tools = try list.enumerated().map { index, value in
            var named = try RequestFields(value, path: fields.param("tools[\(index)]"))
            try Self.checkType(&named)
            let tool = try tool(&named, isNested: isNested)
            try named.finish()
            return tool
        }
        if isNested { try fields.finish() } else { choice = fields }
        return mode == "auto" ? .tools(tools) : .requiredTools(tools)
    }

    private mutating func setFormat(_ value: JSON, param: String, nested: String?) throws {
        var fields = try RequestFields(value, path: param)
        let type = try fields.requiredString("type")
        // Nothing is any object.
        var wanted: JSON?
        switch type {
        case "text":
            try fields.finish()
            return
        case "json_object":
            try fields.unsupported("schema", "give it with the type json_schema")
        case "json_schema":
            if let nested {
                var inner = try RequestFields(try fields.required(nested), path: fields.param(nested))
                wanted = try schema(&inner)
                try inner.finish()
            } else {
                wanted = try schema(&fields)
            }
        default: throw fields.fault("type", "is '\(type.prefix(40))'; use text, json_object or json_schema")
        }
        try fields.finish()
        switch form {
        case .text: form = wanted.map { .jsonSchema($0) } ?? .jsonObject
        case .tools(let tools): form = .jsonOrTools(tools, schema: wanted)
        // Where a function must be called there is no text that could have a form.
        default: break
        }
    }

    private mutating func schema(_ fields: inout RequestFields) throws -> JSON {
        _ = try fields.requiredString("name")
        _ = try fields.string("description")
        _ = try fields.bool("strict")
        let schema = try fields.object("schema") ?? [:]
        try count(schema, param: fields.param("schema"))
        return schema
    }
}

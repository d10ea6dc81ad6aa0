import MartletWire

/// How a family of models writes calls of functions.
public struct ToolCallFormat: Sendable, Equatable {
    /// What begins the calls, and what ends them.
    public var begin: String
    public var end: String
    /// What stands around each call.
    public var open: String
    public var close: String
    public var separator: String
    /// The key of a call's arguments.
    public var argumentsKey: String
    /// Whether the format has a way to write several calls.
    public var allowsSeveral: Bool

    /// Hermes and Qwen 2.5 and 3: `<tool_call>` around each call.
    public static let hermes = ToolCallFormat(
        begin: "", end: "", open: "<tool_call>\n", close: "\n</tool_call>", separator: "\n", argumentsKey: "arguments",
        allowsSeveral: true)

    /// Mistral: `[TOOL_CALLS]` and one list.
    public static let mistral = ToolCallFormat(
        begin: "[TOOL_CALLS] [", end: "]", open: "", close: "", separator: ", ", argumentsKey: "arguments",
        allowsSeveral: true)

    /// Llama 3: the bare object, with `parameters`.
    public static let llama3 = ToolCallFormat(
        begin: "", end: "", open: "", close: "", separator: "; ", argumentsKey: "parameters", allowsSeveral: false)

    /// The format that a chat template speaks of; nil where it knows no tools.
    public static func named(by template: String) -> ToolCallFormat? {
        if template.contains("<tool_call>") { return .hermes }
        if template.contains("[TOOL_CALLS]") { return .mistral }
        if template.contains("tool_calls"), template.contains("\"parameters\"") { return .llama3 }
        return template.contains("tool_calls") ? .hermes : nil
    }

    /// Marks that some vocabularies have a special token for.
    public static let marks = ["<tool_call>", "</tool_call>", "[TOOL_CALLS]"]

    /// The mark that calls begin with; nil where a call is a bare object.
    var mark: String? { Self.mark(of: begin + open) }

    /// Whether a call is an object as other JSON is, with nothing before it.
    public var isBare: Bool { (begin + open).isEmpty }

    /// The mark that a text begins with.
    fileprivate static func mark(of text: String) -> String? { marks.first { text.hasPrefix($0) } }
}

extension ConstraintBuilder {
    /// The most calls in one answer.
    private static let mostCalls = 64

    mutating func toolCalls(
        _ tools: [GenerationRequest.Tool], _ format: ToolCallFormat, isParallel: Bool, markers: [String: Int], from: Int
    ) throws -> Int {
        let start = try marked(format.begin + (ToolCallFormat.mark(of: format.open) ?? ""), markers, from: from)
        return try calls(of: tools, format, isParallel: isParallel, markers: markers, from: start)
    }

    /// Calls from behind the mark that the first begins with, or behind the one that all begin with.
    mutating func calls(
        of tools: [GenerationRequest.Tool], _ format: ToolCallFormat, isParallel: Bool, markers: [String: Int],
        from: Int
    ) throws -> Int {
        guard !tools.isEmpty else { throw MartletError(.invalidRequest, "'tools' is empty; name a function") }
        let isParallel = isParallel && format.allowsSeveral
        let mark = ToolCallFormat.mark(of: format.open) ?? ""
        let entry = try state()
        join(from, entry)
        let first = try state()
        let again = try state()
        join(try marked(format.separator + mark, markers, from: again), first)
        let open = OpenRepetition(entry: entry, first: first, again: again)
        let inside = try marked(String(format.open.dropFirst(mark.count)), markers, from: first)
        let called = try call(of: tools, format, from: inside)
        let end = try marked(format.close, markers, from: called)
        let calls = try close(open, at: end, minimum: 1, maximum: isParallel ? Self.mostCalls : 1)
        return try marked(format.end, markers, from: calls)
    }

    private mutating func call(
        of tools: [GenerationRequest.Tool], _ format: ToolCallFormat, from: Int
    ) throws -> Int {
        try Self.checkNames(tools)
        return try alternatives(tools.count, from: from) { builder, index, start in
            let tool = tools[index]
            var end = try builder.literal("{\"name\": ", from: start)
            end = try builder.jsonLiteral(tool.name, from: end)
            end = try builder.literal(", \"\(format.argumentsKey)\": ", from: end)
            end = try builder.arguments(of: tool, from: end)
            return try builder.literal("}", from: end)
        }
    }

    static func checkNames(_ tools: [GenerationRequest.Tool]) throws {
        var seen: Set<String> = []
        for tool in tools where !seen.insert(tool.name).inserted {
            throw MartletError(.invalidRequest, "two tools are named '\(tool.name)'; rename one", param: "tools")
        }
    }

    mutating func arguments(of tool: GenerationRequest.Tool, from: Int) throws -> Int {
        let before = checkpoint(at: from)
        do {
            return try SchemaCompiler.add(Self.arguments(tool.parameters), to: &self, from: from)
        } catch var error as MartletError {
            guard !loosensTools else {
                goBack(to: before)
                return try jsonObject(from: from)
            }
            error.message = "the tool '\(tool.name)': " + error.message
            error.param = "tools"
            throw error
        }
    }

    /// Arguments are an object, whatever the schema leaves open.
    private static func arguments(_ schema: JSON) -> JSON {
        guard var object = schema.object else {
            return schema.isNull || schema.bool == true ? ["type": "object"] : schema
        }
        let choices = ["type", "$ref", "anyOf", "oneOf", "allOf", "const", "enum"]
        if !choices.contains(where: { object[$0] != nil }) { object["type"] = "object" }
        return .object(object)
    }

    /// `text` with its marks as special tokens where the vocabulary has them.
    private mutating func marked(_ text: String, _ markers: [String: Int], from: Int) throws -> Int {
        var current = from
        var rest = Substring(text)
        while !rest.isEmpty {
            if let mark = ToolCallFormat.mark(of: String(rest)) {
                current = try marker(mark, token: markers[mark], from: current)
                rest = rest.dropFirst(mark.count)
            } else {
                current = try literal(String(rest.removeFirst()), from: current)
            }
        }
        return current
    }
}

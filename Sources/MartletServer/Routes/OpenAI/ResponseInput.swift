import MartletWire

/// The input of a response: a text, or items of a conversation, as messages for the template.
struct ResponseInput {
    /// As templates read them.
    var messages: [JSON] = []
    /// As `input_items` gives them back.
    var items: [JSON] = []

    private static let itemLimit = 4096
    /// How often items of one request got an id of their own.
    private let idPrefix: String

    /// `responseID` makes the items' ids unique. Throws `invalidRequest` that names the item and field.
    init(_ fields: inout RequestFields, responseID: String) throws {
        idPrefix = String(responseID.dropFirst("resp_".count))
        switch try fields.required("input") {
        case .string(let text):
            messages = [["role": "user", "content": .string(text)]]
            items = [message("user", text)]
        case .array(let list):
            guard (1...Self.itemLimit).contains(list.count) else {
                throw fields.fault("input", "has \(list.count) items; send 1 to \(Self.itemLimit)")
            }
            for (index, item) in list.enumerated() { try add(item, path: "input[\(index)]") }
        case let other:
            throw fields.fault("input", "is \(other.kind) but must be a text or a list of items; mend it")
        }
    }

    private mutating func add(_ value: JSON, path: String) throws {
        var fields = try RequestFields(value, path: path)
        switch try fields.string("type") ?? "message" {
        case "message": try addMessage(&fields, path)
        case "function_call": try addCall(&fields)
        case "function_call_output": try addOutput(&fields)
        case "reasoning": break
        case "item_reference":
            throw fields.fault(
                "type",
                "is 'item_reference'; send the item itself (clients that refer to what they were told do so with store: "
                    + "false), or previous_response_id of a response with store: true")
        case let type:
            throw fields.fault(
                "type", "is '\(type.prefix(60))'; taken are message, function_call, function_call_output and reasoning")
        }
    }

    private mutating func addMessage(_ fields: inout RequestFields, _ path: String) throws {
        fields.ignore("id", "status", "phase")
        guard let role = try fields.choice("role", ["user", "system", "developer", "assistant"]) else {
            throw fields.fault("role", "is missing; add it")
        }
        guard fields.value("content") != nil || fields.value("refusal") != nil else {
            throw fields.fault("content", "is missing; give a text or a list of parts")
        }
        if fields.value("tool_calls") != nil {
            throw fields.fault("tool_calls", "is no field of an item; send each call as an item of type function_call")
        }
        // The rest is a message as chat completions have it.
        var object = fields.object
        for name in ["type", "id", "status", "phase"] { object[name] = nil }
        let message = try ChatMessages.message(.object(object), path: path)
        messages.append(message)
        items.append(self.message(role == "developer" ? "system" : role, message["content"]?.string ?? ""))
    }

    private mutating func addCall(_ fields: inout RequestFields) throws {
        fields.ignore("id", "status", "caller", "namespace", "parsed_arguments", "async")
        let id = try fields.requiredString("call_id")
        let name = try fields.requiredString("name")
        let arguments = try fields.requiredString("arguments")
        try fields.finish()
        Self.append(call: ChatMessages.call(id: id, name: name, arguments: arguments), to: &messages)
        items.append([
            "id": .string("fc_\(idPrefix)_\(items.count)"), "type": "function_call", "status": "completed",
            "call_id": .string(id), "name": .string(name), "arguments": .string(arguments),
        ])
    }

    private mutating func addOutput(_ fields: inout RequestFields) throws {
        fields.ignore("id", "status", "caller", "name", "namespace")
        let id = try fields.requiredString("call_id")
        let text = try ChatMessages.text(&fields, "output")
        try fields.finish()
        messages.append(["role": "tool", "tool_call_id": .string(id), "content": .string(text)])
        items.append([
            "id": .string("fco_\(idPrefix)_\(items.count)"), "type": "function_call_output", "status": "completed",
            "call_id": .string(id), "output": .string(text),
        ])
    }

    private func message(_ role: String, _ text: String) -> JSON {
        let part: JSON =
            role == "assistant"
            ? ["type": "output_text", "text": .string(text), "annotations": [], "logprobs": []]
            : ["type": "input_text", "text": .string(text)]
        return [
            "id": .string("msg_\(idPrefix)_\(items.count)"), "type": "message", "status": "completed",
            "role": .string(role), "content": [part],
        ]
    }

    /// Calls of one turn belong to one message of the assistant.
    static func append(call: JSON, to messages: inout [JSON]) {
        if case .object(var last)? = messages.last, last["role"] == "assistant" {
            last["tool_calls"] = .array((last["tool_calls"]?.array ?? []) + [call])
            messages[messages.count - 1] = .object(last)
        } else {
            messages.append(["role": "assistant", "content": .null, "tool_calls": [call]])
        }
    }
}

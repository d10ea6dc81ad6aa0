/// One line of a fine-tuning file, checked, with its messages in the form that chat templates read.
public enum TuningLine: Sendable, Equatable {
    /// `{"messages": […]}`: the loss is on what the assistant says.
    case chat(TuningConversation)
    /// `{"prompt": "…", "completion": "…"}`: the loss is on the completion.
    case completion(prompt: String, completion: String)
    /// `{"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}`: both conversations end with
    /// their answer.
    case preference(preferred: TuningConversation, other: TuningConversation)
    /// `{"messages": […], …}`: a prompt, and the line itself for graders to read.
    case prompt(TuningConversation, item: JSON)

    /// - Throws: `invalidData` whose message says what is wrong with the line; file and line are the caller's to add.
    public init(_ value: JSON, method: TuningConfig.Method) throws {
        var fields = try TuningFields(value, path: "")
        switch method {
        case .supervised:
            if fields.has("messages") || !(fields.has("prompt") || fields.has("completion")) {
                self = .chat(try TuningConversation(&fields, ends: .answer))
            } else {
                let (prompt, completion) = (try fields.text("prompt"), try fields.text("completion"))
                guard !completion.isEmpty else {
                    throw fields.fault("completion", "is empty; give what is to be learnt")
                }
                self = .completion(prompt: prompt, completion: completion)
            }
            try fields.finish()
        case .dpo:
            var input = try TuningFields(try fields.required("input"), path: "input")
            let asked = try TuningConversation(&input, ends: .question)
            try input.finish()
            func answered(_ name: String) throws -> TuningConversation {
                let list = try fields.list(name)
                guard list.count == 1, let only = list.first else {
                    throw fields.fault(name, "has \(list.count) messages; give one, the assistant's")
                }
                var conversation = asked
                let message = try TuningMessage(only, path: "\(name)[0]")
                guard message.role == .assistant else {
                    throw fields.fault("\(name)[0].role", "is '\(message.role.rawValue)'; an answer is the assistant's")
                }
                conversation.messages.append(message.json)
                conversation.learnt = [asked.messages.count]
                return conversation
            }
            self = .preference(preferred: try answered("preferred_output"), other: try answered("non_preferred_output"))
            try fields.finish()
        case .reinforcement:
            self = .prompt(try TuningConversation(&fields, ends: .question), item: value)
        }
    }
}

/// The messages of a line and the tools that its template describes.
public struct TuningConversation: Sendable, Equatable {
    public var messages: [JSON]
    public var tools: [JSON]
    /// The places of the assistant's messages that the loss is on.
    public var learnt: [Int]

    enum End { case answer, question }

    private static let messageLimit = 4096

    init(_ fields: inout TuningFields, ends: End) throws {
        let list = try fields.list("messages")
        guard (1...Self.messageLimit).contains(list.count) else {
            throw fields.fault("messages", "has \(list.count) messages; give 1 to \(Self.messageLimit)")
        }
        var order = TuningOrder()
        messages = []
        learnt = []
        for (index, value) in list.enumerated() {
            let path = fields.param("messages[\(index)]")
            let message = try TuningMessage(value, path: path)
            try order.take(message, path: path)
            if message.role == .assistant, message.weight == 1 { learnt.append(index) }
            messages.append(message.json)
        }
        tools = try TuningTools.read(&fields)
        try order.end(ends, path: fields.param("messages"))
        if ends == .answer, learnt.isEmpty {
            throw fields.fault("messages", "has weight 0 on every assistant message; nothing is left to learn")
        }
        if ends == .question { learnt = [] }
    }
}

/// In which order the roles of a conversation may follow each other.
private struct TuningOrder {
    private var last: TuningMessage.Role?
    /// Calls that have no answer yet.
    private var open: Set<String> = []

    mutating func take(_ message: TuningMessage, path: String) throws {
        func fault(_ what: String) -> MartletError {
            MartletError(.invalidData, "\(path) is out of order: \(what)", param: "\(path).role")
        }
        switch message.role {
        case .tool:
            guard let id = message.callID, open.remove(id) != nil else {
                throw fault(
                    "no assistant message before it calls a tool with the id '\(message.callID?.prefix(60) ?? "")'; "
                        + "let each tool message answer one of tool_calls")
            }
        default:
            if let id = open.min() {
                throw fault(
                    "the tool call '\(id.prefix(60))' has no answer before it; add the tool's message")
            }
            if message.role == .assistant, last == .assistant {
                throw fault("an assistant message follows another; join them, or put the user's between them")
            }
        }
        open.formUnion(message.callIDs)
        last = message.role
    }

    func end(_ end: TuningConversation.End, path: String) throws {
        let role = last?.rawValue ?? "nothing"
        switch end {
        case .answer where last != .assistant:
            throw MartletError(
                .invalidData, "the last of \(path) is the \(role)'s; end with the assistant's message, which is learnt",
                param: path)
        case .question where last == .assistant || last == .system:
            throw MartletError(
                .invalidData, "the last of \(path) is the \(role)'s; end with the user's message, which is answered",
                param: path)
        default: break
        }
    }
}

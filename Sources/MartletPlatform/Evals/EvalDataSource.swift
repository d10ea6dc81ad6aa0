import Foundation
import MartletStore
import MartletText
import MartletWire

/// Where a run's items come from, and which model answers them.
struct EvalDataSource: Sendable {
    enum Source: Sendable {
        /// `{item, sample?}`, given with the run.
        case content([JSON])
        case file(String)
        case storedCompletions(ChatCompletionFilter, limit: Int)
        case responses(ResponseFilter)

        /// Whether each item comes with an answer that was kept.
        var isKept: Bool {
            switch self {
            case .content, .file: false
            case .storedCompletions, .responses: true
            }
        }
    }
    enum Messages: Sendable {
        case template(GraderMessages)
        /// A place in the item that holds the messages.
        case reference(GraderTemplate)
    }
    /// What the model is asked.
    struct Sampling: Sendable {
        var model: String
        var messages: Messages
        /// `/v1/chat/completions` or `/v1/responses`.
        var endpoint: String
        /// Fields of the request besides model and messages.
        var options: JSONObject
    }
    var source: Source
    /// Nil where the answers come with the items.
    var sampling: Sampling?

    static let itemLimit = 100_000
    private static let listLimit = 64

    /// Reads a run's `data_source` strictly. `filter` is the eval's own, for kept chats.
    init(_ value: JSON, definition: EvalDefinition) throws {
        var fields = try GraderFields(value, path: "data_source")
        let kind = try fields.choice("type", ["jsonl", "completions", "responses"])
        source = try Self.source(try fields.required("source"), kind: kind, definition)
        if kind == "jsonl" {
            try fields.finish()
            return
        }
        let model = try fields.string("model")
        let messages = fields.value("input_messages")
        let parameters = fields.value("sampling_params")
        try fields.finish()
        let holdsAnswers = source.isKept
        guard model != nil || messages != nil || parameters != nil || !holdsAnswers else { return }
        guard let model else { throw fields.fault("model", "is missing; name the model that answers") }
        let given: JSON? =
            messages ?? (holdsAnswers ? ["type": "item_reference", "item_reference": "item.input"] : nil)
        guard let given else { throw fields.fault("input_messages", "is missing; say what the model is asked") }
        let isChat = kind == "completions"
        sampling = Sampling(
            model: model, messages: try Self.messages(given),
            endpoint: isChat ? "/v1/chat/completions" : "/v1/responses",
            options: try parameters.map { try Self.options($0, isChat: isChat) } ?? JSONObject())
    }

    private static func source(_ value: JSON, kind: String, _ definition: EvalDefinition) throws -> Source {
        let path = "data_source.source"
        var fields = try GraderFields(value, path: path)
        let type = try fields.requiredString("type")
        if ["logs", "stored_completions"].contains(definition.dataKind),
            type != "stored_completions", type != "responses"
        {
            throw fields.fault(
                "type",
                "is '\(type.prefix(40))', but this eval reads kept answers; use stored_completions or responses, or "
                    + "another eval")
        }
        switch type {
        case "file_content":
            let content = try fields.list("content")
            try fields.finish()
            guard (1...itemLimit).contains(content.count) else {
                throw fields.fault("content", "has \(content.count) items; give 1 to \(itemLimit)")
            }
            for (index, item) in content.enumerated() { try check(item, path: "\(path).content[\(index)]") }
            return .content(content)
        case "file_id":
            let id = try fields.requiredString("id")
            try fields.finish()
            return .file(id)
        case "stored_completions" where kind == "completions":
            var filter = ChatCompletionFilter(model: try fields.string("model"), metadata: definition.filter)
            filter.createdAfter = try fields.number("created_after").map { Date(timeIntervalSince1970: $0) }
            filter.createdBefore = try fields.number("created_before").map { Date(timeIntervalSince1970: $0) }
            for (key, value) in fields.value("metadata")?.object ?? JSONObject() {
                guard let text = value.string else { throw fields.wrongKind("metadata.\(key)", value, "a string") }
                filter.metadata[key] = text
            }
            let limit = fields.value("limit")?.int ?? itemLimit
            guard (1...itemLimit).contains(limit) else {
                throw fields.fault("limit", "must be 1 to \(itemLimit); mend it")
            }
            try fields.finish()
            return .storedCompletions(filter, limit: limit)
        case "responses" where kind == "responses":
            let filter = try responses(&fields, definition)
            try fields.finish()
            return .responses(filter)
        case let other:
            throw fields.fault(
                "type",
                "is '\(other.prefix(40))'; a \(kind) source takes file_content, file_id"
                    + (kind == "completions" ? " or stored_completions" : kind == "responses" ? " or responses" : ""))
        }
    }

    private static func responses(_ fields: inout GraderFields, _ definition: EvalDefinition) throws -> ResponseFilter {
        var filter = ResponseFilter()
        filter.metadata = definition.filter
        filter.model = try fields.string("model")
        filter.createdAfter = try fields.number("created_after").map { Date(timeIntervalSince1970: $0) }
        filter.createdBefore = try fields.number("created_before").map { Date(timeIntervalSince1970: $0) }
        filter.instructions = try fields.string("instructions_search")
        filter.hasToolCalls = try fields.bool("has_tool_calls")
        filter.temperature = try fields.number("temperature")
        filter.topP = try fields.number("top_p")
        if fields.value("tools") != nil { filter.tools = try fields.strings("tools") }
        if fields.value("users") != nil { filter.users = try fields.strings("users") }
        guard filter.tools.count <= listLimit, filter.users.count <= listLimit else {
            throw fields.fault("tools", "and 'users' take at most \(listLimit) names each; mend it")
        }
        for (key, value) in fields.value("metadata")?.object ?? JSONObject() {
            guard let text = value.string else { throw fields.wrongKind("metadata.\(key)", value, "a string") }
            filter.metadata[key] = text
        }
        return filter
    }

    /// `{item, sample?}`.
    static func check(_ value: JSON, path: String) throws {
        var fields = try GraderFields(value, path: path)
        let item = try fields.required("item")
        guard item.object != nil else { throw fields.wrongKind("item", item, "an object") }
        if let sample = fields.value("sample"), sample.object == nil {
            throw fields.wrongKind("sample", sample, "an object")
        }
        try fields.finish()
    }

    private static func messages(_ value: JSON) throws -> Messages {
        let path = "data_source.input_messages"
        var fields = try GraderFields(value, path: path)
        switch try fields.choice("type", ["template", "item_reference"]) {
        case "template":
            let template = try GraderMessages(try fields.list("template"), path: fields.place(of: "template"))
            try fields.finish()
            guard !template.usesSample else {
                throw fields.fault("template", "names {{ sample }}, which is there only after the model has answered")
            }
            return .template(template)
        default:
            let place = try fields.requiredString("item_reference")
            try fields.finish()
            return .reference(try GraderTemplate("{{\(place)}}", param: fields.place(of: "item_reference")))
        }
    }

    /// The sampling parameters as the endpoint's own fields; what they may be is checked there.
    private static func options(_ value: JSON, isChat: Bool) throws -> JSONObject {
        var fields = try GraderFields(value, path: "data_source.sampling_params")
        var options = JSONObject()
        let names: [(String, String)] =
            isChat
            ? ["temperature", "top_p", "seed", "max_completion_tokens", "response_format", "tools"].map { ($0, $0) }
            : [
                ("temperature", "temperature"), ("top_p", "top_p"), ("max_completion_tokens", "max_output_tokens"),
                ("text", "text"), ("tools", "tools"),
            ]
        for (name, target) in names {
            if let value = fields.value(name) { options[target] = value }
        }
        if !isChat, fields.value("seed") != nil {
            throw fields.fault("seed", "is not taken by /v1/responses; use a data source of the type completions")
        }
        fields.ignore("reasoning_effort")
        try fields.finish()
        return options
    }
}

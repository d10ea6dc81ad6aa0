import Foundation
import Hummingbird
import MartletPlatform
import MartletStore
import MartletWire

/// What is kept of a chat with `store: true`.
struct KeptChat: Sendable {
    var metadata: JSON
    var messages: JSON
    /// The whole request, of which a stored completion repeats some fields.
    var request: JSONObject
    var completions: ChatCompletionService

    private static let repeated = [
        "tools", "tool_choice", "seed", "temperature", "top_p", "presence_penalty", "frequency_penalty",
        "response_format",
    ]

    func keep(_ whole: JSON, model: String, by principal: Principal) async throws {
        guard case .object(var body) = whole, let id = body["id"]?.string else { return }
        for name in Self.repeated { body[name] = request[name] ?? .null }
        try await completions.keep(
            .object(body), id: id, model: model, metadata: metadata, messages: messages, createdAt: Date(),
            by: principal)
    }
}

extension API {
    /// `/v1/chat/completions` that were kept with `store: true`.
    var chatCompletionRoutes: [Route] {
        let base = "/v1/chat/completions"
        return [
            Route(.get, base, .inference, "List kept chat completions.", isLogged: false) { call in
                try await listChats(call)
            },
            Route(.get, base + "/{completion}", .inference, "Show a kept chat completion.", isLogged: false) { call in
                try call.checkQuery()
                let (id, by) = try call.of("completion")
                return .document(Self.document(try await platform.completions.show(id, by: by)))
            },
            Route(.post, base + "/{completion}", .inference, "Set a kept chat completion's metadata.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("completion")
                var fields = try RequestFields(try await call.json())
                let metadata = try StoredMetadata.read(&fields)
                try fields.finish()
                return .document(
                    Self.document(try await platform.completions.setMetadata(metadata ?? [:], of: id, by: by)))
            },
            Route(.delete, base + "/{completion}", .inference, "Forget a kept chat completion.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("completion")
                try await platform.completions.delete(id, by: by)
                return .document(["id": .string(id), "object": "chat.completion.deleted", "deleted": true])
            },
            Route(
                .get, base + "/{completion}/messages", .inference, "A kept chat completion's messages.", isLogged: false
            ) { call in
                try await listMessages(call)
            },
        ]
    }

    private func listChats(_ call: Call) async throws -> Response {
        let metadata = try MetadataFilter(call, besides: ["after", "limit", "model", "order"])
        let filter = ChatCompletionFilter(model: call.query("model"), metadata: metadata.pairs)
        let limit = try call.queryNumber("limit", in: 1...100) ?? 20
        let (found, hasMore) = try await platform.completions.list(
            filter, after: call.query("after"), limit: limit, isNewestFirst: try call.isNewestFirst(otherwise: false),
            by: call.caller())
        return .list(found.map { Self.document($0) }, hasMore: hasMore)
    }

    private func listMessages(_ call: Call) async throws -> Response {
        try call.checkQuery("after", "limit", "order")
        let (id, by) = try call.of("completion")
        let limit = try call.queryNumber("limit", in: 1...100) ?? 20
        let kept = try await platform.completions.show(id, by: by)
        var messages: [JSON] = (kept.messages.array ?? []).enumerated().map { index, message in
            var object: JSONObject = ["id": .string("\(id)-\(index)")]
            for (key, value) in message.object ?? JSONObject() { object[key] = value }
            if let parts = object["content"]?.array {
                object["content"] = .string(parts.compactMap { $0["text"]?.string }.joined(separator: "\n"))
                object["content_parts"] = .array(parts)
            } else {
                object["content_parts"] = .null
            }
            return .object(object)
        }
        if try call.isNewestFirst(otherwise: false) { messages.reverse() }
        if let after = call.query("after") {
            guard let index = messages.firstIndex(where: { $0["id"] == .string(after) }) else {
                throw MartletError(.invalidRequest, "'after' names no message of this completion", param: "after")
            }
            messages.removeFirst(index + 1)
        }
        return .list(Array(messages.prefix(limit)), hasMore: messages.count > limit)
    }

    private static func document(_ kept: StoredChatCompletion) -> JSON {
        guard case .object(var body) = kept.body else { return kept.body }
        body["metadata"] = kept.metadata
        return .object(body)
    }
}

extension Call {
    /// `order`: asc or desc. Throws `invalidRequest`.
    func isNewestFirst(otherwise usual: Bool) throws -> Bool {
        switch query("order") {
        case nil: return usual
        case "desc": return true
        case "asc": return false
        case let order?:
            throw MartletError(.invalidRequest, "'order' is '\(order.prefix(20))'; use asc or desc", param: "order")
        }
    }
}

extension Response {
    /// A page of things that have an `id`, as OpenAI's lists are.
    static func list(_ data: [JSON], hasMore: Bool) -> Response {
        .document([
            "object": "list", "data": .array(data), "first_id": data.first?["id"] ?? .null,
            "last_id": data.last?["id"] ?? .null, "has_more": .bool(hasMore),
        ])
    }
}

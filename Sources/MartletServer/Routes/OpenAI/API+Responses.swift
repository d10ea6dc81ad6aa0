import Foundation
import Hummingbird
import MartletPlatform
import MartletStore
import MartletWire

extension API {
    /// `/v1/responses`: answers that may be kept (`store: true`) and gone on from.
    var responseRoutes: [Route] {
        let base = "/v1/responses"
        return [
            Route(
                .post, base, .inference, "Answer a conversation, whole or as a stream.", isLogged: false,
                isQuick: true, admission: room(unless: "background")
            ) { call in
                try call.checkQuery()
                let (body, by) = (try await call.json(), try call.caller())
                let request = try await TextRequests(platform: platform).response(body, by: by)
                guard request.request.isBackground else { return try await answer(call, request) }
                let queued = request.queued
                let log = try await platform.backgroundResponses.begin(
                    request.id, request: body, kept: queued, by: by)
                guard let log else { return .document(queued.body) }
                return try ResponseEventStream(call, keys: platform.keys).response(log, from: log.first)
            },
            Route(.get, base + "/{response}", .inference, "Show a kept response.", isLogged: false) { call in
                try call.checkQuery("include", "include[]", "include_obfuscation", "starting_after", "stream")
                let (id, by) = try call.of("response")
                let start = try call.queryNumber("starting_after", in: 0...Int(Int32.max))
                guard try call.queryFlag("stream") else {
                    return .document(try await platform.responses.show(id, by: by).body)
                }
                return try await events(call, of: id, after: start, by: by)
            },
            Route(.post, base + "/input_tokens", .inference, "How many tokens a conversation has.", isLogged: false) {
                call in
                try await inputTokens(call)
            },
            Route(.delete, base + "/{response}", .inference, "Forget a kept response.", isLogged: false) { call in
                try call.checkQuery()
                let (id, by) = try call.of("response")
                try await platform.responses.delete(id, by: by)
                await platform.backgroundResponses.forget(id, by: by)
                return .document(["id": .string(id), "object": "response", "deleted": true])
            },
            Route(.post, base + "/{response}/cancel", .inference, "Cancel a response.", isLogged: false) { call in
                try await call.checkNoBody()
                let (id, by) = try call.of("response")
                _ = try await platform.responses.show(id, by: by)
                if let body = try await platform.backgroundResponses.cancel(id, by: by) { return .document(body) }
                // Over, perhaps at this very moment: then it is shown as it is.
                let body = try await platform.responses.show(id, by: by).body
                guard body["background"] != true else { return .document(body) }
                throw MartletError(
                    .invalidRequest,
                    "the response '\(id.prefix(80))' is complete; only background ones can be cancelled"
                )
            },
            Route(.get, base + "/{response}/input_items", .inference, "A kept response's input.", isLogged: false) {
                call in
                try await inputItems(call)
            },
        ]
    }

    /// The events of a kept response behind a number: as they come, where it is under way in the background and was asked
    /// for with `stream`.
    private func events(_ call: Call, of id: String, after start: Int?, by principal: Principal) async throws
        -> Response
    {
        if let log = await platform.backgroundResponses.log(of: id, by: principal) {
            try ResponseReplay.check(start, last: log.next - 1)
            // A number from before a restart has all events since then behind it.
            let number = max(start.map { $0 + 1 } ?? 0, log.firstEver)
            guard number >= log.first else { throw Self.tooManyEvents }
            return try ResponseEventStream(call, keys: platform.keys).response(log, from: number)
        }
        let body = try await platform.responses.show(id, by: principal).body
        guard !ResponseStatus.isOpen(body) else {
            throw MartletError(
                .invalidRequest,
                "the response is not over, and was not asked for with 'stream': ask without it until it is",
                param: "stream")
        }
        switch try await platform.backgroundResponses.events(of: id, by: principal) {
        case .kept(let events)?: return try ResponseReplay(events, after: start).response
        case .tooMany? where start != nil: throw Self.tooManyEvents
        case .tooMany?, nil: return try ResponseReplay(body, after: start).response
        }
    }

    private static var tooManyEvents: MartletError {
        MartletError(
            .invalidRequest,
            "the response has had more events than are kept; ask for it without 'stream', or once it is over without "
                + "'starting_after'", param: "stream")
    }

    private func inputTokens(_ call: Call) async throws -> Response {
        try call.checkQuery()
        guard var body = try await call.json().object else {
            throw MartletError(.invalidRequest, "the body is no object; send a JSON object")
        }
        // It chooses among system prompts that models here do not have.
        body["personality"] = nil
        let prepared = try await TextRequests(platform: platform).response(.object(body), by: call.caller())
        guard let asked = prepared.prompts.first, case .chat(let messages, let tools) = asked.prompt else {
            throw MartletError(.internal, "a response's prompt is no chat; report this")
        }
        let input = TokenizeRequest.Input.chat(
            VerbatimJSON(wrappedValue: .array(messages)), tools: VerbatimJSON(wrappedValue: .array(tools)))
        // The template writes what begins a text, as where the response is asked for.
        let request = TokenizeRequest(
            input: input, addSpecialTokens: false, templateVariables: asked.templateVariables)
        let reply: TokenizeReply
        do {
            reply = try await platform.deployments.tokenize(
                model: prepared.model, request: request, by: call.caller())
        } catch {
            throw ResponseRequest.renamed(error)
        }
        return .document(["object": "response.input_tokens", "input_tokens": JSON(reply.tokens.count)])
    }

    private func inputItems(_ call: Call) async throws -> Response {
        try call.checkQuery("after", "limit", "order", "include", "include[]")
        let (id, by) = try call.of("response")
        let limit = try call.queryNumber("limit", in: 1...100) ?? 20
        var items = try await platform.responses.show(id, by: by).input.array ?? []
        if try call.isNewestFirst(otherwise: true) { items.reverse() }
        if let after = call.query("after") {
            guard let index = items.firstIndex(where: { $0["id"] == .string(after) }) else {
                throw MartletError(.invalidRequest, "'after' names no item of this response", param: "after")
            }
            items.removeFirst(index + 1)
        }
        return .list(Array(items.prefix(limit)), hasMore: items.count > limit)
    }
}

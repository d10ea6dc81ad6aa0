import Foundation
import MartletPlatform
import MartletWire

/// A response as its events build it up: the same for one that is streamed and one that is not.
struct ResponseAnswer: TextAnswer {
    private let head: AnswerHead
    private let echo: JSONObject
    private let hasLogprobs: Bool
    private var items: [Item] = []
    private var usage: GenerationUsage?
    private var finish: GenerationEvent.Finish?
    private var error: MartletError?
    private var sequence = 0
    private var completedAt: Date?
    /// Whether the events that it was accepted with were told before.
    private var wasQueued = false

    /// A message or a call.
    private struct Item {
        var id: String
        var isOpen = true
        var text = ""
        var chances: [TokenChance] = []
        /// Of a call.
        var callID: String?
        var name = ""
    }

    init(_ head: AnswerHead, echo: JSONObject, hasLogprobs: Bool) {
        self.head = head
        self.echo = echo
        self.hasLogprobs = hasLogprobs
    }

    /// One whose events go on from those in a log. Behind an answer that broke off it begins anew.
    init(_ head: AnswerHead, echo: JSONObject, hasLogprobs: Bool, goesOn log: ResponseLog) {
        self.init(head, echo: echo, hasLogprobs: hasLogprobs)
        sequence = log.next
        wasQueued = !log.hasBegun
    }

    var id: String { head.id }

    /// The response as it stands.
    var whole: JSON {
        let isIncomplete = finish == .length
        let status = error != nil ? "failed" : usage == nil ? "in_progress" : isIncomplete ? "incomplete" : "completed"
        var object: JSONObject = [
            "id": .string(head.id), "object": "response", "created_at": JSON(head.created), "status": .string(status),
            "completed_at": status == "completed" ? completedAt.map { JSON($0) } ?? .null : .null,
            "error": error.map { ["code": "server_error", "message": .string($0.message)] } ?? .null,
            "incomplete_details": isIncomplete ? ["reason": "max_output_tokens"] : .null,
            "model": .string(head.model), "output": .array(items.map(document)),
            "usage": usage.map(\.responseJSON) ?? .null,
        ]
        for (key, value) in echo { object[key] = value }
        return .object(object)
    }

    /// The answer's part of the conversation, for a response that goes on from it.
    var messages: [JSON] {
        var messages: [JSON] = []
        for item in items {
            if let callID = item.callID {
                let call = ChatMessages.call(id: callID, name: item.name, arguments: item.text)
                ResponseInput.append(call: call, to: &messages)
            } else {
                messages.append(["role": "assistant", "content": .string(item.text)])
            }
        }
        return messages
    }

    mutating func take(_ item: GenerationSet.Item) { _ = chunks(item) }

    // MARK: Events

    static func eventName(of chunk: String) -> String? {
        let opening = "{\"type\":\""
        guard chunk.hasPrefix(opening) else { return nil }
        return String(chunk.dropFirst(opening.count).prefix { $0 != "\"" })
    }

    static var endsWithDone: Bool { false }

    mutating func chunks(_ item: GenerationSet.Item) -> [String] {
        switch item.event {
        case .started:
            let created = wasQueued ? [] : [event("response.created", ["response": whole])]
            return created + [event("response.in_progress", ["response": whole])]
        case .text(_, let text, let tokens):
            guard !text.isEmpty || !tokens.isEmpty else { return [] }
            return openMessage() + [add(text, tokens)]
        case .toolCall(_, _, let id, let name):
            let closing = close()
            items.append(Item(id: "fc_\(head.id.dropFirst(5))_\(items.count)", callID: id, name: name))
            return closing + [added()]
        case .toolArguments(_, _, let text):
            guard let last = items.indices.last, items[last].callID != nil else { return [] }
            items[last].text += text
            return [
                event(
                    "response.function_call_arguments.delta",
                    ["item_id": .string(items[last].id), "output_index": JSON(last), "delta": .string(text)])
            ]
        case .finished(_, let finish, _):
            self.finish = finish
            // An empty answer is a message all the same.
            return (items.isEmpty ? openMessage() : []) + close()
        case .done(let usage):
            self.usage = usage
            completedAt = Date()
            return []
        }
    }

    /// The end is told by `lastChunks`; it has a number of its own, one after the last event's.
    var lastChunks: [String] {
        var copy = self
        return [copy.event(finish == .length ? "response.incomplete" : "response.completed", ["response": whole])]
    }

    mutating func failure(_ error: MartletError) -> String {
        self.error = error
        return event("response.failed", ["response": whole])
    }

    private mutating func event(_ type: String, _ fields: JSONObject) -> String {
        var object: JSONObject = ["type": .string(type)]
        for (key, value) in fields { object[key] = value }
        object["sequence_number"] = JSON(sequence)
        sequence += 1
        return JSON.object(object).serialized()
    }

    private mutating func openMessage() -> [String] {
        if let last = items.last, last.isOpen, last.callID == nil { return [] }
        let closing = close()
        items.append(Item(id: "msg_\(head.id.dropFirst(5))_\(items.count)"))
        let index = items.count - 1
        let part: JSON = ["type": "output_text", "text": "", "annotations": [], "logprobs": []]
        return closing + [
            added(),
            event(
                "response.content_part.added",
                [
                    "item_id": .string(items[index].id), "output_index": JSON(index), "content_index": 0, "part": part,
                ]),
        ]
    }

    private mutating func added() -> String {
        let index = items.count - 1
        var shown = document(items[index])
        if items[index].callID == nil, case .object(var object) = shown {
            object["content"] = []
            shown = .object(object)
        }
        return event("response.output_item.added", ["output_index": JSON(index), "item": shown])
    }

    private mutating func add(_ text: String, _ tokens: [TokenChance]) -> String {
        let index = items.count - 1
        items[index].text += text
        items[index].chances += tokens
        return event(
            "response.output_text.delta",
            [
                "item_id": .string(items[index].id), "output_index": JSON(index), "content_index": 0,
                "delta": .string(text), "logprobs": .array(hasLogprobs ? Logprobs.chat(tokens) : []),
            ])
    }

    /// Ends the item that is open.
    private mutating func close() -> [String] {
        guard let index = items.indices.last, items[index].isOpen else { return [] }
        items[index].isOpen = false
        let item = items[index]
        let place: JSONObject = ["item_id": .string(item.id), "output_index": JSON(index)]
        var events: [String] = []
        if item.callID == nil {
            var done = place
            done["content_index"] = 0
            var text = done
            text["text"] = .string(item.text)
            text["logprobs"] = .array(hasLogprobs ? Logprobs.chat(item.chances) : [])
            events.append(event("response.output_text.done", text))
            done["part"] = part(item)
            events.append(event("response.content_part.done", done))
        } else {
            var done = place
            done["arguments"] = .string(item.text)
            done["name"] = .string(item.name)
            events.append(event("response.function_call_arguments.done", done))
        }
        return events + [event("response.output_item.done", ["output_index": JSON(index), "item": document(item)])]
    }

    private func part(_ item: Item) -> JSON {
        [
            "type": "output_text", "text": .string(item.text), "annotations": [],
            "logprobs": .array(hasLogprobs ? Logprobs.chat(item.chances) : []),
        ]
    }

    /// The last call may be whole all the same: what was cut off behind it had no name yet, and is none.
    private func isWholeCall(_ item: Item) -> Bool {
        item.callID != nil && (try? JSONParser.parse(item.text)) != nil
    }

    private func document(_ item: Item) -> JSON {
        let isCut = finish == .length && item.id == items.last?.id && !isWholeCall(item)
        let status: JSON = item.isOpen ? "in_progress" : isCut ? "incomplete" : "completed"
        guard let callID = item.callID else {
            return [
                "id": .string(item.id), "type": "message", "status": status, "role": "assistant",
                "content": [part(item)],
            ]
        }
        return [
            "id": .string(item.id), "type": "function_call", "status": status, "call_id": .string(callID),
            "name": .string(item.name), "arguments": .string(item.text),
        ]
    }
}

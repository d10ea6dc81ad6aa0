import HTTPTypes
import Hummingbird
import MartletWire
import NIOCore

/// A kept response told again as the events that it came with; each text as one delta.
struct ResponseReplay {
    private var sequence = 0
    private(set) var events: [String] = []

    /// `body` is the response as it was kept; events numbered up to `start` are left out.
    init(_ body: JSON, after start: Int?) throws {
        var object = body.object ?? JSONObject()
        let items = object["output"]?.array ?? []
        let status = object["status"]?.string ?? "completed"
        object["status"] = "in_progress"
        object["output"] = []
        for key in ["usage", "completed_at", "incomplete_details", "error"] { object[key] = .null }
        add("response.created", ["response": .object(object)])
        add("response.in_progress", ["response": .object(object)])
        for (index, item) in items.enumerated() { add(item, at: index) }
        // The API has no event for a cancelled one; its status says it.
        add(status == "cancelled" ? "response.failed" : "response." + status, ["response": body])
        try Self.check(start, last: events.count - 1)
        if let start { events.removeFirst(start + 1) }
    }

    /// The events as they were told, those with numbers above `start`.
    init(_ told: [String], after start: Int?) throws {
        try Self.check(start, last: told.last.flatMap(Self.number) ?? -1)
        for event in told {
            guard let number = Self.number(of: event), number > start ?? -1 else { continue }
            events.append(Self.text(event))
        }
    }

    /// Refuses a number that no event has had: whoever waits behind it would hear nothing, not even of the end.
    static func check(_ start: Int?, last: Int) throws {
        guard let start, start > last else { return }
        throw MartletError(
            .invalidRequest,
            "'starting_after' is \(start), and the response's last event has the number \(last); a response that was not "
                + "asked for in the background has fewer events when it is fetched: leave 'starting_after' out",
            param: "starting_after")
    }

    /// An event's own number; it stands last in what `ResponseAnswer` and `ResponseLog` write.
    private static func number(of event: String) -> Int? {
        event.lastIndex(of: ":").flatMap { Int(event[event.index(after: $0)...].dropLast()) }
    }

    /// A document as a server-sent event.
    static func text(_ event: String) -> String {
        "event: \(ResponseAnswer.eventName(of: event) ?? "error")\ndata: \(event)\n\n"
    }

    private mutating func add(_ type: String, _ fields: JSONObject) {
        var object: JSONObject = ["type": .string(type)]
        for (key, value) in fields { object[key] = value }
        object["sequence_number"] = JSON(sequence)
        sequence += 1
        events.append("event: \(type)\ndata: \(JSON.object(object).serialized())\n\n")
    }

    private mutating func add(_ item: JSON, at index: Int) {
        guard var opened = item.object else { return }
        let place: JSONObject = ["item_id": item["id"] ?? .null, "output_index": JSON(index)]
        opened["status"] = "in_progress"
        if opened["content"] != nil { opened["content"] = [] }
        if opened["arguments"] != nil { opened["arguments"] = "" }
        add("response.output_item.added", ["output_index": JSON(index), "item": .object(opened)])
        for (number, part) in (item["content"]?.array ?? []).enumerated() {
            var at = place
            at["content_index"] = JSON(number)
            addText(part, at)
        }
        if let arguments = item["arguments"] {
            if arguments != "" { add("response.function_call_arguments.delta", merging(place, ["delta": arguments])) }
            add(
                "response.function_call_arguments.done",
                merging(place, ["arguments": arguments, "name": item["name"] ?? .null]))
        }
        add("response.output_item.done", ["output_index": JSON(index), "item": item])
    }

    private mutating func addText(_ part: JSON, _ place: JSONObject) {
        let text = part["text"] ?? "", logprobs = part["logprobs"] ?? []
        var empty = part.object ?? JSONObject()
        empty["text"] = ""
        empty["logprobs"] = []
        add("response.content_part.added", merging(place, ["part": .object(empty)]))
        if text != "" || logprobs != [] {
            add("response.output_text.delta", merging(place, ["delta": text, "logprobs": logprobs]))
        }
        add("response.output_text.done", merging(place, ["text": text, "logprobs": logprobs]))
        add("response.content_part.done", merging(place, ["part": part]))
    }

    private func merging(_ left: JSONObject, _ right: JSONObject) -> JSONObject {
        var both = left
        for (key, value) in right { both[key] = value }
        return both
    }

    var response: Response {
        Response(
            status: .ok, headers: .events, body: ResponseBody(byteBuffer: ByteBuffer(string: events.joined())))
    }
}

import Foundation
import MartletPlatform
import MartletWire

/// One answer as its events build it up.
struct AnswerParts {
    struct ToolCall {
        var id: String
        var name: String
        var arguments: String
    }
    var text = ""
    var chances: [TokenChance] = []
    var toolCalls: [ToolCall] = []
    var finish: GenerationEvent.Finish?

    mutating func take(_ event: GenerationEvent) {
        switch event {
        case .text(_, let more, let tokens):
            text += more
            chances += tokens
        case .toolCall(_, _, let id, let name): toolCalls.append(ToolCall(id: id, name: name, arguments: ""))
        case .toolArguments(_, let index, let more):
            if toolCalls.indices.contains(index) { toolCalls[index].arguments += more }
        case .finished(_, let finish, _): self.finish = finish
        case .started, .done: break
        }
    }

    var toolCallsJSON: JSON {
        .array(
            toolCalls.map { call in
                [
                    "id": .string(call.id), "type": "function",
                    "function": ["name": .string(call.name), "arguments": .string(call.arguments)],
                ]
            })
    }
}

extension GenerationEvent {
    /// The choice that it belongs to; nil for what concerns all of them.
    var choice: Int? {
        switch self {
        case .text(let choice, _, _), .toolCall(let choice, _, _, _), .toolArguments(let choice, _, _),
            .finished(let choice, _, _):
            choice
        case .started, .done: nil
        }
    }
}

/// What every answer of one request has in common.
struct AnswerHead: Sendable {
    let id: String
    let created: Int
    let model: String
    let fingerprint: String

    init(prefix: String, model: String, generation: Generation) throws {
        self.init(id: prefix + (try [UInt8].random(count: 14).hex), model: model, generation: generation)
    }

    init(id: String, model: String, generation: Generation) {
        self.id = id
        created = Int(Date().timeIntervalSince1970)
        self.model = model
        fingerprint = "fp_" + generation.contentHash.prefix(10)
    }
}

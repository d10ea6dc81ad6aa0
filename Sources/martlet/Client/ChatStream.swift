import AsyncHTTPClient
import Foundation
import MartletWire
import NIOCore

/// One answer of a chat, as it streams in.
struct ChatStream {
    /// What is known at its end.
    struct Outcome {
        var text = ""
        /// As the server says it; `stopped` where the answer was cancelled here.
        var finish = ""
        var promptTokens = 0
        var completionTokens = 0
        /// From the request to the first text, and from there to the end.
        var firstSeconds = 0.0
        var restSeconds = 0.0

        static let stopped = "stopped"
        var isStopped: Bool { finish == Self.stopped }

        /// The first token's time is the prompt's.
        var tokensPerSecond: Double? {
            completionTokens > 1 && restSeconds > 0 ? Double(completionTokens - 1) / restSeconds : nil
        }
    }
    /// How a conversation becomes a prompt.
    enum Form {
        /// By the model's chat template.
        case template
        /// As a dialogue in plain text, which the model goes on with until it would speak for the user.
        case dialogue
        /// As its last message alone.
        case lastMessage
    }
    let client: Client
    let model: String

    /// Sends `messages` and hands each piece of text to `write`. A cancelled answer ends with what came until then.
    /// Throws what the server says, also in the middle.
    func ask(_ messages: [JSON], as form: Form, _ write: (String) -> Void) async throws -> Outcome {
        let most: JSON = 512
        switch form {
        case .template:
            return try await stream("/v1/chat/completions", ["messages": .array(messages)], write) {
                $0["delta"]?["content"]
            }
        case .dialogue:
            let fields: JSONObject = [
                "prompt": .string(Self.dialogue(messages)), "stop": ["\nUser:"], "max_tokens": most,
            ]
            return try await stream("/v1/completions", fields, write) { $0["text"] }
        case .lastMessage:
            let text = messages.last?["content"] ?? ""
            return try await stream("/v1/completions", ["prompt": text, "max_tokens": most], write) { $0["text"] }
        }
    }

    /// Throws where the model's tokenizer does not know a part of `text`.
    func check(_ text: String) async throws {
        let body: JSON = ["model": .string(model), "prompt": .string(text)]
        let _: JSON = try await client.send(.POST, "/tokenize", body)
    }

    /// `User: …`, `Assistant: …`, a line each, and an open line for the answer.
    static func dialogue(_ messages: [JSON]) -> String {
        let lines = messages.map { message -> String in
            let text = message["content"]?.string ?? ""
            return switch message["role"]?.string {
            case "system": text + "\n"
            case "assistant": "Assistant: " + text.trimmingCharacters(in: .whitespacesAndNewlines)
            default: "User: " + text
            }
        }
        return (lines + ["Assistant:"]).joined(separator: "\n")
    }

    private func stream(
        _ path: String, _ fields: JSONObject, _ write: (String) -> Void, _ text: (JSON) -> JSON?
    ) async throws -> Outcome {
        var fields = fields
        fields["model"] = .string(model)
        fields["stream"] = true
        fields["stream_options"] = ["include_usage": true]
        let start = ContinuousClock.now
        var first: ContinuousClock.Instant?
        var outcome = Outcome()
        do {
            try await receive(path, .object(fields), into: &outcome) { document in
                guard let piece = text(document)?.string, !piece.isEmpty else { return nil }
                first = first ?? .now
                write(piece)
                return piece
            }
        } catch _ where Task.isCancelled {
            outcome.finish = Outcome.stopped
        }
        let end = ContinuousClock.now
        outcome.firstSeconds = start.duration(to: first ?? end) / .seconds(1)
        outcome.restSeconds = (first ?? end).duration(to: end) / .seconds(1)
        return outcome
    }

    /// Reads an answer to its end; `text` gives the text of a choice.
    private func receive(
        _ path: String, _ body: JSON, into outcome: inout Outcome, _ text: (JSON) -> String?
    ) async throws {
        let response = try await client.request(
            .POST, path, body: .bytes(ByteBuffer(string: body.serialized())),
            headers: [("Content-Type", "application/json")])
        var parser = EventStreamParser()
        var isWhole = false
        var chunks = response.body.makeAsyncIterator()
        while let chunk = try await Self.next(&chunks) {
            for (_, data) in parser.feed(chunk.readableBytesView) {
                if data == "[DONE]" {
                    isWhole = true
                    continue
                }
                let document = try JSONParser.parse(data, limits: .trusted)
                if let error = document["error"] { throw Self.failure(error) }
                if let piece = document["choices"]?.array?.first.flatMap(text) { outcome.text += piece }
                if let finish = document["choices"]?.array?.first?["finish_reason"]?.string { outcome.finish = finish }
                if let usage = document["usage"]?.object {
                    outcome.promptTokens = usage["prompt_tokens"]?.int ?? 0
                    outcome.completionTokens = usage["completion_tokens"]?.int ?? 0
                }
            }
        }
        guard isWhole else { throw Self.brokenOff }
    }

    private static var brokenOff: MartletError { MartletError(.unavailable, "the answer broke off; ask again") }

    /// The next bytes. Throws `unavailable` where the server goes away.
    private static func next(_ chunks: inout HTTPClientResponse.Body.AsyncIterator) async throws -> ByteBuffer? {
        do {
            return try await chunks.next()
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            throw brokenOff
        }
    }

    private static func failure(_ error: JSON) -> MartletError {
        MartletError(
            error["code"]?.string.flatMap(MartletError.Code.init) ?? .unavailable,
            error["message"]?.string ?? "the answer broke off; ask again")
    }
}

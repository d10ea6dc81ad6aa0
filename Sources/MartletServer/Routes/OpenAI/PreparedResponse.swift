import Foundation
import MartletPlatform
import MartletWire

/// A request for a response with the conversation that it goes on from.
struct PreparedResponse: TextRequest {
    let id: String
    let request: ResponseRequest
    let before: [JSON]
    /// Whether it is one of the background, whose place is there.
    let wasAccepted: Bool
    /// Where its events are told, if it is streamed from there.
    var log: ResponseLog?
    let responses: ResponseService

    var model: String { request.model }
    var isStreamed: Bool { request.isStreamed }
    var prompts: [GenerationRequest] { [request.request(before + request.input.messages)] }

    /// With `truncation: auto` the oldest messages make room where the conversation is too long.
    func begin(
        _ deployments: DeploymentService, deadline: Int?, isBackground: Bool, by principal: Principal
    ) async throws -> GenerationSet {
        var messages = before + request.input.messages
        while true {
            var prompt = request.request(messages)
            prompt.deadlineMicroseconds = deadline
            prompt.isBackground = isBackground
            do {
                return try await GenerationSet.begin(
                    [prompt], model: model, deployments: deployments, by: principal,
                    renamed: ResponseRequest.renamed)
            } catch let error as MartletError
                where error.code == .contextLengthExceeded && request.isTruncated && messages.count > 1
            {
                messages.removeFirst(max(1, messages.count / 4))
            }
        }
    }

    func answer(_ generation: Generation) -> ResponseAnswer {
        let head = AnswerHead(id: id, model: request.model, generation: generation)
        guard let log else { return ResponseAnswer(head, echo: request.echo, hasLogprobs: request.hasLogprobs) }
        var echo = request.echo
        echo["created_at"] = JSON(log.createdAt)
        return ResponseAnswer(head, echo: echo, hasLogprobs: request.hasLogprobs, goesOn: log)
    }

    /// Works it out and tells its events as they come. Throws `cancelled` where the task is cancelled before its end.
    func streamed(_ set: GenerationSet, to log: ResponseLog, by principal: Principal) async throws -> JSON {
        var answer = answer(set.generation)
        log.append(answer.chunks(set.first))
        var isDone = false
        for try await case let item? in set.rest {
            log.append(answer.chunks(item))
            if case .done = item.event { isDone = true }
        }
        guard !Task.isCancelled else { throw MartletError(.cancelled, "the work that asked for this was ended") }
        guard isDone else {
            throw MartletError(.unavailable, "the server stopped before the answer was whole; ask again")
        }
        try await finished(answer, by: principal)
        return answer.whole
    }

    func finished(_ answer: ResponseAnswer, by principal: Principal) async throws {
        guard request.isStored else { return }
        let kept = ResponseService.Kept(
            body: answer.whole, input: .array(request.input.items),
            conversation: .array(before + request.input.messages + answer.messages))
        if wasAccepted {
            let stream = log.flatMap { log in answer.lastChunks.last.map { (log, $0) } }
            return try await responses.finish(kept, background: id, stream: stream, by: principal)
        }
        try await responses.keep(kept, id: id, createdAt: Date(), by: principal)
    }

    /// Before anything was done for it.
    var queued: ResponseService.Kept {
        var body: JSONObject = [
            "id": .string(id), "object": "response", "created_at": JSON(Date()),
            "status": .string(ResponseStatus.queued),
            "completed_at": .null, "error": .null, "incomplete_details": .null, "model": .string(model), "output": [],
            "usage": .null,
        ]
        for (key, value) in request.echo { body[key] = value }
        return ResponseService.Kept(body: .object(body), input: .array(request.input.items), conversation: [])
    }
}

/// The states of a response that are not its end.
enum ResponseStatus {
    static let queued = "queued"
    private static let open = [queued, "in_progress"]

    static func isOpen(_ body: JSON) -> Bool { body["status"]?.string.map(open.contains) ?? false }
}

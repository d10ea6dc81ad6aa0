import Foundation
import MartletPlatform
import MartletWire

/// A request for a response with the conversation that it goes on from.
struct PreparedResponse: TextRequest {
    let id: String
    let request: ResponseRequest
    let before: [JSON]
    let responses: ResponseService

    var model: String { request.model }
    var isStreamed: Bool { request.isStreamed }
    var prompts: [GenerationRequest] { [request.request(after: before)] }

    func answer(_ generation: Generation) -> ResponseAnswer {
        ResponseAnswer(
            AnswerHead(id: id, model: request.model, generation: generation), echo: request.echo,
            hasLogprobs: request.hasLogprobs)
    }

    func finished(_ answer: ResponseAnswer, by principal: Principal) async throws {
        guard request.isStored else { return }
        try await responses.keep(
            ResponseService.Kept(
                body: answer.whole, input: .array(request.input.items),
                conversation: .array(before + request.input.messages + answer.messages)),
            id: id, createdAt: Date(), by: principal)
    }
}

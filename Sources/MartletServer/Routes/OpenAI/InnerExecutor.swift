import MartletPlatform
import MartletWire

/// Answers requests in process by the code that answers them over HTTP.
struct InnerExecutor: RequestExecutor {
    let platform: Platform

    func execute(_ request: InnerRequest) async -> InnerReply {
        let requestID = "req_" + ((try? [UInt8].random(count: 14).hex) ?? "")
        do {
            return InnerReply(status: 200, body: try await answer(request), requestID: requestID)
        } catch {
            let error = Failure.known(error)
            return InnerReply(status: error.httpStatus, body: Failure.document(error), requestID: requestID)
        }
    }

    private func answer(_ request: InnerRequest) async throws -> JSON {
        let requests = TextRequests(platform: platform)
        switch (request.method, request.path) {
        case ("POST", "/v1/chat/completions"): return try await whole(try requests.chat(request.body), request)
        case ("POST", "/v1/completions"): return try await whole(try requests.completion(request.body), request)
        case ("POST", "/v1/responses"):
            var response = try await requests.response(
                request.body, id: request.responseID, by: request.principal)
            guard request.responseID != nil || !response.request.isBackground else {
                throw MartletError(
                    .invalidRequest, "an answer in the background is whole; leave out 'background'", param: "background"
                )
            }
            guard let log = request.log else { return try await whole(response, request) }
            response.log = log
            return try await streamed(response, to: log, request)
        case ("POST", "/v1/embeddings"):
            return try await Embeddings(platform: platform).answer(
                request.body, deadline: nil, by: request.principal)
        default:
            throw MartletError(
                .notFound, "'\(request.method) \(request.path.prefix(80))' cannot be asked in the background")
        }
    }

    private func whole(_ text: some TextRequest, _ request: InnerRequest) async throws -> JSON {
        guard !text.isStreamed else {
            throw MartletError(
                .invalidRequest, "an answer in the background is whole; leave out 'stream'", param: "stream")
        }
        let set = try await begin(text, request)
        return try await withTaskCancellationHandler {
            try await text.whole(set, by: request.principal)
        } onCancel: {
            set.end(MartletError(.cancelled, "the work that asked for this was ended"))
        }
    }

    private func streamed(
        _ response: PreparedResponse, to log: ResponseLog, _ request: InnerRequest
    ) async throws -> JSON {
        let set = try await begin(response, request)
        return try await withTaskCancellationHandler {
            try await response.streamed(set, to: log, by: request.principal)
        } onCancel: {
            set.end(MartletError(.cancelled, "the work that asked for this was ended"))
        }
    }

    private func begin(_ text: some TextRequest, _ request: InnerRequest) async throws -> GenerationSet {
        try await text.begin(
            platform.deployments, deadline: nil, isBackground: request.isBackground, by: request.principal)
    }
}

/// Reads the bodies of requests for text.
struct TextRequests {
    let platform: Platform

    func chat(_ body: JSON) throws -> ChatRequest {
        try ChatRequest(
            body, choiceLimit: platform.configuration.maxChoices, completions: platform.completions)
    }

    func completion(_ body: JSON) throws -> CompletionRequest {
        try CompletionRequest(body, choiceLimit: platform.configuration.maxChoices)
    }

    /// Reads what went before too, where it goes on from an answer. `id` is that of a response that was accepted before.
    func response(_ body: JSON, id given: String? = nil, by caller: Principal) async throws -> PreparedResponse {
        let id = try given ?? "resp_" + [UInt8].random(count: 20).hex
        let request = try ResponseRequest(body, responseID: id)
        var before: [JSON] = []
        if let previous = request.previousID {
            do {
                let kept = try await platform.responses.show(previous, by: caller)
                guard !ResponseStatus.isOpen(kept.body) else {
                    throw MartletError(
                        .invalidRequest, "the response '\(previous.prefix(80))' is not over; wait for its end",
                        param: "previous_response_id")
                }
                before = kept.conversation.array ?? []
            } catch let error as MartletError where error.code == .notFound {
                throw MartletError(.invalidRequest, error.message, param: "previous_response_id")
            }
        }
        return PreparedResponse(
            id: id, request: request, before: before, wasAccepted: given != nil, responses: platform.responses)
    }
}

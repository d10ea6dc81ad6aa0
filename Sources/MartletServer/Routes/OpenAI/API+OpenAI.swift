import Foundation
import HTTPTypes
import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

extension API {
    /// `/v1`, as clients of the OpenAI API expect it, and the two routes about tokens that other servers have.
    var openAIRoutes: [Route] {
        [
            Route(.get, "/v1/models", .inference, "List the language models that can be asked.", isLogged: false) {
                call in
                try await OpenAIModels(platform: platform).list(call)
            },
            Route(.get, "/v1/models/{model}", .inference, "Show a language model.", isLogged: false) { call in
                try await OpenAIModels(platform: platform).show(call)
            },
            Route(.delete, "/v1/models/{model}", .developers, "Delete a model that nothing needs.") { call in
                try await OpenAIModels(platform: platform).delete(call)
            },
            Route(
                .post, "/v1/chat/completions", .inference, "Answer a chat, whole or as a stream.", isLogged: false,
                isQuick: true, admission: room()
            ) { call in
                try call.checkQuery()
                return try await answer(call, TextRequests(platform: platform).chat(await call.json()))
            },
            Route(
                .post, "/v1/completions", .inference, "Go on with texts, whole or as a stream.", isLogged: false,
                isQuick: true, admission: room()
            ) { call in
                try call.checkQuery()
                return try await answer(call, TextRequests(platform: platform).completion(await call.json()))
            },
            Route(.post, "/v1/embeddings", .inference, "Texts to vectors.", isLogged: false, admission: room()) {
                call in
                try await Embeddings(platform: platform).answer(call)
            },
            Route(.post, "/tokenize", .inference, "A text's or a chat's token ids.", isLogged: false) { call in
                try await TokenRoutes(platform: platform).tokenize(call)
            },
            Route(.post, "/detokenize", .inference, "The text of token ids.", isLogged: false) { call in
                try await TokenRoutes(platform: platform).detokenize(call)
            },
        ]
    }

    /// Refuses requests whose model has no place for them. What is for the background, which waits for its place, says
    /// `true` under `exception`.
    func room(unless exception: String? = nil) -> Route.Admission {
        { [platform] caller, body in
            if let exception, ModelName.isTrue(exception, in: body) { return }
            if let model = ModelName.peek(body) { try platform.deployments.checkRoom(model, by: caller) }
        }
    }
}

extension Response {
    /// A whole answer with what its model's queue takes.
    static func whole(_ value: JSON, _ generation: Generation) -> Response {
        var response = Response.document(value)
        response.headers.setLimits(of: generation)
        return response
    }
}

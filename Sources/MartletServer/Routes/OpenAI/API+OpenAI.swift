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
            Route(.post, "/v1/chat/completions", .inference, "Answer a chat, whole or as a stream.", isLogged: false) {
                call in
                try await chat(call)
            },
            Route(.post, "/v1/completions", .inference, "Go on with texts, whole or as a stream.", isLogged: false) {
                call in
                try await complete(call)
            },
            Route(.post, "/v1/embeddings", .inference, "Texts to vectors.", isLogged: false) { call in
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

    private func chat(_ call: Call) async throws -> Response {
        try call.checkQuery()
        let request = try ChatRequest(await call.json(), choiceLimit: platform.configuration.maxChoices)
        let (departure, set) = try await begin(call, [request.generation], model: request.model)
        let answer = ChatAnswer(
            try AnswerHead(prefix: "chatcmpl-", model: request.model, generation: set.generation),
            choiceCount: request.generation.choiceCount, hasLogprobs: request.hasLogprobs,
            includesUsage: request.includesUsage)
        if request.isStreamed {
            return try AnswerStream(call, keys: platform.keys, departure: departure).response(set, answer)
        }
        return try await departure.whileClientStays {
            var answer = answer
            try await set.collect { answer.take($0) }
            return .whole(answer.whole, set.generation)
        }
    }

    private func complete(_ call: Call) async throws -> Response {
        try call.checkQuery()
        let request = try CompletionRequest(await call.json(), choiceLimit: platform.configuration.maxChoices)
        let (departure, set) = try await begin(call, request.generations, model: request.model)
        let answer = CompletionAnswer(
            try AnswerHead(prefix: "cmpl-", model: request.model, generation: set.generation),
            promptCount: request.generations.count, choiceCount: request.generations.first?.choiceCount ?? 1,
            hasLogprobs: request.hasLogprobs, includesUsage: request.includesUsage)
        if request.isStreamed {
            return try AnswerStream(call, keys: platform.keys, departure: departure).response(set, answer)
        }
        return try await departure.whileClientStays {
            var answer = answer
            try await set.collect { answer.take($0) }
            return .whole(answer.whole, set.generation)
        }
    }

    /// The work at its start, given up where the client leaves before it has a place.
    func begin(
        _ call: Call, _ requests: [GenerationRequest], model: String
    ) async throws -> (Departure, GenerationSet) {
        let departure = await call.departure()
        let deadline = try call.deadlineMicroseconds()
        let requests = requests.map { request in
            var request = request
            request.deadlineMicroseconds = deadline
            return request
        }
        let (deployments, caller) = (platform.deployments, try call.caller())
        let set = try await departure.whileClientStays {
            try await GenerationSet.begin(requests, model: model, deployments: deployments, by: caller)
        }
        return (departure, set)
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

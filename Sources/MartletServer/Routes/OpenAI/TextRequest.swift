import Foundation
import Hummingbird
import MartletPlatform
import MartletWire

/// An answer that builds up from events and can be told whole or in chunks.
protocol TextAnswer: StreamedAnswer {
    mutating func take(_ item: GenerationSet.Item)
    var whole: JSON { get }
}

/// A request for text that has been read: what routes and background work share.
protocol TextRequest: Sendable {
    associatedtype Answer: TextAnswer
    var model: String { get }
    var prompts: [GenerationRequest] { get }
    var isStreamed: Bool { get }
    func answer(_ generation: Generation) throws -> Answer
    /// Begins the work; returns once the first prompt has its place.
    func begin(
        _ deployments: DeploymentService, deadline: Int?, isBackground: Bool, by principal: Principal
    ) async throws -> GenerationSet
    /// Keeps what was asked to be kept, once the answer is whole.
    func finished(_ answer: Answer, by principal: Principal) async throws
}

extension TextRequest {
    func finished(_ answer: Answer, by principal: Principal) async throws {}

    func begin(
        _ deployments: DeploymentService, deadline: Int?, isBackground: Bool, by principal: Principal
    ) async throws -> GenerationSet {
        let requests = prompts.map { prompt in
            var prompt = prompt
            prompt.deadlineMicroseconds = deadline
            prompt.isBackground = isBackground
            return prompt
        }
        return try await GenerationSet.begin(requests, model: model, deployments: deployments, by: principal)
    }

    /// The whole answer. Throws `cancelled` where the task is cancelled before.
    func whole(_ set: GenerationSet, by principal: Principal) async throws -> JSON {
        var answer = try answer(set.generation)
        try await set.collect { answer.take($0) }
        try await finished(answer, by: principal)
        return answer.whole
    }
}

extension API {
    /// Answers over HTTP, whole or as a stream; given up where the client leaves.
    func answer<Request: TextRequest>(_ call: Call, _ request: Request) async throws -> Response {
        let departure = call.departure
        let deadline = try call.deadlineMicroseconds()
        let (deployments, caller) = (platform.deployments, try call.caller())
        let set = try await departure.whileClientStays {
            try await request.begin(deployments, deadline: deadline, isBackground: false, by: caller)
        }
        if request.isStreamed {
            return try AnswerStream(call, keys: platform.keys, departure: departure)
                .response(set, try request.answer(set.generation)) { try await request.finished($0, by: caller) }
        }
        return try await departure.whileClientStays {
            .whole(try await request.whole(set, by: caller), set.generation)
        }
    }
}

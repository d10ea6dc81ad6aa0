import Foundation
import Hummingbird
import MartletPlatform
import MartletWire

/// `/v1/models`: what can stand as `model` in a request for text.
struct OpenAIModels {
    let platform: Platform

    func list(_ call: Call) async throws -> Response {
        try call.checkQuery("after", "limit")
        let limit = try call.queryNumber("limit", in: 1...10_000)
        let by = try call.caller()
        var served = try await platform.deployments.servable(by: by) + platform.models.tuned(by: by)
        served = served.filter { $0.model.signature.isLanguage }
        if let after = call.query("after") {
            guard let place = served.firstIndex(where: { $0.name == after }) else {
                throw MartletError(
                    .invalidRequest,
                    "'after' is '\(after.prefix(200))', which is none of the models; see GET /v1/models",
                    param: "after")
            }
            served.removeFirst(place + 1)
        }
        let page = served.prefix(limit ?? served.count)
        return .document([
            "object": "list", "data": .array(page.map { document($0, by) }),
            "has_more": .bool(page.count < served.count),
        ])
    }

    func show(_ call: Call) async throws -> Response {
        try call.checkQuery()
        let (name, by) = try call.of("model")
        return .document(document(try await find(name, by), by))
    }

    /// What a deployment or an unfinished job needs stays: 409.
    func delete(_ call: Call) async throws -> Response {
        try call.checkQuery()
        let (name, by) = try call.of("model")
        do {
            try await platform.models.delete(name, by: by)
        } catch let error as MartletError where error.code == .notFound {
            throw unknown(name)
        }
        return .document(["id": .string(name), "object": "model", "deleted": true])
    }

    private func find(_ name: String, _ by: Principal) async throws -> ServedModel {
        do {
            let served = try await platform.deployments.describe(name, by: by)
            guard served.model.signature.isLanguage else { throw unknown(name) }
            return served
        } catch let error as MartletError where error.code == .notFound || error.code == .invalidRequest {
            throw unknown(name)
        }
    }

    private func unknown(_ name: String) -> MartletError {
        MartletError(
            .modelNotFound, "the model '\(name.prefix(200))' does not exist; see GET /v1/models", param: "model")
    }

    private func document(_ served: ServedModel, _ by: Principal) -> JSON {
        var object: JSONObject = [
            "id": .string(served.name), "object": "model",
            "created": JSON(Int(served.model.createdAt.timeIntervalSince1970)), "owned_by": .string(by.projectName),
            "root": .string("\(served.model.name)@\(served.model.version)"),
        ]
        if let language = served.model.signature.language {
            object["max_model_len"] = JSON(language.contextLength)
            object["parent"] = language.base.map { .string($0.reference) }
        }
        return .object(object)
    }
}

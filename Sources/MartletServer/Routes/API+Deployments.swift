import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

extension API {
    private struct Scaling: Decodable { var replicas: Int }

    /// `/api/v1/deployments`: deploy, scale, roll back, predict.
    var deploymentRoutes: [Route] {
        let base = "/api/v1/deployments"
        return [
            Route(.post, base, .developers, "Deploy a model; answers once it is ready (?wait=false: at once).") {
                call in
                try call.checkQuery("wait")
                let request = try await call.decode(DeploymentRequest.self, fields: "model", "name", "replicas", "gate")
                let wait = try call.query("wait") == nil || call.queryFlag("wait")
                return try await .json(
                    platform.gates.deploy(request, wait: wait, by: call.caller()), status: .created)
            },
            Route(.get, base, .inference, "List deployments.") { call in
                try call.checkQuery()
                return try await .json(Page(data: platform.gates.list(by: call.caller())))
            },
            Route(.get, base + "/{name}", .inference, "Show a deployment and its replicas.") { call in
                try call.checkQuery()
                let (name, by) = try call.of("name")
                return try await .json(platform.gates.show(name, by: by))
            },
            Route(.patch, base + "/{name}", .developers, "Scale a deployment: {replicas}.") { call in
                let (name, by) = try call.of("name")
                let scaling = try await call.decode(Scaling.self, fields: "replicas")
                return try await .json(platform.deployments.scale(name, to: scaling.replicas, by: by))
            },
            Route(.post, base + "/{name}/rollback", .developers, "Return to the version before.") { call in
                try await call.checkNoBody()
                let (name, by) = try call.of("name")
                return try await .json(platform.deployments.rollback(name, by: by))
            },
            Route(.delete, base + "/{name}", .developers, "Stop a deployment and forget its name.") { call in
                try call.checkQuery()
                let (name, by) = try call.of("name")
                try await platform.deployments.delete(name, by: by)
                return try .json(Deleted(broken: []))
            },
            Route(
                .post, base + "/{name}/predict", .inference,
                "Answer rows, {\"rows\":[{column: value}]}, or the image that is the body.", isLogged: false
            ) { call in
                try call.checkQuery()
                return try await infer(call, model: call.parameter("name"), api: call.predictionAPI())
            },
        ]
    }

    /// The one way to a replica: the body goes as it came.
    func infer(_ call: Call, model: String, api: InferenceRequest.API, headerLength: Int? = nil) async throws
        -> Response
    {
        let request = InferenceRequest(
            api: api, model: String(model.prefix { $0 != "@" }), headerLength: headerLength,
            deadlineMicroseconds: try call.deadlineMicroseconds())
        do {
            let (deployments, caller) = (platform.deployments, try call.caller())
            try deployments.checkRoom(model, by: caller)
            let buffer = try await call.body()
            let body = [UInt8](buffer.readableBytesView)
            let (reply, answer) = try await call.departure.whileClientStays {
                try await deployments.infer(model: model, request: request, body: body, by: caller)
            }
            statistics.succeeded(model, reply, since: call.arrival)
            var response = Response.bytes(ByteBuffer(bytes: answer), type: reply.contentType)
            if let length = reply.headerLength { response.headers[.inferenceHeaderLength] = String(length) }
            return response
        } catch {
            statistics.failed(model, since: call.arrival)
            throw error
        }
    }
}

extension Call {
    /// Rows where JSON came, a file where an image or sound did. Throws `unsupportedFormat`.
    func predictionAPI() throws -> InferenceRequest.API {
        let type = (header(.contentType) ?? "application/json").prefix { $0 != ";" }.lowercased()
        switch type {
        case "application/json", "application/x-www-form-urlencoded": return .predict
        case "application/octet-stream": return .file
        case let type where type.hasPrefix("image/") || type.hasPrefix("audio/"): return .file
        default:
            throw MartletError(
                .unsupportedFormat,
                "the content type '\(type.prefix(60))' is not taken here; send application/json or an image")
        }
    }
}

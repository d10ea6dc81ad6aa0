import Hummingbird
import MartletPlatform
import MartletWire

extension API {
    /// The Open Inference Protocol, version 2, over REST, with Triton's binary tensors, config, stats and index.
    var openInferenceRoutes: [Route] {
        let server = platform.configuration.serverName
        var routes = [
            Route(.get, "/v2", .everyone, "The server's name, version and extensions.", isLogged: false) { _ in
                .document(OpenInference.server(name: server, version: version))
            },
            Route(.get, "/v2/health/live", .everyone, "Whether the server runs.", isLogged: false) { _ in
                .document(["live": true])
            },
            Route(.get, "/v2/health/ready", .everyone, "Whether the server can work.", isLogged: false) { _ in
                guard platform.isReady else {
                    throw MartletError(.unavailable, "the server is starting or stopping; ask again in a moment")
                }
                return .document(["ready": true])
            },
            Route(.get, "/v2/models/stats", .inference, "Statistics of every model.", isLogged: false) { call in
                let all = try await platform.deployments.servable(by: call.caller())
                return .document([
                    "model_stats": .array(all.map { OpenInference.statistics($0, statistics.entry($0.name)) })
                ])
            },
            Route(.post, "/v2/repository/index", .inference, "What can be asked, and what is ready.", isLogged: false) {
                call in
                let isReadyOnly = try await OpenInference.wantsReadyOnly(call)
                let all = try await platform.deployments.servable(by: call.caller())
                return .document(.array(all.filter { $0.isReady || !isReadyOnly }.map(OpenInference.indexEntry)))
            },
        ]
        for base in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
            routes += [
                Route(.get, base, .inference, "A model's inputs and outputs.", isLogged: false) { call in
                    .document(OpenInference.metadata(try await served(call)))
                },
                Route(.get, base + "/ready", .inference, "Whether a model can answer.", isLogged: false) { call in
                    let served = try await served(call)
                    guard served.isReady else {
                        throw MartletError(.unavailable, "'\(served.name)' is not ready; ask again in a moment")
                    }
                    return .document(["name": .string(served.name), "ready": true])
                },
                Route(
                    .get, base + "/config", .inference, "A model's configuration, as Triton tells it.", isLogged: false
                ) {
                    call in
                    .document(OpenInference.configuration(try await served(call), platform.configuration))
                },
                Route(.get, base + "/stats", .inference, "A model's statistics.", isLogged: false) { call in
                    let served = try await served(call)
                    let entry = statistics.entry(try await reference(call))
                    return .document(["model_stats": [OpenInference.statistics(served, entry)]])
                },
                Route(.post, base + "/infer", .inference, "Answer tensors, JSON or binary.", isLogged: false) { call in
                    try await infer(
                        call, model: reference(call), api: .openInference, headerLength: call.inferenceHeaderLength())
                },
            ]
        }
        return routes
    }

    /// What `infer` is asked for: the path's model, and where a version is named, that version of it.
    private func reference(_ call: Call) async throws -> String {
        let model = try call.parameter("model")
        guard let version = call.parameters["version"] else { return model }
        let served = try await platform.deployments.describe(model, by: call.caller())
        if String(served.model.version) == version { return model }
        guard let number = Int(version), served.versions.contains(number) else {
            throw MartletError(
                .notFound, "'\(model)' has no version '\(version.prefix(20))'; see /v2/models/\(model)")
        }
        return "\(served.model.name)@\(number)"
    }

    private func served(_ call: Call) async throws -> ServedModel {
        var served = try await platform.deployments.describe(reference(call), by: call.caller())
        served.name = try call.parameter("model")
        return served
    }
}

extension Call {
    /// Where the JSON ends and the binary tensors begin. Throws `invalidRequest`.
    func inferenceHeaderLength() throws -> Int? {
        guard let text = header(.inferenceHeaderLength) else { return nil }
        guard let length = Int(text), length >= 0 else {
            throw MartletError(
                .invalidRequest, "Inference-Header-Content-Length is '\(text.prefix(20))'; give the JSON's bytes")
        }
        return length
    }
}

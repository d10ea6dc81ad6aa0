import ArgumentParser
import MartletWire

struct Deploy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Make a model answer under a name.")
    private static let waitSeconds = 120
    @Argument(help: "NAME or NAME@VERSION of the model.") var model: String
    @Option(name: .customLong("as"), help: "The deployment's name; the model's where left out.") var deployment: String?
    @Option(help: "How many processes answer.") var replicas: Int?
    @Option(help: "An eval, by id or name, that the model must pass before it takes over.") var gate: String?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let info: DeploymentInfo = try await Connection.with(options) { client in
            let begun: DeploymentInfo = try await client.send(
                .POST, "/api/v1/deployments" + (gate == nil ? "" : "?wait=false"),
                DeploymentRequest(model: model, name: deployment, replicas: replicas, gate: gate))
            let judged = try await Self.waitForGate(begun, client, options.output)
            return try await Self.waitUntilReady(judged, client, options.output)
        }
        try options.output.show(info) { DeploymentText.whole($0) }
    }

    /// The deployment once its gate is decided, however long that takes. Throws why the model may not take over.
    private static func waitForGate(
        _ begun: DeploymentInfo, _ client: Client, _ output: Output
    ) async throws -> DeploymentInfo {
        guard let gate = begun.gate else { return begun }
        output.note("waiting for the gate: the run \(gate.run) of the eval \(gate.eval)")
        var info = begun
        while info.gate?.run == gate.run {
            try await Task.sleep(for: .milliseconds(200))
            do {
                info = try await client.get("/api/v1/deployments/\(Client.segment(info.name))")
            } catch let error as MartletError where error.code == .notFound {
                throw MartletError(
                    .requirementNotMet,
                    "\(gate.model) was not deployed as \(begun.name): it did not pass the run \(gate.run) of the eval "
                        + "\(gate.eval); see GET /v1/evals/\(gate.eval)/runs/\(gate.run)")
            }
        }
        if info.gate == nil, info.nextModel == nil, let error = info.error {
            throw MartletError(.requirementNotMet, "\(info.name): \(error)")
        }
        guard info.model == gate.model || info.nextModel == gate.model else {
            throw MartletError(.conflict, "a newer request for '\(info.name)' has taken this one's place")
        }
        return info
    }

    /// The deployment once the wanted version answers. Throws why it does not.
    static func waitUntilReady(
        _ begun: DeploymentInfo, _ client: Client, _ output: Output
    ) async throws -> DeploymentInfo {
        var info = begun
        for tick in 0..<(waitSeconds * 10) {
            if info.nextModel == nil {
                if let error = info.error { throw MartletError(.unavailable, "\(info.name): \(error)") }
                if info.ready { return info }
            }
            if tick == 10 { output.note("waiting for \(info.name) to be ready") }
            try await Task.sleep(for: .milliseconds(100))
            info = try await client.get("/api/v1/deployments/\(Client.segment(info.name))")
        }
        throw MartletError(
            .deadlineExceeded,
            "\(info.name) is not ready after \(waitSeconds) s; see: martlet deployments show \(info.name)")
    }
}

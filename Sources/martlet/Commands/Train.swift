import ArgumentParser
import Foundation
import MartletWire

struct Train: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train, measure and register a model; deploy it where the recipe says so.")
    @Argument(help: "The recipe, YAML or JSON.") var recipe: String
    @Option(help: "Set a value of the recipe: key.path=value. May stand several times.") var set: [String] = []
    @Option(help: "The model's name, in place of the recipe's.") var name: String?
    @Option(help: "cpu or cuda[:N].") var device: String?
    @Flag(help: "Print the job's id and leave it to run.") var detach = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let file = try RecipeFile(path: recipe, settings: set, name: name)
        try await Connection.with(options) { client in
            let resolver = DataResolver(client: client, output: options.output, folders: file.folders)
            let tree = try await file.resolved { try await resolver.resolve($0) }
            var request: JSONObject = ["kind": "train", "name": .string(name ?? file.name), "recipe": tree]
            request["device"] = device.map(JSON.string)
            let job: JobInfo = try await client.send(
                .POST, "/api/v1/jobs", JSON.object(request),
                headers: [("Idempotency-Key", UUID().uuidString)])
            if detach {
                return try options.output.show(job) { "\($0.id)\nfollow it with: martlet jobs logs \($0.id) --follow" }
            }
            let interrupt = Interrupt {
                Console.note(
                    "\nthe job goes on: martlet jobs show \(job.id), or stop it: martlet jobs cancel \(job.id)")
                Foundation.exit(0)
            }
            defer { interrupt.cancel() }
            let done = try await JobFollower(client: client, output: options.output).follow(job)
            try JobFollower.check(done)
            try await report(done, client)
        }
    }

    private func report(_ job: JobInfo, _ client: Client) async throws {
        guard let reference = job.model else {
            return try options.output.show(job) { JobText.whole($0) }
        }
        let model: ModelInfo = try await client.get("/api/v1/models/\(Client.segment(reference))")
        if let deployment = job.deployment { await waitUntilReady(deployment, client) }
        try options.output.show(TrainResult(job: job, model: model)) { result in
            var parts = [JobText.metrics(result.model.card.metrics, result.model.card.confusion)]
            var lines = ["model       \(reference)"]
            for unmet in result.model.card.unmetRequirements { lines.append("not met     \(unmet)") }
            if let deployment = job.deployment {
                lines.append("deployment  \(deployment)")
                lines.append("ask it      \(Self.question(deployment, model.signature))")
            } else {
                lines.append("deploy it   martlet deploy \(reference)")
            }
            parts.append(lines.joined(separator: "\n"))
            return parts.joined(separator: "\n\n")
        }
    }
}

extension Train {
    /// Whoever asks the model next should have an answer; a deployment that is not ready takes no result away.
    private func waitUntilReady(_ deployment: String, _ client: Client) async {
        do {
            let begun: DeploymentInfo = try await client.get("/api/v1/deployments/\(Client.segment(deployment))")
            _ = try await Deploy.waitUntilReady(begun, client, options.output)
        } catch {
            options.output.note("\(deployment) does not answer yet: \(error)")
        }
    }

    /// How a model is asked.
    private static func question(_ deployment: String, _ signature: Signature) -> String {
        guard signature.isLanguage else { return "martlet predict \(deployment) --input FILE" }
        if signature.language?.hasChatTemplate == true { return "martlet chat \(deployment)" }
        return "POST /v1/completions {\"model\": \"\(deployment)\", \"prompt\": …}"
    }
}

/// What `train --json` prints.
private struct TrainResult: Encodable {
    var job: JobInfo
    var model: ModelInfo
}

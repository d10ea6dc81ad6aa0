import ArgumentParser
import MartletWire

struct Evaluate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Measure a model on a dataset.")
    @Argument(help: "NAME or NAME@VERSION of the model.") var model: String
    @Argument(help: "NAME or NAME@VERSION of the dataset, or a path.") var dataset: String
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let job: JobInfo = try await Connection.with(options) { client in
            let resolved = try await DataResolver(client: client, output: options.output, folders: ["."])
                .resolve(dataset)
            let job: JobInfo = try await client.send(
                .POST, "/api/v1/jobs", JobRequest(kind: .evaluate, model: model, dataset: resolved))
            return try await JobFollower(client: client, output: options.output).follow(job)
        }
        try options.output.show(job) { JobText.report($0.result ?? .null) }
        try JobFollower.check(job)
    }
}

import ArgumentParser
import MartletWire

struct Evaluate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure a model on a dataset; a language model on texts, or by graders of its answers.")
    @Argument(help: "NAME or NAME@VERSION of the model.") var model: String
    @Argument(help: "NAME or NAME@VERSION of the dataset, or a path.") var dataset: String
    @Option(
        help: "A file of graders in OpenAI's form: a list, or testing_criteria with sampling_params and input_messages."
    )
    var graders: String?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        if let graders { return try await grade(GraderFile(path: graders)) }
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

    private func grade(_ file: GraderFile) async throws {
        let folders = DatasetFolders(options: options)
        defer { folders.remove() }
        var path = DataResolver.path(dataset, in: ["."]) ?? ""
        if path.isEmpty { path = try await folders.path(of: dataset) }
        let items = try EvalItems(path: path)
        let run = try await Connection.with(options) { client in
            try await EvalRunner(client: client, output: options.output).run(file, model: model, items)
        }
        try options.output.show(run) { EvalText.run($0) }
        if run["status"]?.string != "completed" {
            throw MartletError(
                .invalidData,
                run["error"]?["message"]?.string ?? "the run ended as \(run["status"]?.string ?? "unknown")")
        }
    }
}

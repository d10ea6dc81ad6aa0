import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// Measures a registered model on a dataset: the same preprocessing, the same metrics as at the end of training.
public struct EvaluateJob {
    private let task: EvaluateTask
    private let link: JobLink
    private let serving: ServingPath?
    private let badRows = BadRows()
    private let watch: ReadingWatch

    /// - Parameter serving: how a bundle is served, through which a language model is measured.
    public init(_ task: EvaluateTask, link: JobLink, serving: ServingPath? = nil) {
        self.task = task
        self.link = link
        self.serving = serving
        watch = ReadingWatch(badRows: badRows) { try link.goOn() }
    }

    /// Runs on the compute thread. Throws `invalidData` where the rows do not fit the model.
    public func run() throws -> JobOutcome {
        try link.carryOut(jobID: task.jobID, directory: task.directory, badRows) { try work() }
    }

    private func work() throws -> JobOutcome {
        guard let device = Device(task.share.device) else {
            throw MartletError(.invalidRequest, "'\(task.share.device)' is not a device; use cpu or cuda:0")
        }
        try Torch.setThreadCount(task.share.threads)
        link.progress(JobProgress(phase: "preparing"))
        let card = try JSONDecoder.wire.decode(ModelCard.self, from: read(BundleFile.card))
        let signature = try JSONDecoder.wire.decode(Signature.self, from: read(BundleFile.signature))
        if signature.isLanguage, let language = signature.language { return try measure(language, card) }
        let recipe = try RecipeReader.read(json: card.recipe).recipe
        let preprocessing = try Preprocessing.read(from: "\(task.bundle)/\(BundleFile.preprocessing)")
        let config = try JSONDecoder.wire.decode(NetworkConfig.self, from: read(BundleFile.config))
        let network = try FeatureNetwork(config)
        // A card's recipe is in the order of its keys, the network in that of the recipe's file.
        let outputs = config.outputs.compactMap { output in recipe.outputs.first { $0.name == output.name } }
        try network.load(SafeTensors(path: "\(task.bundle)/\(BundleFile.weights)").tensors())
        try network.move(to: device)
        let (rows, report) = try DataPipeline.encode(
            paths: [task.dataset.path], csv: recipe.data.csv, preprocessing: preprocessing,
            cacheDirectory: "\(task.directory)/cache", watch: watch)
        for warning in report.warnings { EventKeys.message(warning, link) }
        let evaluator = try Evaluator(
            network: network, outputs: outputs, preprocessing: preprocessing, device: device)
        let result = try evaluator.evaluate(rows, device: device) { done in
            try link.goOn()
            link.progress(JobProgress(phase: "evaluating", step: done, totalSteps: rows.count))
        }
        let json: JSON = [
            "rows": JSON(rows.count), "metrics": try JSON(encoding: result.metrics),
            "confusion": try JSON(encoding: result.confusion), "data": try JSON(encoding: report),
        ]
        return .finished(JobResult(report: json, usage: JobUsage(cpuSeconds: 0, rows: rows.count)))
    }

    /// Texts are read as the recipe that made the model says, where there is one.
    private func measure(_ language: LanguageSummary, _ card: ModelCard) throws -> JobOutcome {
        guard let serving else {
            throw MartletError(.internal, "an evaluation was started without a serving path to measure through")
        }
        let data = card.recipe.isNull ? DataConfig() : try RecipeReader.read(json: card.recipe).recipe.data
        return try LanguageEvaluation(task: task, link: link, serving: serving, watch: watch).run(language, data)
    }

    private func read(_ name: String) throws -> Data {
        guard let data = FileManager.default.contents(atPath: "\(task.bundle)/\(name)") else {
            throw MartletError(.invalidData, "the bundle has no \(name); export or train the model again")
        }
        return data
    }
}

/// Reads a dataset and describes it.
public struct ProfileJob {
    private let task: ProfileTask
    private let link: JobLink

    public init(_ task: ProfileTask, link: JobLink) {
        self.task = task
        self.link = link
    }

    public func run() throws -> JobOutcome {
        link.progress(JobProgress(phase: "preparing"))
        let badRows = BadRows()
        return try link.carryOut(jobID: task.jobID, directory: task.directory, badRows) {
            let report = try DataProfile.profile(
                paths: [task.dataset.path], watch: ReadingWatch(badRows: badRows) { try link.goOn() })
            return .finished(JobResult(report: try JSON(encoding: report), usage: JobUsage(cpuSeconds: 0, rows: 0)))
        }
    }
}

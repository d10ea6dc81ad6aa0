import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// One training job from its recipe to its bundle: prepare the data, train with checkpoints, measure, publish.
///
/// Everything is derived from the recipe, the data and the newest whole checkpoint in the job's folder, so a job that
/// was killed is started again in the same way and ends with the same bits.
public struct TrainJob {
    let task: TrainTask
    let link: JobLink
    let recipe: Recipe
    let device: Device
    let serving: ServingPath?
    /// Looks on while data is read, and collects rows that cannot be used.
    let watch: ReadingWatch
    private let badRows = BadRows()

    /// - Parameter serving: how a bundle is served, which a tuning job compares itself with.
    public init(_ task: TrainTask, link: JobLink, serving: ServingPath? = nil) throws {
        self.task = task
        self.serving = serving
        self.link = link
        watch = ReadingWatch(badRows: badRows) { try link.goOn() }
        recipe = try RecipeReader.read(json: task.recipe).recipe
        guard let device = Device(task.share.device) else {
            throw MartletError(.invalidRequest, "'\(task.share.device)' is not a device; use cpu or cuda:0")
        }
        self.device = device
    }

    /// Runs on the compute thread until the job is done or asked to stop.
    public func run() throws -> JobOutcome {
        try Torch.setDeterministic(true)
        return try link.carryOut(jobID: task.jobID, directory: task.directory, badRows) { try work() }
    }

    private func work() throws -> JobOutcome {
        link.progress(JobProgress(phase: "preparing"))
        if recipe.base != nil { return try tune() }
        if let model = recipe.model { return try trainLanguage(model) }
        let started = ContinuousClock.now
        var foldMetrics: [[String: Double]] = []
        if let folds = recipe.data.split.folds {
            for fold in 0..<folds {
                if let stop = try crossValidate(fold: fold, of: folds, &foldMetrics) { return stop }
            }
        }
        let data = try prepare(fold: nil)
        announce(data)
        // Now, and not when the training is done.
        try Evaluator.checkLabels(of: recipe.outputs, in: data.test, "the test rows")
        let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
        try start(network)
        var loop = try TrainingLoop(
            recipe: finalRecipe(data), objective: try objective(network, data),
            directory: "\(task.directory)/checkpoints", environment: environment, link: link)
        if let stop = try loop.run() {
            return stop == .pause ? .paused : .cancelled
        }
        link.progress(JobProgress(phase: "evaluating"))
        let card = try measure(network, data, foldMetrics, loop: loop)
        try link.goOn()
        link.progress(JobProgress(phase: "publishing"))
        let bundle = Bundle(
            network: network, preprocessing: data.preprocessing, card: card, directory: "\(task.directory)/bundle")
        try bundle.write()
        let elapsed = started.duration(to: .now)
        let usage = JobUsage(
            cpuSeconds: elapsed.seconds * Double(task.share.threads), rows: loop.rowsTrained)
        return .finished(
            JobResult(bundle: "bundle", card: card, report: try JSON(encoding: data.report), usage: usage))
    }

    /// After cross-validation no rows are held out that could stop the final training early.
    private func finalRecipe(_ data: PreparedData) -> Recipe {
        guard recipe.data.split.folds != nil, data.validation.count == 0, recipe.training.earlyStopping != nil else {
            return recipe
        }
        link.event(
            JobEvent(
                key: "no-early-stopping", type: "message",
                message:
                    "the final model learns from all rows, so it trains for its whole length without early stopping"))
        var recipe = recipe
        recipe.training.earlyStopping = nil
        return recipe
    }

    var environment: [String: String] {
        [
            "libtorch": Torch.version, "cpu": Torch.cpuCapability, "threads": String(task.share.threads),
            "device": task.share.device,
        ]
    }

    private func start(_ network: FeatureNetwork) throws {
        try Torch.setThreadCount(
            Self.threads(
                for: network, batchSize: recipe.training.batchSize, share: task.share.threads))
        try network.initialize(seed: UInt64(recipe.training.seed))
        try network.move(to: device)
    }

    /// Threads that pay: a small step is over before a second thread has woken.
    public static func threads(for network: FeatureNetwork, batchSize: Int, share: Int) -> Int {
        Double(network.multiplyAdds) * Double(batchSize) < 16e6 ? 1 : share
    }

    private func prepare(fold: Int?) throws -> PreparedData {
        let name = fold.map { "cache-fold-\($0)" } ?? "cache"
        let sources = try ResolvedSources(recipe.data.source, mounts: task.datasets)
        return try DataPipeline.prepare(
            recipe, sources: sources, cacheDirectory: "\(task.directory)/\(name)", fold: fold, watch: watch
        ) { message in
            EventKeys.message(message, link)
        }
    }

    private func announce(_ data: PreparedData) {
        let counts =
            "\(data.train.count) rows to train on, \(data.validation.count) to validate, \(data.test.count) to test"
        link.event(
            JobEvent(key: "data", type: "data", message: counts, data: (try? JSON(encoding: data.report)) ?? .null))
        for warning in data.report.warnings { EventKeys.message(warning, link) }
    }

    /// Trains one fold from scratch and reports its held-out metrics; a fold that has been reported is not repeated.
    /// Returns how it was stopped, where it was.
    private func crossValidate(
        fold: Int, of folds: Int, _ foldMetrics: inout [[String: Double]]
    ) throws -> JobOutcome? {
        let resultPath = "\(task.directory)/fold-\(fold).json"
        if !FileManager.default.fileExists(atPath: resultPath) {
            let data = try prepare(fold: fold)
            let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
            try start(network)
            var loop = try TrainingLoop(
                recipe: recipe, objective: try objective(network, data),
                directory: "\(task.directory)/checkpoints-fold-\(fold)", environment: environment, link: link,
                label: "fold-\(fold + 1)-")
            if let stop = try loop.run() { return stop == .pause ? .paused : .cancelled }
            let result = try evaluator(network, data).evaluate(data.validation, device: device) { _ in
                try link.goOn()
            }
            try DurableFile.write(try JSONEncoder.wire.encode(result.metrics), to: resultPath)
            try FileManager.default.removeItem(atPath: "\(task.directory)/cache-fold-\(fold)")
        }
        let metrics = try JSONDecoder.wire.decode(
            [String: Double].self, from: Data(contentsOf: URL(fileURLWithPath: resultPath)))
        foldMetrics.append(metrics)
        link.event(
            JobEvent(
                key: "fold-\(fold + 1)", type: "metrics", message: "fold \(fold + 1) of \(folds)",
                data: ["fold": JSON(fold + 1), "validation": try JSON(encoding: metrics)]))
        return nil
    }

    private func objective(_ network: FeatureNetwork, _ data: PreparedData) throws -> FeatureObjective {
        try FeatureObjective(
            network: network, rows: data.train, outputs: recipe.outputs, seed: UInt64(recipe.training.seed),
            augment: recipe.data.augment,
            validation: .init(rows: data.validation, preprocessing: data.preprocessing), device: device,
            goOn: watch.goOn)
    }

    private func evaluator(_ network: FeatureNetwork, _ data: PreparedData) throws -> Evaluator {
        try Evaluator(network: network, outputs: recipe.outputs, preprocessing: data.preprocessing, device: device)
    }

    private func measure(
        _ network: FeatureNetwork, _ data: PreparedData, _ foldMetrics: [[String: Double]], loop: TrainingLoop
    ) throws -> ModelCard {
        var card = try newCard(parameterCount: network.parameterCount, loop)
        let evaluator = try evaluator(network, data)
        for (name, rows) in [("validation", data.validation), ("test", data.test)] where rows.count > 0 {
            let result = try evaluator.evaluate(rows, device: device) { _ in try link.goOn() }
            card.metrics[name] = result.metrics
            for (output, matrix) in result.confusion { card.confusion["\(output).\(name)"] = matrix }
            link.event(
                JobEvent(
                    key: "\(name)-metrics", type: "metrics", message: "\(name) metrics",
                    data: [name: try JSON(encoding: result.metrics)]))
        }
        if let first = foldMetrics.first {
            let everywhere = first.keys.filter { name in foldMetrics.allSatisfy { $0[name] != nil } }
            card.metrics["folds"] = Dictionary(
                everywhere.map { name in
                    (name, foldMetrics.reduce(0) { $0 + ($1[name] ?? 0) } / Double(foldMetrics.count))
                }, uniquingKeysWith: { $1 })
        }
        let measured = card.metrics["test"] ?? card.metrics["validation"] ?? card.metrics["folds"] ?? [:]
        judge(&card, by: measured)
        return card
    }

    /// What a model's card says of where it comes from.
    func newCard(parameterCount: Int, _ loop: TrainingLoop) throws -> ModelCard {
        var card = ModelCard()
        card.name = recipe.name
        card.parameterCount = parameterCount
        card.recipe = task.recipe
        card.recipeHash = ContentHash.of(try JSONEncoder.wire.encode(task.recipe))
        card.data = Dictionary(task.datasets.map { ($0.resolved, $0.contentHash) }, uniquingKeysWith: { $1 })
        card.jobID = task.jobID
        card.environment = environment
        card.stepsTrained = loop.session.stepsDone
        card.secondsTrained = loop.secondsTrained
        return card
    }

    /// Holds the measured metrics to the recipe's requirements.
    func judge(_ card: inout ModelCard, by measured: [String: Double]) {
        for (metric, text) in recipe.evaluation.require.sorted(by: { $0.key < $1.key }) {
            guard let requirement = Requirement(text) else { continue }
            guard let value = measured[metric] else {
                card.unmetRequirements.append("\(metric) \(text): there is no metric of this name")
                continue
            }
            if !requirement.isMet(by: value) { card.unmetRequirements.append("\(metric) \(text): it is \(value)") }
        }
        for (index, unmet) in card.unmetRequirements.enumerated() {
            link.event(
                JobEvent(
                    key: "unmet-\(index)", type: "warning", level: "warning",
                    message: "a requirement is not met, so the model is kept but not deployed: \(unmet)"))
        }
    }
}

/// Keys of events that a resumed job must repeat with the same key.
enum EventKeys {
    static func message(_ message: String, _ link: JobLink) {
        link.event(JobEvent(key: "message-\(ContentHash.of(message).prefix(16))", type: "message", message: message))
    }
}

extension Duration {
    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}

extension ResolvedSources {
    /// The folders behind a recipe's sources. Throws `notFound` for one without a mount.
    public init(_ source: DataSource, mounts: [DatasetMount]) throws {
        func paths(_ references: [String]) throws -> [String] {
            try references.map { reference in
                guard let mount = mounts.first(where: { $0.reference == reference }) else {
                    throw MartletError(
                        .notFound, "the dataset '\(reference)' is not known; add it with martlet data add")
                }
                return mount.path
            }
        }
        self.init(
            all: try paths(source.all), train: try paths(source.train), validation: try paths(source.validation),
            test: try paths(source.test))
    }
}

import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

extension TrainJob {
    /// Trains a registered language model further, from the examples to a bundle that serving was seen to answer from.
    func tune() throws -> JobOutcome {
        let started = ContinuousClock.now
        guard let base = task.base else {
            throw MartletError(
                .invalidRecipe,
                "the base '\(recipe.base ?? "")' has no model beside it; run the recipe with martlet train",
                param: "base")
        }
        guard let made = try tuning(of: base) else { return stopped }
        let (tuned, data, text, chosen, objective) = (made.tuned, made.data, made.text, made.chosen, made.objective)
        let bundle = TunedBundle(tuned: tuned, base: base)
        for point in try tunedPoints() { link.checkpoint(point) }
        let session = try TrainingSession(objective, config: chosen.recipe.training)
        let reporter = TuningReporter(session, link: link)
        var loop = try TrainingLoop(
            recipe: chosen.recipe, session: session, directory: "\(task.directory)/checkpoints",
            environment: environment, link: link
        ) { report in
            guard let numbers = try reporter.report(report, objective) else { return }
            try keep(TunedCheckpoint(step: report.step, bundle: point(report.step), metrics: numbers), bundle, text)
        }
        if let stop = try loop.run() { return stop == .pause ? .paused : .cancelled }

        link.progress(JobProgress(phase: "evaluating"))
        var card = try newCard(parameterCount: tuned.trainedCount, loop)
        card.hashes = text.hashes.merging(["base": base.contentHash]) { $1 }
        if let measured = try objective.validate() {
            card.metrics["validation"] = measured
            link.event(
                JobEvent(
                    key: "validation-metrics", type: "metrics", message: "validation metrics",
                    data: ["validation": try JSON(encoding: measured)]))
        }
        judge(&card, by: card.metrics["validation"] ?? [:])
        try link.goOn()
        link.progress(JobProgress(phase: "publishing"))
        try publish(bundle, &card, data, text)
        let passes = Double(session.stepsDone) / Double(session.stepsPerEpoch)
        let usage = JobUsage(
            cpuSeconds: started.duration(to: .now).seconds * Double(task.share.threads), rows: loop.rowsTrained,
            trainedTokens: Int((Double(objective.tokensPerEpoch) * passes).rounded()))
        return .finished(
            JobResult(bundle: "bundle", card: card, report: try JSON(encoding: data.facts), usage: usage))
    }

    /// A base with what it is to learn, before the first step.
    struct Tuning {
        let tuned: TunedModel
        let data: TuningData
        let text: TuningText
        let chosen: Hyperparameters
        let objective: any TuningObjective
        /// The base's parts, with the numbers in them.
        let layers: [LayerSummary]
    }

    /// Reads the examples, chooses what the recipe leaves out and loads the base; nil where the job was asked to stop.
    func tuning(of base: BaseModel) throws -> Tuning? {
        // What cannot be meant is told before the data is read.
        if method == .reinforcement { _ = try ReinforcementObjective.Rules(recipe, canAsk: link.ask != nil) }
        try Torch.setThreadCount(task.share.threads)
        let folder = try ModelFolder(URL(filePath: base.path))
        let (geometry, layers) = try Parameter.withoutMemory {
            let model = try LanguageModelCatalog.make(config: folder.config)
            return (model.geometry, LayerSummary.parts(of: model))
        }
        let text = try TuningText(folder, geometry: geometry)
        guard let data = try examples(text, base) else { return nil }
        tell(data.facts)

        let adapter = try adapterConfig(base)
        let chosen = Hyperparameters(
            recipe, tree: task.recipe,
            .init(
                examples: method == .dpo ? data.train.count / 2 : data.train.count, tokens: data.train.tokenCount,
                method: method, isAdapter: adapter != nil, width: geometry.width))
        link.event(
            JobEvent(key: "hyperparameters", type: "data", message: "hyperparameters", data: chosen.facts))

        try link.goOn()
        let tuned = try TunedModel(
            base: base.path, adapter: adapter, precision: recipe.adapter?.basePrecision ?? .float32,
            adapterPath: base.adapterPath, seed: UInt64(recipe.training.seed), device: device)
        try Torch.setThreadCount(threads(tuned, data, batchSize: chosen.recipe.training.batchSize))
        guard let objective = try objective(tuned, data, text) else { return nil }
        return Tuning(
            tuned: tuned, data: data, text: text, chosen: chosen, objective: objective, layers: layers)
    }

    /// Threads that pay: a small step is over before a second thread has woken.
    private func threads(_ tuned: TunedModel, _ data: TuningData, batchSize: Int) -> Int {
        let numbers = tuned.model.parameters().reduce(0) { $0 + $1.parameter.value.count }
        let tokens = Double(data.train.tokenCount) / Double(max(1, data.train.count)) * Double(batchSize)
        return Double(numbers) * tokens < 16e6 ? 1 : task.share.threads
    }

    private var method: TuningConfig.Method { recipe.tuning?.method ?? .supervised }
    private var stopped: JobOutcome { link.stop() == .pause ? .paused : .cancelled }

    private func examples(_ text: TuningText, _ base: BaseModel) throws -> TuningData? {
        let hasSplit = task.recipe["data"]?["split"].map { !$0.isNull } ?? false
        let split = hasSplit ? recipe.data.split : nil
        let key = ContentHash.of(
            ([
                method.rawValue, base.contentHash, base.adapterReference ?? "",
                "\(text.hashes.sorted { $0.key < $1.key })",
            ]
                + task.datasets.map { "\($0.reference) \($0.resolved) \($0.contentHash)" }.sorted()
                + [try JSON(encoding: recipe.data).serialized(), "\(hasSplit)"]).joined(separator: "\n"))
        return try TuningData.prepare(
            ResolvedSources(recipe.data.source, mounts: task.datasets), method: method, split: split, text: text,
            key: key,
            cacheDirectory: "\(task.directory)/cache", badRows: watch.badRows ?? BadRows()
        ) { link.stop() != nil }
    }

    private func tell(_ facts: TuningData.Facts) {
        link.event(
            JobEvent(
                key: "data", type: "data",
                message: "\(facts.trainCount) examples of \(facts.trainTokens) tokens to train on, "
                    + "\(facts.learntTokens) of them learnt; \(facts.validationCount) to validate",
                data: (try? JSON(encoding: facts)) ?? .null))
        for remark in facts.remarks { EventKeys.message(remark, link) }
    }

    /// The adapter that is trained: a new one, or the one that the base is.
    private func adapterConfig(_ base: BaseModel) throws -> LanguageAdapter.Config? {
        guard let path = base.adapterPath else { return recipe.adapter.map { LanguageAdapter.Config($0) } }
        let config = try LanguageAdapter.config(of: path)
        EventKeys.message(
            "'\(base.adapterReference ?? recipe.base ?? "")' is an adapter and is trained further as it is: rank "
                + "\(config.rank), alpha \(config.alpha), \(config.targets.joined(separator: ", "))", link)
        return config
    }

    private func objective(
        _ tuned: TunedModel, _ data: TuningData, _ text: TuningText
    ) throws -> (any TuningObjective)? {
        let seed = UInt64(recipe.training.seed)
        switch method {
        case .supervised:
            return SupervisedObjective(
                tuned, train: data.train, validation: data.validation, seed: seed, goOn: watch.goOn)
        case .dpo:
            let references = try PreferenceReferences.prepare(
                tuned, data, cacheDirectory: "\(task.directory)/cache"
            ) { link.stop() != nil }
            return references.map {
                PreferenceObjective(
                    tuned, train: data.train, validation: data.validation, references: $0,
                    beta: recipe.tuning?.beta ?? Hyperparameters.beta, seed: seed, goOn: watch.goOn)
            }
        case .reinforcement:
            let rules = try ReinforcementObjective.Rules(recipe, canAsk: link.ask != nil)
            return ReinforcementObjective(
                tuned, train: .init(examples: data.train, items: data.items.train),
                validation: .init(examples: data.validation, items: data.items.validation),
                rules: rules, jury: try GraderJury(rules.grader, directory: task.directory, link: link), text: text,
                goOn: watch.goOn)
        }
    }

    // MARK: Points that answer

    private func point(_ step: Int) -> String { "tuned/step-\(step)" }

    /// Writes a point's bundle, then that it is there, then tells it: a worker that dies between tells it again.
    private func keep(_ point: TunedCheckpoint, _ bundle: TunedBundle, _ text: TuningText) throws {
        var card = ModelCard()
        card.name = recipe.name
        card.parameterCount = bundle.tuned.trainedCount
        card.recipe = task.recipe
        card.recipeHash = ContentHash.of(try JSONEncoder.wire.encode(task.recipe))
        card.data = Dictionary(task.datasets.map { ($0.resolved, $0.contentHash) }, uniquingKeysWith: { $1 })
        card.jobID = task.jobID
        card.environment = environment
        card.stepsTrained = point.step
        card.metrics = ["checkpoint": point.metrics]
        card.hashes = text.hashes.merging(["base": bundle.base.contentHash]) { $1 }
        try bundle.write(card, to: "\(task.directory)/\(point.bundle)")
        try DurableFile.write(
            try JSONEncoder.wire.encode(point), to: "\(task.directory)/\(point.bundle).json")
        link.checkpoint(point)
    }

    /// The points of a worker before this one.
    private func tunedPoints() throws -> [TunedCheckpoint] {
        let folder = "\(task.directory)/tuned"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(".json") }.compactMap { name in
            guard let data = FileManager.default.contents(atPath: "\(folder)/\(name)"),
                let point = try? JSONDecoder.wire.decode(TunedCheckpoint.self, from: data),
                FileManager.default.fileExists(atPath: "\(task.directory)/\(point.bundle)")
            else { return nil }
            return point
        }.sorted { $0.step < $1.step }
    }

    // MARK: Publishing

    private func publish(
        _ bundle: TunedBundle, _ card: inout ModelCard, _ data: TuningData, _ text: TuningText
    ) throws {
        let check = ParityCheck(data) { text.tokenizer.token(of: $0) ?? "" }
        let base = bundle.tuned.adapter == nil ? nil : bundle.base.path
        let exact = try exactModel(bundle)
        try publish(&card, check, base: base, trained: { try exact.logits($0) }) { try bundle.write($0, to: $1) }
    }

    /// What serving must compute: the trained model; where its base lay in 8 bits, the adapter on the base itself, since
    /// that is what is served.
    private func exactModel(_ bundle: TunedBundle) throws -> TunedModel {
        guard let adapter = bundle.tuned.adapter, recipe.adapter?.basePrecision == .int8 else { return bundle.tuned }
        let exact = try TunedModel(base: bundle.base.path, adapter: adapter.config, device: device)
        try exact.module.load(adapter.state())
        return exact
    }
}

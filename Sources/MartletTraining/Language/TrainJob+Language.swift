import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

extension TrainJob {
    /// Trains a language model on texts, from the tokenizer to the bundle that chat is served from.
    func trainLanguage(_ config: LanguageModelRecipe) throws -> JobOutcome {
        let started = ContinuousClock.now
        let (texts, data) = try LanguageTexts.prepare(
            recipe, config, sources: try ResolvedSources(recipe.data.source, mounts: task.datasets),
            cacheDirectory: "\(task.directory)/cache", watch: watch
        ) { EventKeys.message($0, link) }
        tell(data)
        try Torch.setThreadCount(task.share.threads)
        let trained = try LanguageTraining(recipe, config, texts, data, device: device, goOn: watch.goOn)
        var loop = try TrainingLoop(
            recipe: recipe, objective: trained.objective, directory: "\(task.directory)/checkpoints",
            environment: environment, link: link)
        if let stop = try loop.run() { return stop == .pause ? .paused : .cancelled }
        link.progress(JobProgress(phase: "evaluating"))
        var card = try newCard(parameterCount: trained.model.parameterCount, loop)
        for split in [Split.validation, .test] where data[split].count > 1 {
            let metrics = try trained.objective.measure(data[split])
            card.metrics[split.rawValue] = metrics
            link.event(
                JobEvent(
                    key: "\(split.rawValue)-metrics", type: "metrics", message: "\(split.rawValue) metrics",
                    data: [split.rawValue: try JSON(encoding: metrics)]))
        }
        judge(&card, by: card.metrics["test"] ?? card.metrics["validation"] ?? [:])
        card.hashes = ["tokenizer": texts.tokenizer.contentHash]
        try link.goOn()
        link.progress(JobProgress(phase: "publishing"))
        let check = ParityCheck(data, length: config.context) { texts.tokenizer.token(of: $0) ?? "" }
        try publish(&card, check, trained: trained.objective.logits) { try trained.publish($0, to: $1) }
        let seconds = started.duration(to: .now).seconds
        let report: JSON = [
            "documents": JSON(data.documentCount), "vocabulary": JSON(texts.tokenizer.vocabularySize),
            "tokens": [
                "train": JSON(data.train.count), "validation": JSON(data.validation.count),
                "test": JSON(data.test.count),
            ],
        ]
        return .finished(
            JobResult(
                bundle: "bundle", card: card, report: report,
                usage: JobUsage(cpuSeconds: seconds * Double(task.share.threads), rows: loop.rowsTrained)))
    }

    private func tell(_ data: TokenData) {
        link.event(
            JobEvent(
                key: "data", type: "data",
                message: "\(data.train.count) tokens to train on, \(data.validation.count) to validate, "
                    + "\(data.test.count) to test, of \(data.documentCount) texts"))
        for remark in data.remarks { EventKeys.message(remark, link) }
    }
}

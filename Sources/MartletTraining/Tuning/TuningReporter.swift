import MartletWire

/// Tells of a tuning job's steps, at most about a thousand times, with keys that a resumed job repeats.
struct TuningReporter {
    private let link: JobLink
    private let totalSteps: Int
    private let batchSize: Int
    private let every: Int
    private let measureEvery: Int

    private static let eventLimit = 1000
    private static let measureLimit = 100

    init(_ session: TrainingSession, link: JobLink) {
        self.link = link
        totalSteps = session.totalSteps
        batchSize = session.config.batchSize
        every = (totalSteps - 1) / Self.eventLimit + 1
        measureEvery = (totalSteps - 1) / Self.measureLimit + 1
    }

    /// Sends the step's event where one is due. Returns its numbers, by OpenAI's names, at an epoch's end.
    func report(_ report: StepReport, _ objective: any TuningObjective) throws -> [String: Double]? {
        guard report.isEpochEnd || report.step % every == 0 else { return nil }
        var numbers: [String: Double] = ["train_loss": report.loss]
        for (name, value) in objective.stepMetrics { numbers["train_\(name)"] = value }
        if report.isEpochEnd || report.step % measureEvery == 0,
            let measured = try objective.validationSample(step: report.step, count: batchSize)
        {
            for (name, value) in measured { numbers["valid_\(name)"] = value }
        }
        for (name, value) in report.validation ?? [:] { numbers["full_valid_\(name)"] = value }
        var data: JSONObject = ["step": JSON(report.step), "total_steps": JSON(totalSteps)]
        for (name, value) in numbers.sorted(by: { $0.key < $1.key }) { data[name] = .double(value) }
        link.event(
            JobEvent(
                key: "step-\(report.step)", type: "metrics", message: "step \(report.step) of \(totalSteps)",
                data: .object(data)))
        return report.isEpochEnd ? numbers : nil
    }
}

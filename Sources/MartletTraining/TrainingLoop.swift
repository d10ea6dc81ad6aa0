import Foundation
import MartletWire

/// What a loop tells of a step that is done.
struct StepReport {
    var step: Int
    var loss: Double
    /// Metrics of the validation rows, where the step ended an epoch and there are some.
    var validation: [String: Double]?
    var isEpochEnd: Bool
}

/// Steps a session to its end: validates each epoch, saves, reports, stops early or when asked.
struct TrainingLoop {
    let session: TrainingSession
    private(set) var secondsTrained = 0.0
    private(set) var rowsTrained = 0

    private let recipe: Recipe
    private let store: CheckpointStore
    private let interval: CheckpointInterval
    private let environment: [String: String]
    private let recipeHash: String
    private let link: JobLink
    /// Before the keys of events, where a job trains more than once.
    private let label: String
    private var reporter: ProgressReporter
    private var lossSum = 0.0
    private var lossCount = 0.0
    private var best: CheckpointState.Best?
    private var epochsWithoutImprovement = 0
    private var toldOfNoLabels = false
    /// The step of the newest checkpoint.
    private var savedStep: Int?
    /// As the checkpoint's.
    private var unmeasuredLoss: Double?
    /// Called after each step, before the step can be saved: what it writes is there when the step is not done again.
    private let afterStep: ((StepReport) throws -> Void)?
    private let clock = ContinuousClock()

    init(
        recipe: Recipe, objective: any TrainingObjective, directory: String, environment: [String: String],
        link: JobLink, label: String = ""
    ) throws {
        try self.init(
            recipe: recipe, session: TrainingSession(objective, config: recipe.training), directory: directory,
            environment: environment, link: link, label: label)
    }

    init(
        recipe: Recipe, session: TrainingSession, directory: String, environment: [String: String], link: JobLink,
        label: String = "", afterStep: ((StepReport) throws -> Void)? = nil
    ) throws {
        self.recipe = recipe
        self.session = session
        self.afterStep = afterStep
        self.link = link
        self.environment = environment
        self.label = label
        recipeHash = ContentHash.of(try JSONEncoder.wire.encode(recipe))
        store = try CheckpointStore(directory: directory, keep: recipe.training.checkpoint.keep)
        interval = CheckpointInterval(recipe.training.checkpoint.every) ?? .seconds(60)
        reporter = ProgressReporter(session: session, link: link)
        try goOn()
    }

    /// Trains to the end. Returns why it stopped before, where it did.
    mutating func run() throws -> JobLink.Stop? {
        var lastSave = clock.now
        var lastTick = clock.now
        while unmeasuredLoss != nil || !session.isDone && !isOutOfPatience {
            let loss: Double
            do {
                loss = try nextLoss()
            } catch let stopped as JobStopped {
                return try stop(stopped.how)
            }
            var improved = false
            var report = StepReport(
                step: session.stepsDone, loss: loss, isEpochEnd: session.isEpochStart || session.isDone)
            if report.isEpochEnd {
                do {
                    (improved, report.validation) = try finishEpoch()
                } catch let stopped as JobStopped {
                    return try stop(stopped.how, before: loss)
                }
            }
            do {
                try afterStep?(report)
            } catch let stopped as JobStopped {
                // An epoch's end was measured and counted: it is reached again from the newest checkpoint.
                return report.isEpochEnd ? stopped.how : try stop(stopped.how, before: loss)
            }
            if reporter.isDue {
                countTime(since: &lastTick)
                reporter.report()
                if let how = link.stop() { return try stop(how) }
            }
            if isSaveDue(improved, since: lastSave) {
                try save()
                lastSave = clock.now
            }
        }
        countTime(since: &lastTick)
        try save()
        try goBackToTheBest()
        return nil
    }

    /// Of the next step, or of the one that is done and was not measured.
    private mutating func nextLoss() throws -> Double {
        if let known = unmeasuredLoss {
            unmeasuredLoss = nil
            return known
        }
        let (loss, rows) = try session.step()
        lossSum += loss * Double(rows)
        lossCount += Double(rows)
        rowsTrained += rows
        if rows == 0 { tellOfNoLabels() }
        reporter.count(rows: rows, loss: loss)
        return loss
    }

    /// A paused run keeps its steps, with the last one's loss where it is still to be measured.
    private mutating func stop(_ how: JobLink.Stop, before loss: Double? = nil) throws -> JobLink.Stop {
        unmeasuredLoss = loss ?? unmeasuredLoss
        if how == .pause { try save() }
        return how
    }

    private mutating func countTime(since last: inout ContinuousClock.Instant) {
        let now = clock.now
        secondsTrained += last.duration(to: now).seconds
        last = now
    }

    private func isSaveDue(_ improved: Bool, since last: ContinuousClock.Instant) -> Bool {
        let isDue =
            switch interval {
            case .seconds(let seconds): reporter.looked && last.duration(to: clock.now).seconds >= seconds
            case .steps(let count): session.stepsDone % count == 0
            case .epochs(let count): session.isEpochStart && session.epoch % count == 0
            }
        // The best is kept; where nothing depends on it, not more often than every five seconds.
        return isDue || improved && (watchesBest || last.duration(to: clock.now).seconds >= 5)
    }

    private var watchesBest: Bool { recipe.training.earlyStopping != nil }

    private mutating func goBackToTheBest() throws {
        guard watchesBest, let best, best.step != session.stepsDone else { return }
        do {
            let (_, tensors) = try store.read(best.step)
            try session.restore(tensors, steps: best.step)
            event("best", "the best weights are those after step \(best.step); they are kept")
        } catch let error as MartletError where error.code == .invalidData {
            // A trained model is worth more than a failed job.
            warn("best-damaged", "\(error.message); the last weights are used instead of the best")
        }
    }

    private var isOutOfPatience: Bool {
        guard let stopping = recipe.training.earlyStopping else { return false }
        return epochsWithoutImprovement >= stopping.patience
    }

    private mutating func goOn() throws {
        let found = try store.newest()
        for name in try found?.damaged ?? store.names() {
            warn("damaged-\(name)", "the checkpoint \(name) is damaged and was passed over")
        }
        guard let found else { return }
        let state = found.state
        guard state.recipeHash == recipeHash else {
            return warn(
                "other-recipe", "the checkpoints are those of another recipe, so training starts from its beginning")
        }
        try session.restore(found.tensors, steps: state.step)
        lossSum = state.lossSum
        lossCount = state.lossCount
        best = state.best
        epochsWithoutImprovement = state.epochsWithoutImprovement
        secondsTrained = state.secondsTrained
        rowsTrained = state.rowsTrained
        savedStep = state.step
        unmeasuredLoss = state.unmeasuredLoss
        // The steps before are not done again, so what was told of them and lost must be told again.
        for event in state.unacknowledged ?? [] { link.event(event) }
        tellOfCheckpoint(state.step)
        if state.environment != environment {
            link.event(
                JobEvent(
                    key: "\(label)environment-\(state.step)", type: "warning", level: "warning",
                    message:
                        "training goes on in another environment than the checkpoint's, so the last bits may differ",
                    data: ["then": try JSON(encoding: state.environment), "now": try JSON(encoding: environment)]))
        }
        event("resumed-\(state.step)", "training goes on after step \(state.step)")
    }

    /// Once, of the first of such steps.
    private mutating func tellOfNoLabels() {
        guard !toldOfNoLabels else { return }
        toldOfNoLabels = true
        warn(
            "no-labels",
            "the rows of step \(session.stepsDone) have no label to learn from, so it changed nothing, as will others like it; "
                + "leave such rows out, or raise training.batch_size"
        )
    }

    private func warn(_ key: String, _ message: String) {
        link.event(JobEvent(key: label + key, type: "warning", level: "warning", message: message))
    }

    private func event(_ key: String, _ message: String) {
        link.event(JobEvent(key: label + key, type: "message", message: message))
    }

    private mutating func save() throws {
        guard session.stepsDone != savedStep else { return }
        let state = CheckpointState(
            step: session.stepsDone, lossSum: lossSum, lossCount: lossCount, best: best,
            epochsWithoutImprovement: epochsWithoutImprovement, secondsTrained: secondsTrained,
            rowsTrained: rowsTrained,
            environment: environment, recipeHash: recipeHash, unacknowledged: link.unacknowledged(),
            unmeasuredLoss: unmeasuredLoss)
        try store.write(state, tensors: try session.checkpointTensors())
        savedStep = state.step
        tellOfCheckpoint(state.step)
    }

    private func tellOfCheckpoint(_ step: Int) {
        link.event(
            JobEvent(
                key: "\(label)checkpoint-\(step)", type: "checkpoint", message: "checkpoint after step \(step)",
                data: ["step": JSON(step)]))
    }

    /// Measures on the validation rows. Returns whether the watched metric is the best so far, and what was measured.
    private mutating func finishEpoch() throws -> (improved: Bool, validation: [String: Double]?) {
        let epoch = (session.stepsDone + session.stepsPerEpoch - 1) / session.stepsPerEpoch
        let validation = try session.objective.validate()
        // Both can be left in the middle, so they come before anything that an epoch changes.
        let sample = try session.objective.sample()
        let trainLoss = lossCount > 0 ? lossSum / lossCount : 0
        (lossSum, lossCount) = (0, 0)
        var metrics: JSON = [
            "epoch": JSON(epoch), "step": JSON(session.stepsDone), "train": ["loss": .double(trainLoss)],
        ]
        var improved = false
        if let measured = validation {
            let loss = measured["loss"] ?? .nan
            guard loss.isFinite else {
                throw session.diverged("the loss of the validation rows", loss, step: session.stepsDone)
            }
            metrics = [
                "epoch": JSON(epoch), "step": JSON(session.stepsDone), "train": ["loss": .double(trainLoss)],
                "validation": try JSON(encoding: measured),
            ]
            improved = try judge(measured)
        } else if watchesBest {
            throw MartletError(
                .invalidRecipe,
                "training.early_stopping watches the validation rows, but there are none; give data.split.validation a share"
            )
        }
        // Whoever looks at each step tells of the epoch's last one.
        if afterStep == nil {
            link.event(
                JobEvent(key: "\(label)epoch-\(epoch)", type: "metrics", message: "epoch \(epoch)", data: metrics))
        }
        if let sample {
            link.event(
                JobEvent(key: "\(label)sample-\(epoch)", type: "sample", message: sample, data: ["epoch": JSON(epoch)]))
        }
        return (improved, validation)
    }

    private mutating func judge(_ metrics: [String: Double]) throws -> Bool {
        let watched = recipe.training.earlyStopping?.metric ?? "validation.loss"
        let name = String(watched.dropFirst("validation.".count))
        guard let value = metrics[name] else {
            throw MartletError(
                .invalidRecipe,
                "training.early_stopping.metric '\(watched)' is not measured; use one of "
                    + metrics.keys.sorted().map { "validation.\($0)" }.joined(separator: ", "))
        }
        let lowIsGood = ["loss", "mse", "rmse", "mae", "perplexity"].contains { name.hasSuffix($0) }
        let isBetter = best.map { lowIsGood ? value < $0.value : value > $0.value } ?? true
        if isBetter { best = .init(step: session.stepsDone, value: value) }
        epochsWithoutImprovement = isBetter ? 0 : epochsWithoutImprovement + 1
        return isBetter
    }
}

import MartletNN
import MartletTensor
import MartletWire

/// A model being trained: what one step does, and where it is.
///
/// Lives on the compute thread. `step()` is the whole of training; the loop around it only looks and saves.
public final class TrainingSession {
    public let objective: any TrainingObjective
    public let config: TrainingConfig
    public let totalSteps: Int
    public let stepsPerEpoch: Int
    /// Optimizer steps done.
    public private(set) var stepsDone = 0

    private let optimizer: Optimizer
    private let schedule: Schedule
    private let state: [(String, Tensor)]
    private let seed: UInt64
    private let batchSize: Int

    public init(_ objective: any TrainingObjective, config: TrainingConfig) throws {
        self.objective = objective
        self.config = config
        seed = UInt64(config.seed)
        batchSize = min(config.batchSize, objective.rowCount)
        let batches = (objective.rowCount + batchSize - 1) / batchSize
        let perStep = config.optimizer.type == .gd ? batches : min(config.accumulate, batches)
        stepsPerEpoch = (batches + perStep - 1) / perStep
        let (product, overflows) = stepsPerEpoch.multipliedReportingOverflow(by: config.epochs)
        totalSteps = config.steps ?? (overflows ? .max : product)
        schedule = Schedule(config.schedule, totalSteps: totalSteps)
        state = objective.module.state()
        optimizer = try Optimizer(config.optimizer, parameters: objective.module.parameters())
    }

    public var epoch: Int { stepsDone / stepsPerEpoch }
    public var isEpochStart: Bool { stepsDone % stepsPerEpoch == 0 }
    public var isDone: Bool { stepsDone >= totalSteps }
    /// The weights and buffers by checkpoint name.
    public var weights: [(String, Tensor)] { state }

    private var isOrdered = false

    /// One optimizer step over the next rows. Returns their mean loss and their number.
    ///
    /// Parts of a step weigh as much as what their losses are means over, so a step in parts is the step in one. Where
    /// none of its rows has a label, nothing changes, and the step counts with no rows and a loss of 0.
    /// - Throws: `diverged` where the loss is not a number; nothing has been updated then.
    public func step() throws -> (loss: Double, rows: Int) {
        if isEpochStart || !isOrdered {
            try objective.begin(epoch: epoch, shuffled: config.shuffle)
            isOrdered = true
        }
        let ranges = self.ranges(of: stepsDone % stepsPerEpoch).flatMap { objective.parts(of: $0) }
        let shares = ranges.count > 1 ? try self.shares(of: ranges) : nil
        var (lossSum, isLearnt) = (0.0, false)
        optimizer.zeroGrad()
        for (part, range) in ranges.enumerated() {
            let forward = Forward(training: true, seed: seed, step: UInt64(stepsDone), part: UInt64(part))
            let losses = try objective.losses(range, forward)
            guard var loss = try Self.sum(losses, shares?[part]) else { continue }
            var value = try loss.item()
            // A mean over no labels is no number either.
            if !value.isFinite, shares == nil, case let known = try self.shares(of: [range]), known[0].contains(0) {
                guard let rest = try Self.sum(losses, known[0]) else { continue }
                loss = rest
                value = try loss.item()
            }
            guard value.isFinite else { throw diverged("the loss", value, step: stepsDone + 1) }
            lossSum += value
            isLearnt = true
            try loss.backward()
        }
        guard isLearnt else {
            stepsDone += 1
            return (0, 0)
        }
        if config.regularization.l1 > 0 || config.regularization.l2 > 0 {
            try optimizer.applyRegularization(config.regularization)
        }
        if let limit = config.clipNorm { _ = try optimizer.clipGradNorm(limit) }
        try optimizer.step(learningRate: config.optimizer.learningRate * schedule.factor(stepsDone))
        stepsDone += 1
        return (lossSum, ranges.reduce(0) { $0 + $1.count })
    }

    /// What of each output's mean over the whole step each part has.
    private func shares(of ranges: [Range<Int>]) throws -> [[Double]] {
        let weights = try ranges.map { try objective.weights(of: $0) }
        let totals = weights[0].indices.map { output in weights.reduce(0) { $0 + $1[output] } }
        return weights.map { zip($0, totals).map { $1 > 0 ? $0 / $1 : 0 } }
    }

    /// The sum of losses, each times its share where there are some; nil where all of these are zero.
    private static func sum(_ losses: [Tensor], _ shares: [Double]?) throws -> Tensor? {
        var sum: Tensor?
        for (index, loss) in losses.enumerated() {
            let share = shares?[index] ?? 1
            guard share > 0 else { continue }
            let part = share == 1 ? loss : try loss.mul(share)
            sum = try sum?.add(part) ?? part
        }
        return sum
    }

    /// Everything that a run needs to go on: weights under `model.`, the optimizer's state under `optimizer.`.
    public func checkpointTensors() throws -> [(String, Tensor)] {
        for (name, tensor) in state where tensor.scalarType.isFloatingPoint {
            guard try tensor.isfinite().all().item() != 0 else {
                throw MartletError(
                    .diverged,
                    "after step \(stepsDone) the parameter '\(name)' is not finite; lower training.optimizer.learning_rate "
                        + "or set training.clip_norm")
            }
        }
        return state.map { ("model." + $0.0, $0.1) } + (try optimizer.state).map { ("optimizer." + $0.0, $0.1) }
    }

    /// Goes on from a checkpoint's tensors after `steps` steps.
    public func restore(_ tensors: [String: Tensor], steps: Int) throws {
        func named(_ prefix: String) -> [(String, Tensor)] {
            tensors.compactMap { $0.key.hasPrefix(prefix) ? (String($0.key.dropFirst(prefix.count)), $0.value) : nil }
        }
        try objective.module.load(named("model."))
        try optimizer.load(state: named("optimizer."))
        stepsDone = steps
        isOrdered = false
    }

    /// The micro-batches of one step of an epoch, as places in the epoch's order.
    private func ranges(of step: Int) -> [Range<Int>] {
        let size = batchSize
        let batches = (objective.rowCount + size - 1) / size
        let perStep = config.optimizer.type == .gd ? batches : min(config.accumulate, batches)
        return (step * perStep..<min((step + 1) * perStep, batches)).map {
            $0 * size..<min(($0 + 1) * size, objective.rowCount)
        }
    }

    /// What it means that `what` is no finite number at a step, counted from 1.
    func diverged(_ what: String, _ loss: Double, step: Int) -> MartletError {
        MartletError(
            .diverged,
            "\(what) is \(loss) at step \(step) (epoch \((max(step, 1) - 1) / stepsPerEpoch + 1)); the likely cause is a "
                + "learning rate of \(config.optimizer.learningRate) that is too high, or inputs of very different sizes: "
                + "lower training.optimizer.learning_rate, set training.clip_norm or normalize the inputs; "
                + "the last finite checkpoint is kept")
    }
}

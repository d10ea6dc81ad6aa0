import Foundation
import MartletWire

/// Tells about four times a second how training goes; looks at the clock rarely, since a step can take 0.2 ms.
struct ProgressReporter {
    private let session: TrainingSession
    private let link: JobLink
    private let clock = ContinuousClock()
    private var last: ContinuousClock.Instant
    private var stepsAtLast: Int
    private var rowsSinceLast = 0
    private var stepsUntilLook = 1
    private var recentLoss: Double?
    private var rowsPerSecond: Double?
    private var secondsPerStep: Double?
    private var recentMetric: Double?
    /// Whether the last call of `isDue` looked at the clock.
    private(set) var looked = false

    private static let period = 0.25

    init(session: TrainingSession, link: JobLink) {
        self.session = session
        self.link = link
        last = clock.now
        stepsAtLast = session.stepsDone
    }

    mutating func count(rows: Int, loss: Double) {
        rowsSinceLast += rows
        // A step without labels has no loss.
        if rows > 0 { recentLoss = recentLoss.map { 0.98 * $0 + 0.02 * loss } ?? loss }
        stepsUntilLook -= 1
    }

    /// Whether a report is due.
    var isDue: Bool {
        mutating get {
            looked = false
            guard stepsUntilLook <= 0 else { return false }
            looked = true
            let elapsed = last.duration(to: clock.now).seconds
            let steps = max(session.stepsDone - stepsAtLast, 1)
            if elapsed < Self.period {
                let perStep = max(elapsed / Double(steps), 1e-6)
                stepsUntilLook = max(1, Int(min((Self.period - elapsed) / perStep / 2, 1_000)))
                return false
            }
            return true
        }
    }

    mutating func report() {
        let now = clock.now
        let elapsed = max(last.duration(to: now).seconds, 1e-9)
        let steps = max(session.stepsDone - stepsAtLast, 1)
        let unit = session.objective.unit
        rowsPerSecond = smoothed(rowsPerSecond, Double(rowsSinceLast) * Double(unit.perRow) / elapsed)
        secondsPerStep = smoothed(secondsPerStep, elapsed / Double(steps))
        if let metric = session.objective.batchAccuracy { recentMetric = smoothed(recentMetric, metric) }
        last = now
        stepsAtLast = session.stepsDone
        rowsSinceLast = 0
        stepsUntilLook = 1
        let epochs = (session.totalSteps - 1) / session.stepsPerEpoch + 1
        link.progress(
            JobProgress(
                phase: "training", step: session.stepsDone, totalSteps: session.totalSteps,
                epoch: min(session.epoch + 1, epochs), totalEpochs: epochs, loss: recentLoss,
                metric: recentMetric == nil ? nil : "accuracy", metricValue: recentMetric, unit: unit.name,
                perSecond: rowsPerSecond ?? 0,
                secondsLeft: secondsPerStep.map { $0 * Double(session.totalSteps - session.stepsDone) }))
    }

    private func smoothed(_ old: Double?, _ new: Double) -> Double { old.map { 0.8 * $0 + 0.2 * new } ?? new }
}

import Foundation
import MartletStore
import MartletWire

/// What jobs cost while they run, and what happens to those whose project has nothing left.
extension JobService {
    /// Charges every running worker for the time since it was charged last: once a second, so that a job that is
    /// cancelled, fails or is paused is paid for too, and a `kill -9` loses a second at most.
    func charge() async {
        for id in runs.keys { await charge(id) }
    }

    /// Threads times seconds, as workers count themselves.
    func charge(_ id: String) async {
        guard let run = runs[id], let since = run.chargedAt else { return }
        let now = clock.now()
        // Whole 1024ths, so that parts add up to their sum exactly.
        let seconds = (now.timeIntervalSince(since) * Double(threads) * 1024).rounded(.down) / 1024
        guard seconds > 0 else { return }
        // Before the wait: two calls must not charge the same second.
        runs[id]?.chargedAt = now
        do {
            try await store.charge(usage(of: run, cpuSeconds: seconds), toJob: id)
        } catch {
            logger.error("job \(id) could not be charged yet: \(error)")
            if runs[id]?.chargedAt != nil { runs[id]?.chargedAt = since }
        }
    }

    /// A row of the ledger for a job.
    func usage(of run: Run, cpuSeconds: Double) -> UsageRow {
        let slot = UsageSlot(
            hour: UsageSlot.hour(of: clock.now()), project: run.job.projectID, key: run.job.keyID,
            kind: run.job.info.kind == .import ? "import" : "training", resource: run.job.info.name)
        var amount = UsageAmount()
        amount.add(UsageAmount(cpuSeconds: cpuSeconds))
        return slot.row(amount)
    }

    /// Pauses the jobs of projects whose budget is spent, at a checkpoint; `resume` goes on once there is room.
    func pauseSpent() async {
        let reasons = budgets.reasons
        guard !reasons.isEmpty else { return }
        for (id, run) in runs {
            guard let reason = reasons[run.job.projectID], Self.isPausable(run.job.info.kind),
                run.machine.canPause
            else { continue }
            await note("budget-\(Int(clock.now().timeIntervalSince1970))", "Paused: \(reason.message)", job: id)
            waiting.removeAll { $0 == id }
            await handle(.budgetSpent(reason), job: id)
        }
    }

    /// Whether a job has checkpoints to go on from; others are short and run to their end.
    static func isPausable(_ kind: JobKind) -> Bool { [.train, .fineTune, .optimize].contains(kind) }
}

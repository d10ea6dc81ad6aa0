import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import Testing

@Suite("Jobs and budgets", .serialized) struct BudgetTests {
    @Test("J18: a job whose budget is spent is paused at a checkpoint, and goes on when it is raised")
    func aJobIsPausedAtACheckpoint() async throws {
        let bench = try await Bench { $0.maxRunningJobs = 1 }
        let (jobs, budgets) = (bench.platform.jobs, bench.platform.budgets)
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining()
        let (connection, task) = try await worker.dial()
        let waiting = try await jobs.submit(JobRequest(kind: .train, recipe: bench.recipe()), by: bench.admin)
        _ = try await budgets.set(.init(cpuSeconds: 0.5), of: "default", by: bench.admin)

        // The worker is asked to stop at a checkpoint; it is not ended.
        let (request, frame) = try #require(try await connection.nextRequest())
        guard case .pause = request else {
            Issue.record("not a pause")
            return
        }
        try connection.reply(to: frame, Acknowledged())
        #expect(worker.isAlive)
        #expect(try await bench.state(job.id) == .pausing)
        try await connection.request(.event(JobEvent(key: "checkpoint-1", type: "checkpoint", message: "")))
        try await connection.request(.paused)
        let paused = try await jobs.show(job.id, by: bench.admin)
        #expect(paused.state == .paused && paused.error?.code == .insufficientQuota)
        #expect(paused.error?.message.contains("budget of the project 'default'") == true)
        let events = try await jobs.events(of: job.id, by: bench.admin).data.map(\.event.message)
        #expect(events.contains { $0.hasPrefix("Paused: the budget") })
        worker.kill()
        try await eventually { try await bench.state(waiting.id) == .paused }

        // What it has used so far is paid for.
        let usage = try await bench.platform.ledger.usage(by: bench.admin).filter { $0.kind == "training" }
        #expect(usage.reduce(0) { $0 + $1.cpuSeconds } >= 0.5)
        for id in [job.id, waiting.id] {
            #expect(await code { _ = try await jobs.resume(id, by: bench.admin) } == .insufficientQuota)
        }
        let more = JobRequest(kind: .train, recipe: bench.recipe("more"))
        #expect(await code { _ = try await jobs.submit(more, by: bench.admin) } == .insufficientQuota)

        _ = try await budgets.set(.init(cpuSeconds: 1e6), of: "default", by: bench.admin)
        #expect(try await bench.state(job.id) == .paused, "resuming is for a person")
        #expect(try await jobs.resume(job.id, by: bench.admin).error == nil)
        let second = try #require(await bench.engine.next())
        let (again, _) = try await second.dial()
        try await bench.finish(again, task)
        #expect(try await bench.state(job.id) == .succeeded)
        second.kill()
        _ = try await jobs.cancel(waiting.id, by: bench.admin)
        let rows = try await bench.platform.ledger.usage(by: bench.admin).filter { $0.kind == "training" }
        #expect(rows.reduce(0) { $0 + $1.rows } == 10 && rows.reduce(0) { $0 + $1.requests } == 1)
        #expect(rows.reduce(0) { $0 + $1.cpuSeconds } >= 1.5)
        try await bench.stop()
    }

    @Test func aBudgetIsOfOneProjectAndOfOneMonth() async throws {
        let bench = try await Bench()
        let budgets = bench.platform.budgets
        _ = try await bench.platform.projects.create(name: "other", by: bench.admin)
        let other = try await bench.principal(.developer, project: "other")
        _ = try await bench.importDataset("d", by: other)
        _ = try await bench.importDataset("d")
        _ = try await budgets.set(.init(cpuSeconds: 0), of: "default", by: bench.admin)
        let request = JobRequest(kind: .train, recipe: bench.recipe())
        #expect(await code { _ = try await bench.platform.jobs.submit(request, by: bench.admin) } == .insufficientQuota)
        #expect(try await bench.platform.jobs.submit(request, by: other).state == .queued)
        let shown = try await budgets.show("default", by: bench.admin)
        #expect(shown.isSpent && shown.since.formatted(.iso8601).contains("-01T00:00:00Z"))
        #expect(await code { _ = try await budgets.show("default", by: other) } == .notFound)
        try await bench.stop()
    }
}

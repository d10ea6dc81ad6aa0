import Foundation
import Glibc
import MartletPlatform
import MartletTesting
import MartletWire
import Testing

@Suite(.serialized) struct TrainingTests {
    @Test func aJobGoesFromItsRecipeToARegisteredModel() async throws {
        let bench = try await Bench()
        let dataset = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining()
        #expect(worker.mode == "worker")
        let (connection, task) = try await worker.dial()
        guard case .train(let train) = task else {
            Issue.record("not a training task")
            return
        }
        let mount = try #require(train.datasets.first)
        #expect(mount.reference == "d" && mount.resolved == "d@1" && mount.contentHash == dataset.contentHash)
        #expect(try String(contentsOfFile: mount.path + "/data.csv", encoding: .utf8) == "x,y\n1,2\n")

        let stream = try await bench.platform.jobs.follow(job.id, by: bench.admin)
        try await connection.request(.event(JobEvent(key: "epoch-1", type: "metrics", message: "one")))
        try await connection.request(.event(JobEvent(key: "epoch-1", type: "metrics", message: "one")))
        try await connection.request(.progress(JobProgress(phase: "training", step: 3)))
        #expect(try await bench.platform.jobs.show(job.id, by: bench.admin).progress?.step == 3)
        try await bench.finish(connection, task)

        let done = try await bench.platform.jobs.show(job.id, by: bench.admin)
        #expect(done.state == .succeeded && done.model == "m@1")
        var events: [String] = []
        var last: JobState?
        for try await batch in stream {
            for update in batch {
                if case .event(let event) = update { events.append(event.event.key) }
                if case .state(let info) = update { last = info.state }
            }
        }
        #expect(events == ["epoch-1"] && last == .succeeded)
        let model = try await bench.platform.models.show("m", by: bench.admin)
        #expect(model.card.jobID == job.id && model.files.count == 4)
        let weights = try await bench.platform.models.file(BundleFile.weights, of: "m@1", by: bench.admin)
        #expect(try String(contentsOfFile: weights.localPath, encoding: .utf8) == "w")
        // By the hour, which may end within a test.
        let usage = try await bench.platform.ledger.usage(by: bench.admin).filter { $0.kind == "training" }
        #expect(usage.reduce(0) { $0 + $1.cpuSeconds } == 1.5 && usage.reduce(0) { $0 + $1.rows } == 10)
        worker.kill()
        try await bench.stop()
    }

    /// Nothing waits for whoever reads slowly: it gets every event, once and in order, and of the rest what is newest.
    @Test func aSlowReaderCatchesUpFromTheStoredEvents() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining()
        let (connection, task) = try await worker.dial()
        let stream = try await bench.platform.jobs.follow(job.id, by: bench.admin)
        var reader = stream.makeAsyncIterator()
        let first = try await reader.next() ?? []
        #expect(first.contains { if case .state(let info) = $0 { info.state == .running } else { false } })
        // More than two pages of events.
        for number in 1...450 {
            try await connection.request(.event(JobEvent(key: "event-\(number)", type: "message", message: "")))
            try await connection.request(.progress(JobProgress(phase: "training", step: number)))
        }
        try await bench.finish(connection, task)
        var events: [String] = []
        var steps: [Int] = []
        var states: [JobState] = []
        while let batch = try await reader.next() {
            for update in batch {
                switch update {
                case .event(let event): events.append(event.event.key)
                case .progress(let progress): steps.append(progress.step)
                case .state(let info): states.append(info.state)
                }
            }
        }
        #expect(events.filter { $0.hasPrefix("event-") } == (1...450).map { "event-\($0)" })
        #expect(steps == [450] && states == [.succeeded], "\(steps.count) \(states)")
        worker.kill()
        try await bench.stop()
    }

    @Test func aKilledWorkerIsStartedAgainAndItsEventsAreNotDoubled() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (job, first) = try await bench.startTraining()
        let (connection, _) = try await first.dial()
        try await connection.request(.event(JobEvent(key: "checkpoint-1", type: "checkpoint", message: "")))
        first.kill()
        let second = try #require(await bench.engine.next())
        #expect(second.token != first.token && !first.isAlive)
        // The dead worker's token is worth nothing now.
        await #expect(throws: MartletError.self) { _ = try await first.dial(isReturning: true) }
        let (again, task) = try await second.dial()
        try await again.request(.event(JobEvent(key: "checkpoint-1", type: "checkpoint", message: "")))
        try await bench.finish(again, task)
        let done = try await bench.platform.jobs.show(job.id, by: bench.admin)
        #expect(done.state == .succeeded && done.attempts == 2)
        let events = try await bench.platform.jobs.events(of: job.id, by: bench.admin)
        #expect(events.data.filter { $0.event.key == "checkpoint-1" }.count == 1)
        second.kill()
        try await bench.stop()
    }

    @Test func anOrderlyStopLeavesTheJobToTheNextServe() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining()
        let (connection, task) = try await worker.dial()
        let stopping = Task { try await bench.stop(keep: true) }
        for await frame in connection.requests where frame.kind == .request {
            try connection.reply(to: frame, Acknowledged())
            break
        }
        #expect(try await bench.state(job.id) == .running)
        connection.close()
        worker.kill()
        try await stopping.value

        let next = try await Bench(home: bench.home)
        let second = try #require(await next.engine.next())
        #expect(try await next.state(job.id) == .running)
        let (again, _) = try await second.dial()
        // The connection drops and comes back: the same worker goes on.
        again.close()
        let (returned, _) = try await second.dial(isReturning: true)
        try await next.finish(returned, task)
        #expect(try await next.state(job.id) == .succeeded)
        #expect(await next.engine.next(within: 0.5) == nil)
        second.kill()
        try await next.stop()
    }

    /// A copy of HOME taken while a job runs is what `kill -9` of serve leaves, and its worker is alive.
    private func crashCopy(_ bench: Bench) throws -> String {
        let copy = bench.home + "-crashed"
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: bench.home) where name != "run" {
            try FileManager.default.copyItem(atPath: "\(bench.home)/\(name)", toPath: "\(copy)/\(name)")
        }
        return copy
    }

    @Test func afterACrashOfServeItsLivingWorkerGoesOnAlone() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining()
        _ = try await worker.dial()
        try await eventually { try await bench.platform.jobs.show(job.id, by: bench.admin).attempts == 1 }
        try await Task.sleep(for: .milliseconds(100))
        let next = try await Bench(home: try crashCopy(bench))
        let connection = try FakeConnection(path: next.home + "/run/control.sock")
        let reply = try await connection.request(.hello(.init(token: worker.token, pid: worker.pid, isReturning: true)))
        let task = try JSONDecoder.wire.decode(EngineTask.self, from: Data(reply))
        #expect(await next.engine.next(within: 1) == nil)
        try await next.finish(connection, task)
        let done = try await next.platform.jobs.show(job.id, by: next.admin)
        #expect(done.state == .succeeded && done.attempts == 1)
        worker.kill()
        try await next.stop()
        try await bench.stop()
    }

    @Test func afterACrashOfServeADeadWorkerIsStartedAgain() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining()
        let (lost, _) = try await worker.dial()
        try await eventually { try await bench.platform.jobs.show(job.id, by: bench.admin).attempts == 1 }
        try await Task.sleep(for: .milliseconds(100))
        let copy = try crashCopy(bench)
        lost.close()
        try await Task.sleep(for: .milliseconds(100))
        try await bench.stop()
        #expect(!worker.isAlive)
        let next = try await Bench(home: copy)
        let second = try #require(await next.engine.next())
        let (connection, task) = try await second.dial()
        try await next.finish(connection, task)
        let done = try await next.platform.jobs.show(job.id, by: next.admin)
        #expect(done.state == .succeeded && done.attempts == 2)
        second.kill()
        try await next.stop()
    }

    @Test func aRunningJobIsCancelledWithinTenSecondsThoughItsWorkerDoesNotListen() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining()
        _ = try await worker.dial()
        let (_, time) = try await counted {
            #expect(try await bench.platform.jobs.cancel(job.id, by: bench.admin).state == .cancelled)
            try await eventually { !worker.isAlive }
        }
        #expect(time < .seconds(10))
        try await bench.stop()
    }

    @Test func aFullDiskPausesAJobThatCanBeResumed() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining()
        let (connection, _) = try await worker.dial()
        try await connection.request(.fail(MartletError(.storageFull, "the disk is full; free some space")))
        worker.kill()
        let paused = try await bench.platform.jobs.show(job.id, by: bench.admin)
        #expect(paused.state == .paused && paused.error?.code == .storageFull)
        _ = try await bench.platform.jobs.resume(job.id, by: bench.admin)
        let second = try #require(await bench.engine.next())
        let (again, task) = try await second.dial()
        try await bench.finish(again, task)
        let done = try await bench.platform.jobs.show(job.id, by: bench.admin)
        #expect(done.state == .succeeded && done.error == nil)
        second.kill()
        try await bench.stop()
    }

    @Test func trainingJobsTakeTurnsAndAWorkersErrorIsKept() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (first, worker) = try await bench.startTraining()
        let second = try await bench.platform.jobs.submit(
            JobRequest(kind: .train, recipe: bench.recipe()), by: bench.admin)
        #expect(await bench.engine.next(within: 0.3) == nil)
        #expect(try await bench.state(second.id) == .queued)
        let (connection, _) = try await worker.dial()
        try await connection.request(.fail(MartletError(.diverged, "the loss is NaN at step 7")))
        worker.kill()
        let failed = try await bench.platform.jobs.show(first.id, by: bench.admin)
        #expect(failed.state == .failed && failed.error?.message == "the loss is NaN at step 7")
        let next = try #require(await bench.engine.next())
        #expect(try await bench.state(second.id) == .running)
        next.kill()
        try await bench.stop()
    }

    @Test func aProjectsQueueHasAnEnd() async throws {
        let bench = try await Bench { $0.maxQueuedJobs = 2 }
        _ = try await bench.importDataset("d")
        let (_, worker) = try await bench.startTraining()
        let request = JobRequest(kind: .train, recipe: bench.recipe())
        for _ in 0..<2 { _ = try await bench.platform.jobs.submit(request, by: bench.admin) }
        #expect(await code { _ = try await bench.platform.jobs.submit(request, by: bench.admin) } == .rateLimited)
        #expect(try await bench.platform.jobs.counts() == [.succeeded: 1, .running: 1, .queued: 2])
        worker.kill()
        try await bench.stop()
    }

    @Test("J09: a repeated request gives the first job, also after a crash, and its key with another body is refused")
    func aRepeatedRequestGivesTheFirstJob() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let jobs = bench.platform.jobs
        let request = JobRequest(kind: .train, recipe: bench.recipe())
        let first = try await jobs.submit(request, idempotencyKey: "a", by: bench.admin)
        #expect(try await jobs.submit(request, idempotencyKey: "a", by: bench.admin).id == first.id)
        let other = JobRequest(kind: .train, recipe: bench.recipe("other"))
        #expect(
            await code { _ = try await jobs.submit(other, idempotencyKey: "a", by: bench.admin) }
                == .idempotencyKeyReused)
        // At the same moment, from two connections: one job.
        async let left = jobs.submit(request, idempotencyKey: "b", by: bench.admin).id
        async let right = jobs.submit(request, idempotencyKey: "b", by: bench.admin).id
        let both = try await [left, right]
        #expect(both[0] == both[1] && both[0] != first.id)
        let next = try await Bench(home: try crashCopy(bench))
        #expect(try await next.platform.jobs.submit(request, idempotencyKey: "a", by: next.admin).id == first.id)
        #expect(
            await code { _ = try await next.platform.jobs.submit(other, idempotencyKey: "a", by: next.admin) }
                == .idempotencyKeyReused)
        try await next.stop()
        let plain = try await jobs.submit(request, by: bench.admin)
        #expect(plain.id != first.id)
        #expect(try await jobs.submit(request, retryCount: 1, by: bench.admin).id == plain.id)
        #expect(try await jobs.submit(request, by: bench.admin).id != plain.id)
        try await bench.stop()
    }
}

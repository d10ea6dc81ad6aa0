import Foundation
import Glibc
import MartletStore
import MartletWire

extension JobService {
    /// Takes up the jobs of an earlier `serve`, before the control socket listens: their workers may dial at once.
    func start() async throws {
        var recovered: [String] = []
        for job in try await store.unfinishedJobs() {
            let id = job.info.id
            var run = Run(
                job: job,
                machine: JobMachine(
                    maxRestarts: configuration.maxRestarts, recovering: job.info.state, reason: job.info.error),
                inputs: try await store.inputs(ofJob: id))
            if job.info.state == .running || job.info.state == .pausing {
                if let pid = job.pid, let start = job.processStart {
                    run.process = EngineProcess(adopting: pid, start: start)
                }
                if let hash = job.tokenHash {
                    control.expect(tokenHash: hash, JobEndpoint(jobID: id, tokenHash: hash, service: self))
                }
                recovered.append(id)
            }
            runs[id] = run
            if job.info.state == .queued { waiting.append(id) }
        }
        recoveredJobs = recovered
    }

    /// Goes on with them, once the control socket listens.
    func proceed() async {
        for id in recoveredJobs {
            guard let run = runs[id] else { continue }
            // A worker that was being spawned when serve died is known by its token only.
            let mayLive = run.process != nil || (run.job.tokenHash != nil && run.job.pid == nil)
            if let process = run.process {
                runs[id]?.chargedAt = clock.now()
                watch(process, job: id)
            }
            await handle(.recovered(isWorkerAlive: mayLive), job: id)
        }
        recoveredJobs = []
        schedule()
    }

    /// Asks every worker for a checkpoint and ends it; the jobs stay `running` and the next `serve` goes on with them.
    func stop() async {
        isStopping = true
        let workers = runs.values.compactMap { run in run.process.map { ($0, run.connection) } }
        for (process, connection) in workers {
            guard let connection else {
                process.send(SIGTERM)
                continue
            }
            Task { _ = try? await connection.request(.pause) }
        }
        await withTaskGroup(of: Void.self) { group in
            for (process, _) in workers { group.addTask { _ = await process.exit() } }
            let clock = clock
            let guardian = Task {
                try await clock.sleep(.seconds(10))
                for (process, _) in workers { process.send(SIGTERM) }
                try await clock.sleep(.seconds(3))
                for (process, _) in workers { process.send(SIGKILL) }
            }
            await group.waitForAll()
            guardian.cancel()
        }
        await charge()
        for run in runs.values { run.timer?.cancel() }
        followers.endAll()
    }
}

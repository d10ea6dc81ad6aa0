import Foundation
import Glibc
import MartletStore
import MartletWire

/// Workers: how they are started, what they say, and what happens when they end.
extension JobService {
    func launch(_ id: String) async {
        guard let run = runs[id] else { return }
        do {
            _ = try await task(of: run)
            let token = try [UInt8].random(count: 32).hex
            let hash = ContentHash.of(token)
            // The hash is on disk before the process is, so that a worker is never unknown to the next serve.
            try await store.beginAttempt(ofJob: id, tokenHash: hash, at: clock.now())
            run.job.tokenHash.map { control.forget(tokenHash: $0) }
            guard !isStopping else { return }
            runs[id]?.job.tokenHash = hash
            runs[id]?.connection = nil
            control.expect(tokenHash: hash, JobEndpoint(jobID: id, tokenHash: hash, service: self))
            let process = try launcher.launch(
                .worker, token: token, threads: threads, logPath: logPath(of: id))
            runs[id]?.process = process
            runs[id]?.chargedAt = clock.now()
            watch(process, job: id)
            try await store.setWorker(ofJob: id, pid: process.pid, start: process.start)
            await announce(id)
        } catch {
            let error = error as? MartletError ?? MartletError(.internal, "the worker could not be started: \(error)")
            if let process = runs[id]?.process, runs[id]?.machine.hasWorker == true {
                // It runs, only its place in the database is not written: it must not be doubled.
                process.send(SIGKILL)
            } else {
                // A missing program or a damaged dataset does not mend itself.
                enqueue(.failed(error), job: id)
                enqueue(.exited(error), job: id)
            }
        }
    }

    func watch(_ process: EngineProcess, job id: String) {
        Task {
            let exit = await process.exit()
            let error = exit.error("worker", wasOutOfMemory: process.wasOutOfMemory)
            guard runs[id]?.process === process else { return }
            await charge(id)
            guard runs[id]?.process === process else { return }
            runs[id]?.chargedAt = nil
            runs[id]?.process = nil
            runs[id]?.connection = nil
            if let phase = runs[id]?.machine.phase,
                phase == .connected || phase == .starting || phase == .awaitingReturn,
                !isStopping, let attempts = runs[id]?.job.info.attempts
            {
                await note("worker-exit-\(attempts)", "\(error.message); it is started again", job: id)
            }
            await handle(.exited(error), job: id)
        }
    }

    var threads: Int {
        configuration.workerThreads > 0 ? configuration.workerThreads : ProcessInfo.processInfo.activeProcessorCount
    }

    func connected(_ connection: EngineConnection, pid: Int32, job id: String, tokenHash: String) async throws
        -> EngineTask
    {
        guard let run = runs[id], run.job.tokenHash == tokenHash else {
            throw MartletError(.unauthenticated, "this worker's job is over or was given to another")
        }
        // One that an earlier serve started and could not write down any more.
        if run.process == nil, let start = EngineProcess.startTime(of: pid),
            let process = EngineProcess(adopting: pid, start: start)
        {
            runs[id]?.process = process
            runs[id]?.chargedAt = clock.now()
            watch(process, job: id)
            try await store.setWorker(ofJob: id, pid: pid, start: start)
        }
        runs[id]?.connection = connection
        await handle(.connected, job: id)
        return try await task(of: run)
    }

    func disconnected(_ connection: EngineConnection, job id: String) async {
        guard runs[id]?.connection === connection else { return }
        runs[id]?.connection = nil
        await handle(.disconnected, job: id)
    }

    func received(_ request: EngineRequest, job id: String, tokenHash: String) async throws {
        // What a worker of a finished or cancelled job still says is acknowledged, so that it can leave.
        guard let run = runs[id], run.job.tokenHash == tokenHash, run.machine.phase != .done else { return }
        switch request {
        case .event(let event):
            guard let sequence = try await keep(event, job: id) else { return }
            followers.publish(
                .event(JobEventInfo(sequence: sequence, createdAt: clock.now(), event: event)), job: id)
            if event.type == "checkpoint" { await handle(.advanced, job: id) }
        case .progress(let progress):
            runs[id]?.progress = progress
            followers.publish(.progress(progress), job: id)
        case .finish(let result):
            runs[id]?.result = result
            // The rest comes with the result, in the transaction that stores it.
            runs[id]?.chargedAt = nil
            await handle(.finished, job: id)
        case .fail(let error): await handle(.failed(error), job: id)
        case .paused: await handle(.workerPaused, job: id)
        case .checkpoint(let checkpoint): try await register(checkpoint, job: id)
        case .hello, .ready, .ask:
            throw MartletError(.invalidRequest, "a worker cannot say this; update martlet and martlet-engine together")
        }
    }

    /// Stores an event; while the disk is full it waits for room, and the worker with its next messages.
    private func keep(_ event: JobEvent, job id: String) async throws -> Int? {
        while true {
            do {
                return try await store.append(event, toJob: id, at: clock.now())
            } catch let error as MartletError where error.code == .storageFull && runs[id] != nil && !isStopping {
                logger.error("an event of job \(id) waits for room: \(error.message)")
                try await clock.sleep(.seconds(2))
            }
        }
    }
}

/// The control socket's end of one worker.
struct JobEndpoint: EngineEndpoint {
    let jobID: String
    let tokenHash: String
    let service: JobService

    func connected(_ connection: EngineConnection, _ hello: EngineRequest.Hello) async throws -> EngineTask {
        try await service.connected(connection, pid: hello.pid, job: jobID, tokenHash: tokenHash)
    }

    func received(_ request: EngineRequest, from connection: EngineConnection) async throws {
        try await service.received(request, job: jobID, tokenHash: tokenHash)
    }

    func answer(_ questions: ModelQuestions) async throws -> ModelAnswers {
        try await service.answer(questions, job: jobID, tokenHash: tokenHash)
    }

    func disconnected(_ connection: EngineConnection) async {
        await service.disconnected(connection, job: jobID)
    }
}

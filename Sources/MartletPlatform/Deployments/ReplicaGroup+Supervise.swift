import Foundation
import Glibc
import MartletStore
import MartletWire

extension ReplicaGroup {
    /// A load that takes longer is taken for stuck.
    private static let loadLimit: Duration = .seconds(300)
    /// Starts that fail in a row before a replica that was never ready is given up.
    private static let firstTries = 3

    /// Keeps one replica alive until it is told to stop; the first start that cannot succeed is given up.
    func supervise(_ replica: Replica) async {
        var failures = 0
        var isRestart = false
        while !replica.life.isStopping, !Task.isCancelled {
            let started = ContinuousClock.now
            var isHopeless = false
            do {
                try await runOnce(replica, isRestart: isRestart)
                let life = replica.life
                isHopeless = !life.wasEverReady && life.reported != nil
            } catch {
                let error = error as? MartletError ?? MartletError(.internal, "\(error)")
                replica.ended(error)
                isHopeless = !replica.life.wasEverReady
            }
            guard !replica.life.isStopping else { return }
            failures = started.duration(to: .now) > .seconds(60) ? 1 : failures + 1
            let wasEverReady = replica.life.wasEverReady
            if isHopeless || (!wasEverReady && failures >= Self.firstTries) {
                replica.change { $0.gaveUp() }
                return
            }
            environment.logger.warning(
                "a replica of \(reference) ended and is started again: \(replica.info.error ?? "")")
            isRestart = true
            try? await Task.sleep(for: .milliseconds(50 << min(failures, 9)))
        }
    }

    /// Starts the process and returns when it has ended.
    private func runOnce(_ replica: Replica, isRestart: Bool) async throws {
        let configuration = environment.configuration
        let folder = try await environment.folders.folder(ofTree: model.contentHash, in: environment.store)
        // A bit that turned on the disk would answer, and wrongly. Large files that have not been touched since they
        // were hashed are hashed again while the replica answers.
        let trusted = try environment.folders.verify(model.files, in: folder, trustsStamps: true)
        let threads = model.signature.isLanguage ? configuration.languageShare : configuration.replicaThreads
        let task = EngineTask.serve(
            ServeTask(
                model: model.name, version: model.version, bundle: folder, share: MachineShare(threads: threads),
                maxBatch: configuration.maxBatch, queueLimit: configuration.replicaQueueLimit,
                language: LanguageServing(
                    maxSequences: configuration.maxSequences, cacheBytes: configuration.languageCacheBytes,
                    queuedTokenLimit: configuration.queuedTokenLimit, precision: configuration.languagePrecision,
                    adapterBytes: configuration.languageAdapterBytes, maxAdapters: configuration.maxAdapters)))
        let token = try [UInt8].random(count: 32).hex
        let hash = ContentHash.of(token)
        environment.control.expect(
            tokenHash: hash, ReplicaEndpoint(replica: replica, task: task, changed: {}))
        defer { environment.control.forget(tokenHash: hash) }

        try DurableFile.makeFolder(environment.home + "/run/replicas")
        guard !replica.life.isStopping else { return }
        replica.starts(isRestart: isRestart)
        let process = try environment.launcher.launch(
            .replica, token: token, threads: threads,
            logPath: "\(environment.home)/run/replicas/\(model.contentHash.prefix(16)).log")
        if !replica.started(process) { process.send(SIGKILL) }
        try? await environment.store.addProcess(pid: process.pid, start: process.start)
        let monitor = Task { await watch(replica, process) }
        let check = Task { await checkAgain(trusted, in: folder, replica, process) }
        let exit = await process.exit()
        monitor.cancel()
        check.cancel()
        replica.ended(exit.error("model's process", wasOutOfMemory: process.wasOutOfMemory))
        try? await environment.store.removeProcess(pid: process.pid, start: process.start)
    }

    /// Ends a process that does not become ready in time, or whose compute thread does not answer for four seconds:
    /// with the half second between two questions that is less than five in which nobody knows.
    private func watch(_ replica: Replica, _ process: EngineProcess) async {
        let started = ContinuousClock.now
        while !Task.isCancelled {
            guard (try? await environment.clock.sleep(.milliseconds(500))) != nil else { return }
            let (state, connection) = replica.state.withLock { ($0.life.info.state, $0.connection) }
            if state == .starting, started.duration(to: .now) > Self.loadLimit {
                replica.change { $0.reports(MartletError(.deadlineExceeded, "it did not load in 300 s")) }
                process.send(SIGKILL)
                return
            }
            guard state == .ready, let connection else { continue }
            if await !answers(connection), !Task.isCancelled {
                environment.logger.error("a replica of \(reference) did not answer for 4 s and is ended")
                replica.change { $0.isStuck(MartletError(.unavailable, "it did not answer for 4 s")) }
                process.send(SIGKILL)
                return
            }
        }
    }

    /// Hashes files whose stamps were trusted once the replica is ready, and ends it where their bytes are others.
    private func checkAgain(
        _ files: [TreeFile], in folder: String, _ replica: Replica, _ process: EngineProcess
    ) async {
        do {
            while !replica.isReady { try await Task.sleep(for: .milliseconds(200)) }
            try await environment.folders.verifyAgain(files, in: folder)
        } catch let error as MartletError {
            environment.logger.error("a replica of \(reference) is ended: \(error.message)")
            replica.change { $0.isStuck(error) }
            process.send(SIGKILL)
        } catch {}
    }

    private func answers(_ connection: EngineConnection) async -> Bool {
        let clock = environment.clock
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask { (try? await connection.request(.ping)) != nil }
            group.addTask {
                try? await clock.sleep(.seconds(4))
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
    }
}

extension Configuration {
    /// Threads of a language model's replica.
    var languageShare: Int {
        languageThreads > 0 ? languageThreads : ProcessInfo.processInfo.activeProcessorCount
    }
}

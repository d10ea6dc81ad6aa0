import Foundation
import Glibc
import MartletStore
import MartletWire

/// Carries out what the job machines decide.
extension JobService {
    private enum Lane: Hashable { case training, side }

    private func lane(_ kind: JobKind) -> Lane { kind == .import || kind == .evaluate ? .side : .training }

    /// Gives places to waiting jobs, oldest first in each lane.
    func schedule() {
        guard !isStopping else { return }
        var free: [Lane: Int] = [.training: configuration.maxRunningJobs, .side: configuration.maxSideJobs]
        for (id, run) in runs where run.machine.holdsSlot || granted.contains(id) {
            free[lane(run.job.info.kind), default: 0] -= 1
        }
        for id in waiting {
            guard let run = runs[id] else { continue }
            let lane = lane(run.job.info.kind)
            guard free[lane, default: 0] > 0 else { continue }
            free[lane, default: 0] -= 1
            granted.insert(id)
            Task {
                await handle(.slotGranted, job: id)
                granted.remove(id)
                schedule()
            }
        }
        waiting.removeAll { granted.contains($0) || runs[$0] == nil }
    }

    /// Feeds one event to the job's machine and returns when its actions have been carried out; events of one job
    /// never overlap.
    func handle(_ event: JobMachine.Event, job id: String) async {
        guard runs[id] != nil else { return }
        if runs[id]?.isBusy == true {
            await withCheckedContinuation { runs[id]?.queue.append((event, $0)) }
            return
        }
        runs[id]?.isBusy = true
        await carryOut(event, job: id)
        while let next = runs[id]?.queue.first {
            runs[id]?.queue.removeFirst()
            await carryOut(next.event, job: id)
            next.done?.resume()
        }
        runs[id]?.isBusy = false
        forgetIfOver(id)
    }

    private func forgetIfOver(_ id: String) {
        if let run = runs[id], !run.isBusy, run.machine.phase == .done, !run.machine.hasWorker, run.unsaved == nil {
            run.timer?.cancel()
            run.job.tokenHash.map { control.forget(tokenHash: $0) }
            runs[id] = nil
            schedule()
        }
    }

    /// For an event that an action causes: it is handled after the others.
    private func enqueue(_ event: JobMachine.Event, job id: String) { runs[id]?.queue.append((event, nil)) }

    private func carryOut(_ event: JobMachine.Event, job id: String) async {
        if isStopping, isHeldBackWhileStopping(event) { return }
        guard let actions = runs[id]?.machine.event(event) else { return }
        for action in actions { await perform(action, job: id) }
    }

    /// A worker that is told to stop because `serve` stops has not been paused by anyone: the next `serve` goes on.
    private func isHeldBackWhileStopping(_ event: JobMachine.Event) -> Bool {
        switch event {
        case .slotGranted, .connected, .disconnected, .workerPaused, .exited, .launchFailed, .timer: true
        default: false
        }
    }

    private func perform(_ action: JobMachine.Action, job id: String) async {
        switch action {
        case .enqueue:
            waiting.append(id)
            schedule()
        case .releaseSlot: schedule()
        case .launch: await launch(id)
        case .sendPause: send(.pause, job: id)
        case .sendCancel: send(.cancel, job: id)
        case .terminate: runs[id]?.process?.send(SIGTERM)
        case .kill:
            if let process = runs[id]?.process {
                process.send(SIGKILL)
            } else {
                enqueue(.exited(ProcessExit.unknown.error("worker", wasOutOfMemory: false)), job: id)
            }
        case .start(let timer, let duration):
            runs[id]?.timer?.cancel()
            runs[id]?.timer = Task { [clock] in
                guard (try? await clock.sleep(duration)) != nil else { return }
                await handle(.timer(timer), job: id)
            }
        case .stopTimer:
            runs[id]?.timer?.cancel()
            runs[id]?.timer = nil
        case .setState(let state, let error): await setState(state, error, job: id)
        case .publish: await publish(id)
        }
    }

    private func setState(_ state: JobState, _ reason: MartletError?, job id: String) async {
        do {
            try await store.setState(state, ofJob: id, error: reason, at: clock.now())
            if runs[id]?.unsaved != nil {
                runs[id]?.unsaved = nil
                Task { forgetIfOver(id) }
            }
        } catch {
            logger.error("the state '\(state.rawValue)' of job \(id) could not be stored yet: \(error)")
            runs[id]?.unsaved = (state, reason)
            retryState(state, reason, job: id)
        }
        if state == .failed, let run = runs[id], run.job.info.kind == .import, let reason {
            await setProfile(["error": .string(reason.message)], run)
        }
        if state == .failed, runs[id]?.job.info.kind == .fineTune, let reason {
            await note("failed", reason.message, level: "error", job: id)
        }
        await announce(id)
    }

    /// A full disk is the usual cause, and the very state may be `paused` for that.
    private func retryState(_ state: JobState, _ reason: MartletError?, job id: String) {
        Task {
            guard (try? await clock.sleep(.seconds(2))) != nil, !isStopping, runs[id]?.unsaved?.state == state else {
                return
            }
            await setState(state, reason, job: id)
        }
    }

    /// Tells followers what the job is now.
    private func announce(_ id: String) async {
        guard let job = try? await store.job(id, projectID: nil) else { return }
        runs[id]?.job.info = job.info
        followers.publish(.state(shown(job)), job: id)
    }

    private func send(_ request: PlatformRequest, job id: String) {
        guard let connection = runs[id]?.connection else { return }
        Task { _ = try? await connection.request(request) }
    }

    /// A message of the platform's own in the job's history.
    func note(
        _ key: String, _ message: String, level: String = "warning", data: JSON = .null, job id: String
    ) async {
        let event = JobEvent(
            key: key, type: level == "info" ? "message" : "warning", level: level, message: message, data: data)
        guard let sequence = try? await store.append(event, toJob: id, at: clock.now()) else { return }
        followers.publish(
            .event(JobEventInfo(sequence: sequence, createdAt: clock.now(), event: event)), job: id)
    }

    // MARK: Workers

    private func launch(_ id: String) async {
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

    private func task(of run: Run) async throws -> EngineTask {
        let id = run.job.info.id
        let directory = folder(of: id)
        try DurableFile.makeFolder(directory)
        let share = MachineShare(threads: threads, device: run.job.request.device ?? "cpu")
        var mounts: [DatasetMount] = []
        for input in run.inputs where input.kind == "dataset" {
            mounts.append(
                DatasetMount(
                    reference: input.reference, resolved: input.resolved, contentHash: input.treeHash,
                    path: try await folders.folder(ofTree: input.treeHash, in: store)))
        }
        switch run.job.info.kind {
        case .import:
            if let upload = run.inputs.first(where: { $0.kind == JobInput.upload }) {
                var base: BaseModel?
                if let model = run.inputs.first(where: { $0.kind == "model" }) {
                    base = BaseModel(
                        reference: model.resolved, contentHash: model.treeHash,
                        path: try await folders.folder(ofTree: model.treeHash, in: store))
                }
                return .importModel(
                    ImportTask(
                        jobID: id, name: upload.name,
                        source: try await folders.folder(ofTree: upload.treeHash, in: store), base: base,
                        directory: directory, share: share))
            }
            guard let mount = mounts.first else { throw Self.incomplete(id) }
            return .profile(ProfileTask(jobID: id, dataset: mount, directory: directory))
        case .evaluate:
            guard let mount = mounts.first, let model = run.inputs.first(where: { $0.kind == "model" }) else {
                throw Self.incomplete(id)
            }
            return .evaluate(
                EvaluateTask(
                    jobID: id, bundle: try await folders.folder(ofTree: model.treeHash, in: store), dataset: mount,
                    directory: directory, share: share))
        case .train, .fineTune, .optimize, .batch:
            return .train(
                TrainTask(
                    jobID: id, recipe: run.job.request.recipe ?? .null, datasets: mounts, base: try await base(of: run),
                    directory: directory, share: share))
        }
    }

    /// The model that a job trains further; of an adapter, also the one that it stands on.
    private func base(of run: Run) async throws -> BaseModel? {
        guard let reference = run.job.request.recipe?["base"]?.string else { return nil }
        let models = run.inputs.filter { $0.kind == "model" }
        guard let named = models.first(where: { $0.reference == reference }) else {
            throw Self.incomplete(run.job.info.id)
        }
        let path = try await folders.folder(ofTree: named.treeHash, in: store)
        guard let whole = models.first(where: { $0.reference != reference }) else {
            return BaseModel(reference: named.resolved, contentHash: named.treeHash, path: path)
        }
        return BaseModel(
            reference: whole.resolved, contentHash: whole.treeHash,
            path: try await folders.folder(ofTree: whole.treeHash, in: store), adapterReference: named.resolved,
            adapterPath: path)
    }

    private static func incomplete(_ id: String) -> MartletError {
        MartletError(.internal, "job \(id) is stored without what it reads; start a new one")
    }

    // MARK: What workers say

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

    // MARK: Results

    private func publish(_ id: String) async {
        guard let run = runs[id], let result = run.result else { return }
        do {
            var model: NewModel?
            if let bundle = result.bundle {
                try RelativePath.check(bundle)
                let name = try Self.modelName(run)
                model = try await readBundle("\(folder(of: id))/\(bundle)", name: name, jobID: id)
            }
            defer { model.map { folders.blobs.unpin($0.tree.files.map(\.hash)) } }
            let (report, outcome) = try await tuned(run, result, model)
            defer { outcome.map { folders.blobs.unpin($0.tree.files.map(\.hash)) } }
            var used = usage(of: run, cpuSeconds: result.usage.cpuSeconds)
            (used.requests, used.rows) = (1, max(0, result.usage.rows))
            used.promptTokens = max(0, result.usage.trainedTokens ?? 0)
            let reference = try await store.succeed(
                job: id, model: model, result: report, tuning: outcome, usage: used, at: clock.now())
            for event in outcome?.events ?? [] {
                if let kept = try? await store.event(ofJob: id, key: event.key) {
                    followers.publish(.event(kept), job: id)
                }
            }
            if run.job.info.kind == .import { await setProfile(result.report, run) }
            if let reference, let model { await deploy(reference, model.card, run) }
            enqueue(.published(nil), job: id)
        } catch {
            let error = error as? MartletError ?? MartletError(.internal, "the result could not be stored: \(error)")
            enqueue(.published(error), job: id)
            return
        }
        await announce(id)
    }

    /// What a fine-tuning job leaves besides its model, and its report with that named in it.
    private func tuned(_ run: Run, _ result: JobResult, _ model: NewModel?) async throws -> (JSON, TuningOutcome?) {
        guard run.job.info.kind == .fineTune else { return (result.report, nil) }
        guard let model else { throw MartletError(.internal, "the worker left no model; start the job again") }
        try Self.checkBase(model, run)
        let alias = try await tunedNames(run).alias
        var report = result.report.object ?? [:]
        report["fine_tuned_model"] = .string(alias)
        report["trained_tokens"] = result.usage.trainedTokens.map { JSON($0) }
        return (.object(report), try await tuningOutcome(run, alias: alias))
    }

    /// What the model is called: as the import was, or as the recipe says.
    private static func modelName(_ run: Run) throws -> String {
        if let upload = run.inputs.first(where: { $0.kind == JobInput.upload }) { return upload.name }
        guard let recipe = run.job.request.recipe else { throw incomplete(run.job.info.id) }
        return try RecipeReader.read(json: recipe).recipe.name
    }

    /// Off the actor: hashing a large model takes seconds.
    nonisolated func readBundle(_ folder: String, name: String, jobID: String) async throws -> NewModel {
        try BundleReader(blobs: folders.blobs).read(folder, name: name, jobID: jobID)
    }

    private func setProfile(_ profile: JSON, _ run: Run) async {
        guard let input = run.inputs.first, input.kind == "dataset" else { return }
        do {
            try await store.setProfile(
                job: run.job.info.id, result: profile, ofDataset: input.name, version: input.version,
                projectID: run.job.projectID)
        } catch {
            logger.error("the profile of \(input.resolved) could not be stored: \(error)")
        }
    }

    /// As the recipe's `deploy` section asks, unless a requirement was missed.
    private func deploy(_ reference: String, _ card: ModelCard, _ run: Run) async {
        let id = run.job.info.id
        guard let recipe = run.job.request.recipe, let wanted = try? RecipeReader.read(json: recipe).recipe.deploy
        else { return }
        guard card.unmetRequirements.isEmpty else {
            await note(
                "not-deployed",
                "\(reference) is kept but not deployed: \(card.unmetRequirements.joined(separator: "; "))",
                job: id)
            return
        }
        let principal = Principal(
            keyID: run.job.keyID, project: run.job.projectID, projectName: "", role: .developer)
        do {
            let request = DeploymentRequest(
                model: reference, name: wanted.as.isEmpty ? nil : wanted.as, replicas: wanted.replicas)
            let deployment = try await deployments.deploy(request, wait: false, by: principal)
            try await store.setDeployment(deployment.name, ofJob: id)
        } catch {
            await note("not-deployed", "\(reference) was not deployed: \(error)", job: id)
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

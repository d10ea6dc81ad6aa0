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
    func enqueue(_ event: JobMachine.Event, job id: String) { runs[id]?.queue.append((event, nil)) }

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
    func announce(_ id: String) async {
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
}

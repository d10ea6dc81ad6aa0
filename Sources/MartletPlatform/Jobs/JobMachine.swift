import MartletWire

/// What a job does next: events in, actions out, no clock and no processes.
///
/// A job has at most one worker. A worker that dies is started again and goes on from its checkpoints by itself; one
/// that keeps dying without a new checkpoint ends the job. A final state is never left.
package struct JobMachine: Sendable, Equatable {
    package enum Phase: Sendable, Equatable {
        /// Waits for a place.
        case queued
        /// Has a place; the worker of before is still ending.
        case waitingForExit
        /// The last worker died; the next starts after a pause.
        case backingOff
        /// A worker was started and has not said hello.
        case starting
        case connected
        /// A worker is alive, or may be, and has lost its connection.
        case awaitingReturn
        /// The worker's result is being registered.
        case publishing
        case pausing
        case paused
        case done
    }

    package enum Event: Sendable, Equatable {
        case slotGranted
        case connected
        case disconnected
        /// A checkpoint that was not there before.
        case advanced
        case finished
        /// The result was registered, or could not be.
        case published(MartletError?)
        case failed(MartletError)
        case workerPaused
        /// The worker is gone; the error says how, should it matter.
        case exited(MartletError)
        /// No worker could be started.
        case launchFailed(MartletError)
        case pauseRequested
        /// The project's budget is spent: as if it were paused, with a reason.
        case budgetSpent(MartletError)
        case resumeRequested
        case cancelRequested
        case timer(Timer)
        /// A new `serve` finds the job running, with or without a living worker.
        case recovered(isWorkerAlive: Bool)
    }

    package enum Timer: Sendable, Equatable { case restart, hello, returning, pausing, terminate, kill }

    package enum Action: Sendable, Equatable {
        case enqueue
        case releaseSlot
        case launch
        case sendPause
        case sendCancel
        case terminate
        case kill
        /// Replaces the timer of before.
        case start(Timer, Duration)
        case stopTimer
        case setState(JobState, MartletError?)
        case publish
    }

    package private(set) var phase = Phase.queued
    /// Workers started again since the last new checkpoint.
    package private(set) var restarts = 0
    package private(set) var hasWorker = false
    package private(set) var holdsSlot = false
    private var isConnected = false
    /// Why it is paused, where nobody asked for it.
    private var pauseReason: MartletError?
    package let maxRestarts: Int

    package init(maxRestarts: Int) { self.maxRestarts = maxRestarts }

    /// A job as an earlier `serve` left it: `queued` or `paused`, or `running` and `pausing` for `recovered`.
    package init(maxRestarts: Int, recovering state: JobState, reason: MartletError? = nil) {
        self.maxRestarts = maxRestarts
        if state == .pausing { pauseReason = reason }
        switch state {
        case .queued: phase = .queued
        case .paused: phase = .paused
        case .pausing: phase = .pausing
        case .running: phase = .awaitingReturn
        case .succeeded, .failed, .cancelled: phase = .done
        }
    }

    package mutating func event(_ event: Event) -> [Action] {
        var actions = handle(event)
        // The place is given up when nothing runs in it any more.
        if holdsSlot, !hasWorker, phase == .paused || phase == .done {
            holdsSlot = false
            actions.append(.releaseSlot)
        }
        return actions
    }

    private mutating func handle(_ event: Event) -> [Action] {
        switch event {
        case .slotGranted: return slotGranted()
        case .connected: return connected()

        case .disconnected:
            isConnected = false
            guard phase == .connected, hasWorker else { return [] }
            phase = .awaitingReturn
            return [.start(.returning, .seconds(30))]

        case .advanced:
            restarts = 0
            return []

        case .finished:
            guard [.connected, .starting, .awaitingReturn, .pausing].contains(phase) else { return [] }
            phase = .publishing
            return [.stopTimer, .publish]

        case .published(let error):
            guard phase == .publishing else { return [] }
            if let error { return settle(error) }
            phase = .done
            return ending([])

        case .failed(let error):
            guard ![.done, .paused, .queued].contains(phase) else { return [] }
            return settle(error)

        case .workerPaused:
            guard [.connected, .starting, .awaitingReturn, .pausing].contains(phase) else { return [] }
            phase = .paused
            return ending([.setState(.paused, pauseReason)])

        case .exited(let error): return exited(error)

        case .launchFailed(let error):
            hasWorker = false
            return exited(error)

        case .pauseRequested: return pause(nil)
        case .budgetSpent(let reason): return pause(reason)
        case .resumeRequested: return resume()
        case .cancelRequested: return cancel()
        case .timer(let timer): return fired(timer)
        case .recovered(let isWorkerAlive): return recovered(isWorkerAlive)
        }
    }

    private mutating func slotGranted() -> [Action] {
        guard phase == .queued else { return [] }
        holdsSlot = true
        if hasWorker {
            phase = .waitingForExit
            return [.setState(.running, nil)]
        }
        return [.setState(.running, nil)] + launch()
    }

    private mutating func connected() -> [Action] {
        isConnected = true
        switch phase {
        case .starting, .awaitingReturn:
            phase = .connected
            return [.stopTimer]
        case .pausing: return [.sendPause, .start(.pausing, .seconds(120))]
        case .done, .paused: return [.sendCancel]
        case .queued, .waitingForExit, .backingOff, .connected, .publishing: return []
        }
    }

    private mutating func recovered(_ isWorkerAlive: Bool) -> [Action] {
        guard phase == .awaitingReturn || phase == .pausing else { return [] }
        holdsSlot = true
        hasWorker = isWorkerAlive
        if isWorkerAlive { return [.start(.returning, .seconds(10))] }
        if phase == .pausing {
            phase = .paused
            return [.setState(.paused, pauseReason)]
        }
        return launch()
    }

    private mutating func launch() -> [Action] {
        phase = .starting
        hasWorker = true
        isConnected = false
        return [.launch, .start(.hello, .seconds(60))]
    }

    /// The worker has said its last word: it has ten seconds to go.
    private mutating func ending(_ actions: [Action]) -> [Action] {
        hasWorker ? actions + [.start(.terminate, .seconds(10))] : actions + [.stopTimer]
    }

    /// A full disk is mended by someone who then resumes; anything else is final.
    private mutating func settle(_ error: MartletError) -> [Action] {
        let isResumable = error.code == .storageFull
        phase = isResumable ? .paused : .done
        return ending([.setState(isResumable ? .paused : .failed, error)])
    }

    private mutating func exited(_ error: MartletError) -> [Action] {
        hasWorker = false
        isConnected = false
        switch phase {
        case .publishing, .queued: return []
        case .done, .paused: return [.stopTimer]
        case .waitingForExit: return launch()
        case .pausing:
            // What it had reached is in its newest checkpoint.
            phase = .paused
            return [.stopTimer, .setState(.paused, pauseReason)]
        case .backingOff, .starting, .connected, .awaitingReturn:
            restarts += 1
            guard restarts <= maxRestarts else {
                phase = .done
                var final = error
                final.message += "; \(restarts) workers in a row ended without a new checkpoint"
                return [.stopTimer, .setState(.failed, final)]
            }
            phase = .backingOff
            return [.start(.restart, .milliseconds(250 << min(restarts, 5)))]
        }
    }

    /// Whether a pause would change anything.
    package var canPause: Bool {
        switch phase {
        case .queued, .waitingForExit, .backingOff, .starting, .connected, .awaitingReturn: true
        case .publishing, .pausing, .paused, .done: false
        }
    }

    private mutating func pause(_ reason: MartletError?) -> [Action] {
        if canPause { pauseReason = reason }
        switch phase {
        case .queued, .backingOff:
            phase = .paused
            return [.stopTimer, .setState(.paused, reason)]
        case .waitingForExit:
            phase = .paused
            return [.setState(.paused, reason)]
        case .starting, .connected, .awaitingReturn:
            phase = .pausing
            return [.setState(.pausing, reason)] + (isConnected ? [.sendPause] : []) + [.start(.pausing, .seconds(120))]
        case .publishing, .pausing, .paused, .done: return []
        }
    }

    private mutating func resume() -> [Action] {
        guard phase == .paused else { return [] }
        restarts = 0
        pauseReason = nil
        if holdsSlot {
            phase = .waitingForExit
            return [.setState(.running, nil)]
        }
        phase = .queued
        return [.setState(.queued, nil), .enqueue]
    }

    private mutating func cancel() -> [Action] {
        guard phase != .done else { return [] }
        phase = .done
        let state = Action.setState(.cancelled, nil)
        guard hasWorker else { return [state, .stopTimer] }
        return [state] + (isConnected ? [.sendCancel] : []) + [.start(.terminate, .seconds(3))]
    }

    private mutating func fired(_ timer: Timer) -> [Action] {
        switch timer {
        case .restart: phase == .backingOff ? launch() : []
        case .hello: phase == .starting ? [.kill] : []
        case .returning: (phase == .awaitingReturn || phase == .pausing) && !isConnected ? [.kill] : []
        case .pausing: phase == .pausing ? [.terminate, .start(.kill, .seconds(10))] : []
        case .terminate: hasWorker ? [.terminate, .start(.kill, .seconds(3))] : []
        case .kill: hasWorker ? [.kill] : []
        }
    }
}

import MartletPlatform
import MartletWire
import Testing

/// Scripts: events in, actions out, no clock and no process.
@Suite struct JobMachineTests {
    private let crash = MartletError(.internal, "the worker crashed (signal 11); see its log")

    /// A machine whose worker is connected.
    private func connected() -> JobMachine {
        var machine = JobMachine(maxRestarts: 2)
        _ = machine.event(.slotGranted)
        _ = machine.event(.connected)
        return machine
    }

    @Test func aJobThatNothingDisturbs() {
        var machine = JobMachine(maxRestarts: 2)
        #expect(machine.event(.slotGranted) == [.setState(.running, nil), .launch, .start(.hello, .seconds(60))])
        #expect(machine.event(.connected) == [.stopTimer])
        #expect(machine.event(.finished) == [.stopTimer, .publish])
        #expect(machine.event(.published(nil)) == [.start(.terminate, .seconds(10))])
        #expect(machine.holdsSlot)
        #expect(machine.event(.exited(crash)) == [.stopTimer, .releaseSlot])
        #expect(machine.phase == .done && !machine.holdsSlot)
    }

    @Test func aWorkerThatKeepsDyingEndsTheJobButNotWhileItAdvances() {
        var machine = connected()
        for _ in 0..<5 {
            _ = machine.event(.advanced)
            #expect(machine.event(.exited(crash)) == [.start(.restart, .milliseconds(500))])
            #expect(machine.event(.timer(.restart)) == [.launch, .start(.hello, .seconds(60))])
        }
        #expect(machine.event(.exited(crash)) == [.start(.restart, .seconds(1))])
        _ = machine.event(.timer(.restart))
        let last = machine.event(.exited(crash))
        guard case .setState(.failed, let error?) = last.dropFirst().first else {
            Issue.record("not failed: \(last)")
            return
        }
        #expect(error.message.contains("signal 11") && error.message.contains("3 workers in a row"))
        #expect(last.last == .releaseSlot && machine.phase == .done)
    }

    @Test func aResultThatArrivedIsPublishedThoughTheWorkerDies() {
        var machine = connected()
        _ = machine.event(.finished)
        #expect(machine.event(.exited(crash)) == [])
        #expect(machine.event(.published(nil)) == [.stopTimer, .releaseSlot])
    }

    @Test("J18: a spent budget pauses as a person would, with its reason, and resuming forgets it")
    func aSpentBudgetPausesWithItsReason() {
        let spent = MartletError(.insufficientQuota, "the budget is spent")
        var machine = connected()
        #expect(
            machine.event(.budgetSpent(spent)) == [
                .setState(.pausing, spent), .sendPause, .start(.pausing, .seconds(120)),
            ])
        #expect(machine.event(.budgetSpent(spent)) == [])
        #expect(machine.event(.workerPaused) == [.setState(.paused, spent), .start(.terminate, .seconds(10))])
        #expect(machine.event(.exited(crash)) == [.stopTimer, .releaseSlot])
        #expect(machine.event(.resumeRequested) == [.setState(.queued, nil), .enqueue])

        var queued = JobMachine(maxRestarts: 2)
        #expect(queued.event(.budgetSpent(spent)) == [.stopTimer, .setState(.paused, spent)])

        // serve was killed while the worker wrote its checkpoint.
        var recovered = JobMachine(maxRestarts: 2, recovering: .pausing, reason: spent)
        #expect(recovered.event(.recovered(isWorkerAlive: false)) == [.setState(.paused, spent), .releaseSlot])

        var done = connected()
        _ = done.event(.finished)
        #expect(done.event(.budgetSpent(spent)) == [])
    }

    @Test func cancellingIsFinalAtOnceInEveryPhase() {
        var queued = JobMachine(maxRestarts: 2)
        #expect(queued.event(.cancelRequested) == [.setState(.cancelled, nil), .stopTimer])
        #expect(queued.event(.slotGranted) == [])

        var running = connected()
        #expect(
            running.event(.cancelRequested) == [
                .setState(.cancelled, nil), .sendCancel, .start(.terminate, .seconds(3)),
            ])
        #expect(running.event(.timer(.terminate)) == [.terminate, .start(.kill, .seconds(3))])
        #expect(running.event(.timer(.kill)) == [.kill])
        #expect(running.event(.finished) == [])
        #expect(running.event(.exited(crash)) == [.stopTimer, .releaseSlot])

        var waiting = connected()
        _ = waiting.event(.exited(crash))
        #expect(waiting.event(.cancelRequested) == [.setState(.cancelled, nil), .stopTimer, .releaseSlot])
        #expect(waiting.event(.timer(.restart)) == [])
    }

    @Test func pausingAndResuming() {
        var machine = connected()
        #expect(
            machine.event(.pauseRequested) == [
                .setState(.pausing, nil), .sendPause, .start(.pausing, .seconds(120)),
            ])
        #expect(machine.event(.workerPaused) == [.setState(.paused, nil), .start(.terminate, .seconds(10))])
        // Resumed before the worker has gone: the next one waits for its end.
        #expect(machine.event(.resumeRequested) == [.setState(.running, nil)])
        #expect(machine.event(.exited(crash)) == [.launch, .start(.hello, .seconds(60))])

        #expect(machine.event(.pauseRequested) == [.setState(.pausing, nil), .start(.pausing, .seconds(120))])
        #expect(machine.event(.connected) == [.sendPause, .start(.pausing, .seconds(120))])
        #expect(machine.event(.exited(crash)) == [.stopTimer, .setState(.paused, nil), .releaseSlot])
        #expect(machine.event(.resumeRequested) == [.setState(.queued, nil), .enqueue])
    }

    @Test func aFullDiskPausesAndOtherFaultsAreFinal() {
        let full = MartletError(.storageFull, "the disk is full")
        var machine = connected()
        #expect(machine.event(.failed(full)) == [.setState(.paused, full), .start(.terminate, .seconds(10))])
        var publishing = connected()
        _ = publishing.event(.finished)
        #expect(publishing.event(.published(full)) == [.setState(.paused, full), .start(.terminate, .seconds(10))])
        var diverged = connected()
        let error = MartletError(.diverged, "NaN")
        #expect(diverged.event(.failed(error)) == [.setState(.failed, error), .start(.terminate, .seconds(10))])
    }

    @Test func aNewServeNeverStartsASecondWorkerBesideALivingOne() {
        var alive = JobMachine(maxRestarts: 2, recovering: .running)
        #expect(alive.event(.recovered(isWorkerAlive: true)) == [.start(.returning, .seconds(10))])
        #expect(alive.event(.connected) == [.stopTimer])
        #expect(alive.event(.timer(.returning)) == [])

        var silent = JobMachine(maxRestarts: 2, recovering: .running)
        _ = silent.event(.recovered(isWorkerAlive: true))
        // Not a launch: first the old one must be seen to end.
        #expect(silent.event(.timer(.returning)) == [.kill])
        #expect(silent.event(.exited(crash)) == [.start(.restart, .milliseconds(500))])
        #expect(silent.event(.timer(.restart)) == [.launch, .start(.hello, .seconds(60))])

        var dead = JobMachine(maxRestarts: 2, recovering: .running)
        #expect(dead.event(.recovered(isWorkerAlive: false)) == [.launch, .start(.hello, .seconds(60))])
        var pausing = JobMachine(maxRestarts: 2, recovering: .pausing)
        #expect(pausing.event(.recovered(isWorkerAlive: false)) == [.setState(.paused, nil), .releaseSlot])
        // A worker that was told to pause and does not is ended under the new serve too.
        var slow = JobMachine(maxRestarts: 2, recovering: .pausing)
        #expect(slow.event(.recovered(isWorkerAlive: true)) == [.start(.returning, .seconds(10))])
        #expect(slow.event(.connected) == [.sendPause, .start(.pausing, .seconds(120))])
        #expect(slow.event(.timer(.pausing)) == [.terminate, .start(.kill, .seconds(10))])
    }
}

import MartletPlatform
import MartletWire
import Testing

/// What is known of a replica, as scripts.
@Suite struct ReplicaLifeTests {
    private static let report = ReplicaReady(signature: Signature(), loadSeconds: 0.1, residentBytes: 7)
    private static let crash = MartletError(.internal, "the model's process crashed")

    @Test func oneThatIsReadyBeforeItsPidIsKnownIsReady() {
        for isRestart in [false, true] {
            var life = ReplicaLife(id: "m-1-1")
            life.starts(isRestart: isRestart)
            life.connected()
            life.becameReady(Self.report)
            let isWanted = life.started(pid: 42)
            #expect(isWanted && life.isReady && life.wasEverReady)
            #expect(life.info == ReplicaInfo(id: "m-1-1", state: .ready, pid: 42, restarts: isRestart ? 1 : 0))
        }
    }

    @Test func oneThatIsToldToStopWhileItStartsIsNotWanted() {
        var life = ReplicaLife(id: "r")
        life.starts(isRestart: false)
        life.stops()
        life.connected()
        life.becameReady(Self.report)
        let isWanted = life.started(pid: 42)
        #expect(!isWanted && !life.isReady && life.info.state == .draining)
        life.ended(Self.crash)
        #expect(life.info.state == .draining && life.info.pid == nil && life.info.error == nil)
    }

    @Test func oneThatDiesSaysWhyAndStartsAnew() {
        var life = ReplicaLife(id: "r")
        life.starts(isRestart: false)
        _ = life.started(pid: 1)
        life.connected()
        life.becameReady(Self.report)
        life.disconnected()
        #expect(!life.isReady && life.wasEverReady && life.info.state == .starting)
        life.ended(Self.crash)
        #expect(life.info.error == Self.crash.message)
        // What it said itself is more telling, until it starts again.
        life.starts(isRestart: true)
        life.reports(MartletError(.invalidData, "the tensor 'w' is missing"))
        life.ended(Self.crash)
        #expect(life.info.error == "the tensor 'w' is missing" && life.info.restarts == 1)
        life.starts(isRestart: true)
        #expect(life.reported == nil)
        // A late word of a connection that is gone does not count.
        life.becameReady(Self.report)
        #expect(!life.isReady)
        life.connected()
        life.becameReady(Self.report)
        #expect(life.isReady && life.info.error == nil)
        life.isStuck(MartletError(.unavailable, "it did not answer"))
        #expect(life.info.state == .starting && life.reported?.message == "it did not answer")
        life.gaveUp()
        #expect(life.info.state == .failed)
    }
}

import MartletWire

/// What is known of a replica's process, from what happens to it: a value, tested as scripts.
package struct ReplicaLife: Sendable {
    package private(set) var info: ReplicaInfo
    /// What the process said before it gave up, more telling than how it ended.
    package private(set) var reported: MartletError?
    package private(set) var wasEverReady = false
    package private(set) var isStopping = false
    /// What the process said when it was ready.
    package private(set) var report: ReplicaReady?
    private var isConnected = false

    package init(id: String) { info = ReplicaInfo(id: id, state: .starting, pid: nil, restarts: 0) }

    package var isReady: Bool { info.state == .ready }

    /// Where it stands while it cannot answer.
    private mutating func wait() { info.state = isStopping ? .draining : .starting }

    /// Before its process is started, which may say that it is ready before the platform knows its pid.
    package mutating func starts(isRestart: Bool) {
        isConnected = false
        reported = nil
        wait()
        if isRestart { info.restarts += 1 }
    }

    /// False where it was told to stop while the process was being started, which nobody else knows of.
    package mutating func started(pid: Int32) -> Bool {
        info.pid = pid
        return !isStopping
    }

    package mutating func connected() { isConnected = true }

    package mutating func becameReady(_ report: ReplicaReady) {
        guard !isStopping, isConnected else { return }
        self.report = report
        info.state = .ready
        info.error = nil
        wasEverReady = true
    }

    /// Its connection dropped.
    package mutating func disconnected() {
        isConnected = false
        if isReady { info.state = .starting }
    }

    /// Why it cannot go on, from itself or from whoever watches it.
    package mutating func reports(_ error: MartletError) { reported = error }

    /// It answers no more, and is about to be ended.
    package mutating func isStuck(_ error: MartletError) {
        reported = error
        wait()
    }

    package mutating func ended(_ error: MartletError) {
        isConnected = false
        info.pid = nil
        wait()
        if !isStopping { info.error = (reported ?? error).message }
    }

    package mutating func gaveUp() { info.state = .failed }

    /// No new requests from now on.
    package mutating func stops() {
        isStopping = true
        info.state = .draining
    }
}

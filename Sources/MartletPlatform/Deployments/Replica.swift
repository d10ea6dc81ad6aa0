import Foundation
import Glibc
import MartletWire
import Synchronization

/// One copy of a model version: its process, its connection, and how many requests it has.
final class Replica: Sendable {
    struct State {
        var info: ReplicaInfo
        var connection: EngineConnection?
        var process: EngineProcess?
        var inFlight = 0
        /// What the process said before it gave up, more telling than how it ended.
        var reported: MartletError?
        var wasEverReady = false
        var isStopping = false
        /// What the process said when it was ready.
        var report: ReplicaReady?
    }
    let id: String
    let state: Mutex<State>

    init(id: String) {
        self.id = id
        state = Mutex(State(info: ReplicaInfo(id: id, state: .starting, pid: nil, restarts: 0)))
    }

    var info: ReplicaInfo { state.withLock { $0.info } }
    var isReady: Bool { state.withLock { $0.info.state == .ready } }

    /// Before its process is started, which may say that it is ready before the platform knows its pid.
    func starts(isRestart: Bool) {
        state.withLock { state in
            state.connection = nil
            state.reported = nil
            state.info.state = state.isStopping ? .draining : .starting
            if isRestart { state.info.restarts += 1 }
        }
    }

    /// False where it was told to stop while the process was being started, which nobody else knows of.
    func started(_ process: EngineProcess) -> Bool {
        state.withLock { state in
            state.process = process
            state.info.pid = process.pid
            return !state.isStopping
        }
    }

    func connected(_ connection: EngineConnection) { state.withLock { $0.connection = connection } }

    func becameReady(_ report: ReplicaReady) {
        state.withLock { state in
            guard !state.isStopping, state.connection != nil else { return }
            state.report = report
            state.info.state = .ready
            state.info.error = nil
            state.wasEverReady = true
        }
    }

    /// A connection that drops takes the process with it: one that cannot be reached cannot answer.
    func lost(_ connection: EngineConnection) {
        let process = state.withLock { state -> EngineProcess? in
            guard state.connection === connection else { return nil }
            state.connection = nil
            if state.info.state == .ready { state.info.state = .starting }
            return state.process
        }
        process?.send(SIGKILL)
    }

    func ended(_ error: MartletError) {
        state.withLock { state in
            state.process = nil
            state.connection = nil
            state.info.pid = nil
            state.info.state = state.isStopping ? .draining : .starting
            if !state.isStopping { state.info.error = (state.reported ?? error).message }
        }
    }

    func gaveUp() { state.withLock { $0.info.state = .failed } }

    /// No new requests from now on.
    func beginStop() {
        state.withLock { state in
            state.isStopping = true
            state.info.state = .draining
        }
    }
}

/// The control socket's end of one replica process.
struct ReplicaEndpoint: EngineEndpoint {
    let replica: Replica
    let task: EngineTask
    let changed: @Sendable () -> Void

    func connected(_ connection: EngineConnection, _ hello: EngineRequest.Hello) async throws -> EngineTask {
        replica.connected(connection)
        return task
    }

    func received(_ request: EngineRequest, from connection: EngineConnection) async throws {
        switch request {
        case .ready(let report): replica.becameReady(report)
        case .fail(let error): replica.state.withLock { $0.reported = error }
        case .event, .progress: break
        case .hello, .checkpoint, .finish, .paused, .ask:
            throw MartletError(.invalidRequest, "a replica cannot say this; update martlet and martlet-engine together")
        }
        changed()
    }

    func disconnected(_ connection: EngineConnection) async {
        replica.lost(connection)
        changed()
    }
}

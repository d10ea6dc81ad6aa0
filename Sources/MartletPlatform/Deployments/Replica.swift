import Foundation
import Glibc
import MartletWire
import Synchronization

/// One copy of a model version: its process, its connection, and how many requests it has.
final class Replica: Sendable {
    struct State {
        var life: ReplicaLife
        var connection: EngineConnection?
        var process: EngineProcess?
        var inFlight = 0
    }
    let id: String
    let state: Mutex<State>

    init(id: String) {
        self.id = id
        state = Mutex(State(life: ReplicaLife(id: id)))
    }

    var life: ReplicaLife { state.withLock { $0.life } }
    var info: ReplicaInfo { life.info }
    var isReady: Bool { life.isReady }

    func change(_ event: (inout ReplicaLife) -> Void) { state.withLock { event(&$0.life) } }

    func starts(isRestart: Bool) {
        state.withLock { state in
            state.connection = nil
            state.life.starts(isRestart: isRestart)
        }
    }

    /// False where the process is one that nobody wants any more.
    func started(_ process: EngineProcess) -> Bool {
        state.withLock { state in
            state.process = process
            return state.life.started(pid: process.pid)
        }
    }

    func connected(_ connection: EngineConnection) {
        state.withLock { state in
            state.connection = connection
            state.life.connected()
        }
    }

    /// A connection that drops takes the process with it: one that cannot be reached cannot answer.
    func lost(_ connection: EngineConnection) {
        let process = state.withLock { state -> EngineProcess? in
            guard state.connection === connection else { return nil }
            state.connection = nil
            state.life.disconnected()
            return state.process
        }
        process?.send(SIGKILL)
    }

    func ended(_ error: MartletError) {
        state.withLock { state in
            state.process = nil
            state.connection = nil
            state.life.ended(error)
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
        case .ready(let report): replica.change { $0.becameReady(report) }
        case .fail(let error): replica.change { $0.reports(error) }
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

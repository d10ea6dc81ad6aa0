import Foundation
import Glibc
import Logging
import MartletStore
import MartletWire
import Synchronization

/// The replicas of one model version: started, watched, restarted, and chosen for requests.
final class ReplicaGroup: Sendable {
    /// What every group needs from the platform.
    struct Environment: Sendable {
        var store: Store
        var control: ControlServer
        var launcher: EngineLauncher
        var folders: TreeFolders
        var configuration: Configuration
        var home: String
        var clock: PlatformClock
        var logger: Logger
    }
    private struct State {
        var replicas: [Replica] = []
        var supervisors: [String: Task<Void, Never>] = [:]
        var waiting = 0
        var lastUsed: ContinuousClock.Instant = .now
        var nextNumber = 1
    }
    let model: ModelInfo
    let environment: Environment
    private let state = Mutex(State())
    let createdAt = ContinuousClock.now

    /// Requests that may wait for a replica that is being started again, and for how long.
    static let waitLimit = 256
    static let restartWait: Duration = .seconds(5)
    /// How long a request waits for a model's first load.
    static let loadWait: Duration = .seconds(60)

    init(model: ModelInfo, environment: Environment) {
        self.model = model
        self.environment = environment
    }

    var replicas: [ReplicaInfo] { state.withLock { $0.replicas.map(\.info) } }
    var isReady: Bool { state.withLock { $0.replicas.contains(where: \.isReady) } }
    /// What a process of it said when it was ready.
    var report: ReplicaReady? {
        state.withLock { state in state.replicas.compactMap(\.life.report).first }
    }
    /// Bytes that its processes take, by what they said, or by the model's files before.
    var memoryBytes: Int {
        let each = report.map { max($0.residentBytes, 0) } ?? ModelMemory.estimate(model)
        let count = max(1, state.withLock { $0.replicas.count })
        let (product, isOverflow) = each.multipliedReportingOverflow(by: count)
        return isOverflow ? .max / 4 : min(product, .max / 4)
    }
    var idleTime: Duration {
        state.withLock { state in
            let busy = state.waiting > 0 || state.replicas.contains { $0.state.withLock { $0.inFlight > 0 } }
            return busy ? .zero : state.lastUsed.duration(to: .now)
        }
    }

    // MARK: Routing

    /// The ready replica with the fewest requests; `release` gives it back.
    ///
    /// Waits a short while where all are being started again. Throws `unavailable` where none can answer,
    /// `deadlineExceeded` where the request's own time (`deadline`) ends before, `rateLimited` never: a full queue is the
    /// server's fault.
    func acquire(waitingUpTo wait: Duration, deadline: Duration = .seconds(86_400)) async throws -> (
        Replica, EngineConnection
    ) {
        let limit = min(wait, deadline)
        if let found = try pick() { return found }
        let isFull = state.withLock { state in
            state.waiting += 1
            return state.waiting > Self.waitLimit
        }
        defer { state.withLock { $0.waiting -= 1 } }
        guard !isFull else { throw notReady }
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(10))
            if let found = try pick() { return found }
            if hasGivenUp { throw notReady }
        }
        throw deadline < wait ? Self.late(model.name) : notReady
    }

    static func late(_ name: String) -> MartletError {
        MartletError(
            .deadlineExceeded, "the request's time ran out before '\(name)' could start it; try again later")
    }

    private func pick() throws -> (Replica, EngineConnection)? {
        let limit = environment.configuration.replicaQueueLimit
        var isAnyFull = false
        let found: (Replica, EngineConnection)? = state.withLock { state in
            state.lastUsed = .now
            var best: (replica: Replica, inFlight: Int)?
            for replica in state.replicas {
                let (isReady, inFlight) = replica.state.withLock { ($0.life.isReady, $0.inFlight) }
                guard isReady else { continue }
                if inFlight >= limit {
                    isAnyFull = true
                } else if inFlight < best?.inFlight ?? .max {
                    best = (replica, inFlight)
                }
            }
            guard let replica = best?.replica else { return nil }
            return replica.state.withLock { state in
                guard state.life.isReady, let connection = state.connection else { return nil }
                state.inFlight += 1
                return (replica, connection)
            }
        }
        if found == nil, isAnyFull { throw full }
        return found
    }

    private var full: MartletError {
        let limit = environment.configuration.replicaQueueLimit
        return MartletError(
            .unavailable, "all \(limit) places in the queue of '\(model.name)' are taken; try again in a moment")
    }

    /// Throws `unavailable` where each replica that answers has all that it takes: before a request is read for nothing.
    func checkRoom() throws {
        let limit = environment.configuration.replicaQueueLimit
        let counts = state.withLock { state in
            state.replicas.compactMap { $0.state.withLock { $0.life.isReady ? $0.inFlight : nil } }
        }
        if !counts.isEmpty, counts.allSatisfy({ $0 >= limit }) { throw full }
    }

    func release(_ replica: Replica) { replica.state.withLock { $0.inFlight -= 1 } }

    /// Whether no replica is left that could become ready.
    var hasGivenUp: Bool {
        state.withLock { $0.replicas.allSatisfy { $0.info.state == .failed || $0.info.state == .draining } }
    }

    /// Why nothing answers.
    var notReady: MartletError {
        let reason = replicas.compactMap(\.error).first.map { ": \($0)" } ?? ""
        return MartletError(
            .unavailable, "no replica of '\(reference)' can answer at the moment\(reason); try again in a few seconds")
    }

    var reference: String { model.reference }

    // MARK: Life

    /// Brings the group to this many replicas; those that are too many finish what they have.
    func scale(to count: Int) async {
        let leaving = state.withLock { state in
            while state.replicas.count < count {
                let replica = Replica(id: "\(model.name)-\(model.version)-\(state.nextNumber)")
                state.nextNumber += 1
                state.replicas.append(replica)
                state.supervisors[replica.id] = Task { await supervise(replica) }
            }
            let extra = Array(state.replicas.suffix(max(0, state.replicas.count - count)))
            state.replicas.removeLast(extra.count)
            return extra
        }
        // Also for a caller that was cancelled, replicas end in order.
        await Task {
            await withTaskGroup(of: Void.self) { group in
                for replica in leaving { group.addTask { await self.drain(replica) } }
            }
        }.value
    }

    /// Waits until every replica is ready. Throws the reason where one gave up.
    func untilReady() async throws {
        while true {
            let infos = replicas
            if let failed = infos.first(where: { $0.state == .failed }) {
                throw MartletError(
                    .unavailable,
                    "'\(reference)' could not be loaded: \(failed.error ?? "its process ended"); see 'martlet models show'"
                )
            }
            if infos.allSatisfy({ $0.state == .ready }) { return }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    func stop() async { await scale(to: 0) }

    /// Takes a replica out of routing, lets it answer what it has, and ends it.
    private func drain(_ replica: Replica) async {
        replica.change { $0.stops() }
        let end = ContinuousClock.now + .seconds(30)
        while replica.state.withLock({ $0.inFlight > 0 && $0.connection != nil }), ContinuousClock.now < end {
            try? await Task.sleep(for: .milliseconds(10))
        }
        let (connection, process) = replica.state.withLock { ($0.connection, $0.process) }
        if let connection {
            let ask = Task { _ = try? await connection.request(.drain) }
            for _ in 0..<200 where replica.state.withLock({ $0.process != nil }) {
                try? await Task.sleep(for: .milliseconds(10))
            }
            ask.cancel()
        }
        process?.send(SIGTERM)
        for _ in 0..<100 where replica.state.withLock({ $0.process != nil }) {
            try? await Task.sleep(for: .milliseconds(10))
        }
        process?.send(SIGKILL)
        let supervisor = state.withLock { $0.supervisors.removeValue(forKey: replica.id) }
        supervisor?.cancel()
        await supervisor?.value
    }
}

import Foundation
import Logging
import MartletStore
import MartletWire
import Synchronization

/// Deployments with a gate: a model takes over only after an eval's run on it has passed.
///
/// A gate is stored with its run, so that it outlives `serve`: the next one waits for the run's end and decides then.
public final class GateService: Sendable {
    private let deployments: DeploymentService
    private let evals: EvalService
    private let keys: KeyService
    private let audit: AuditLog
    private let store: Store
    private let clock: PlatformClock
    private let logger: Logger
    private let isStopping = Mutex(false)

    /// A key of an eval's metadata: the part of items that must pass, 0 to 1. Without it all must.
    public static let threshold = "pass_rate"

    init(
        deployments: DeploymentService, evals: EvalService, keys: KeyService, audit: AuditLog, store: Store,
        clock: PlatformClock, logger: Logger
    ) {
        self.deployments = deployments
        self.evals = evals
        self.keys = keys
        self.audit = audit
        self.store = store
        self.clock = clock
        self.logger = logger
    }

    /// Deploys, after the gate where the request names one.
    ///
    /// The gate's run asks the new model what the eval's newest sampling run asked. Where it does not pass, the
    /// deployment stays as it is with the reason in its `error`, and `requirementNotMet` is thrown. A newer request for
    /// the same deployment takes the place of one whose gate is not decided.
    public func deploy(
        _ request: DeploymentRequest, wait: Bool, by principal: Principal
    ) async throws -> DeploymentInfo {
        guard let eval = request.gate else {
            let info = try await deployments.deploy(request, wait: false, by: principal)
            try await store.deleteGate(info.name, projectID: principal.project)
            return wait ? try await deployments.deployed(info.name, by: principal) : info
        }
        let gate: StoredGate
        do {
            gate = try await begin(eval, request, by: principal)
        } catch let error as MartletError {
            await deployments.note(error, onDeployment: request.name, ofModel: request.model, by: principal)
            throw error
        }
        guard wait else {
            decideAlone(gate, by: principal)
            return try await show(gate.name, by: principal)
        }
        // On its own: a client that leaves does not undo it.
        return try await Task {
            do {
                return try await self.decide(gate, wait: wait, by: principal)
            } catch let error as Undecided {
                // Whoever waits learns of it now, and need not ask again.
                if error.isTriedAgain { self.decideAlone(gate, after: Self.retryInterval, by: principal) }
                throw error.reason
            }
        }.value
    }

    /// A deployment with its gate, where one is not decided; also the one that a gate has yet to let begin.
    public func show(_ name: String, by principal: Principal) async throws -> DeploymentInfo {
        if let found = try await list(by: principal).first(where: { $0.name == name }) { return found }
        return try await deployments.show(name, by: principal)
    }

    /// Every deployment of the caller's project as `show` has it, by name.
    public func list(by principal: Principal) async throws -> [DeploymentInfo] {
        var found = try await deployments.list(by: principal)
        for gate in try await store.gates() where gate.projectID == principal.project {
            let info = GateInfo(model: gate.model, eval: gate.evalID, run: gate.runID)
            if let index = found.firstIndex(where: { $0.name == gate.name }) {
                found[index].gate = info
            } else {
                var waiting = DeploymentInfo(
                    name: gate.name, model: gate.model, replicas: gate.replicas ?? 1, ready: false,
                    createdAt: gate.createdAt, updatedAt: gate.createdAt)
                waiting.gate = info
                found.append(waiting)
            }
        }
        return found.sorted { $0.name < $1.name }
    }

    /// How long until a decision that could not be written down is tried again.
    private static let retryInterval = Duration.seconds(2)

    /// Decides where nobody waits for it, as often as it takes; the deployment's `error` and the audit log say how it went.
    private func decideAlone(_ gate: StoredGate, after delay: Duration? = nil, by principal: Principal) {
        Task {
            if let delay, (try? await clock.sleep(delay)) == nil { return }
            var isTold = false
            while !isStopping.withLock({ $0 }) {
                do {
                    _ = try await decide(gate, wait: false, by: principal)
                    return
                } catch let error as Undecided where error.isTriedAgain {
                    if !isTold {
                        logger.warning("the gate of '\(gate.name)' is not decided, and is tried again: \(error.reason)")
                    }
                    isTold = true
                } catch {
                    logger.warning("the gate of the deployment '\(gate.name)' is over: \(error)")
                    return
                }
                guard (try? await clock.sleep(Self.retryInterval)) != nil else { return }
            }
        }
    }

    /// What is not decided is left to the next `serve`.
    func stop() { isStopping.withLock { $0 = true } }

    /// Goes on with what an earlier `serve` left undecided.
    func start() async throws {
        for gate in try await store.gates() {
            decideAlone(
                gate,
                by: Principal(keyID: gate.keyID, project: gate.projectID, projectName: "", role: .developer))
        }
    }

    /// Begins the gate's run, and stores both in one transaction.
    private func begin(
        _ gate: String, _ request: DeploymentRequest, by principal: Principal
    ) async throws -> StoredGate {
        let eval = try await evals.show(gate, param: "gate", by: principal)
        _ = try Self.threshold(of: eval)
        guard let source = try await store.newestSamplingRun(ofEval: eval.id)?.info.dataSource,
            case .object(var dataSource) = source
        else {
            throw MartletError(
                .invalidRequest,
                "the eval '\(eval.info.name)' has no run that asks a model; run it once, so that the gate knows its data",
                param: "gate")
        }
        let model = try await deployments.describe(request.model, by: principal).model
        dataSource["model"] = .string(model.reference)
        let stored = StoredGate(
            projectID: principal.project, name: try Name.check(request.name ?? model.name, what: "deployment"),
            model: model.reference, replicas: request.replicas, evalID: eval.id, runID: "", keyID: principal.keyID,
            createdAt: clock.now())
        let made = try await evals.createRun(
            eval.id, name: "gate: \(model.reference)", dataSource: .object(dataSource), metadata: nil, gate: stored,
            by: principal)
        var gate = stored
        gate.runID = made.run.id
        return gate
    }

    /// Waits for the run's end, and deploys exactly the model that it judged, or says why not. Throws `Undecided` where
    /// that cannot be done, or written down, now.
    private func decide(_ gate: StoredGate, wait: Bool, by principal: Principal) async throws -> DeploymentInfo {
        do {
            try await pass(gate, by: principal)
        } catch let refusal as MartletError where refusal.httpStatus < 500 {
            try await repeatably(refusal) { try await record("refused", gate, by: principal) }
            // A newer request for the deployment has its own reasons.
            try await repeatably(refusal) {
                if try await store.isOpen(gate) { try await close(gate, refusal, by: principal) }
            }
            throw refusal
        } catch let error as MartletError {
            throw Undecided(reason: error, isTriedAgain: true)
        }
        try await repeatably { try await record("passed", gate, by: principal) }
        let request = DeploymentRequest(model: gate.model, name: gate.name, replicas: gate.replicas)
        let info = try await repeatably {
            do {
                return try await deployments.deploy(request, gate: gate, wait: false, by: principal)
            } catch let error as MartletError where error.httpStatus < 500 {
                // Another try would end no better: what passed is not there any more.
                try await close(gate, error, by: principal)
                throw error
            }
        }
        // From here on the deployment's own record says where it goes.
        try await repeatably { try await close(gate, nil, by: principal) }
        return wait ? try await deployments.deployed(info.name, by: principal) : info
    }

    /// Runs one part of a decision; where the server cannot do it now, that is `Undecided`, for the reason given or its own.
    private func repeatably<Value>(
        _ reason: MartletError? = nil, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch let error as MartletError where error.httpStatus >= 500 {
            throw Undecided(reason: reason ?? error, isTriedAgain: true)
        }
    }

    private func record(_ outcome: String, _ gate: StoredGate, by principal: Principal) async throws {
        try await audit.record(
            "deployment.gate", on: "\(gate.name): \(gate.model), run \(gate.runID)", by: principal, outcome: outcome)
    }

    /// Ends a gate that is decided; `reason` is why its model does not take over.
    private func close(_ gate: StoredGate, _ reason: MartletError?, by principal: Principal) async throws {
        if let reason { await deployments.note(reason, onDeployment: gate.name, ofModel: gate.model, by: principal) }
        try await store.deleteGate(gate.name, projectID: gate.projectID, runID: gate.runID)
    }

    /// Why a gate is not decided. It is tried again where the disk or the database was in the way; where the server stops
    /// before the run is over, the next one decides.
    private struct Undecided: Error {
        var reason: MartletError
        var isTriedAgain = false
    }

    private func pass(_ gate: StoredGate, by principal: Principal) async throws {
        await evals.untilOver(gate.runID)
        let eval = try await evals.show(gate.evalID, param: "gate", by: principal)
        let done = try await evals.showRun(gate.runID, of: eval.id, by: principal)
        guard done.run.state.isFinal else {
            throw Undecided(
                reason: MartletError(
                    .unavailable,
                    "martlet serve stops before the gate's run \(gate.runID) is over; it goes on when serve is back"))
        }
        guard try await store.isOpen(gate) else {
            throw MartletError(.conflict, "a newer request for '\(gate.name)' has taken this one's place")
        }
        if let loss = await keys.loss(of: gate.keyID) {
            throw MartletError(.requirementNotMet, "the deployment stays as it is because \(loss.reason)")
        }
        guard done.run.state == .completed else {
            throw MartletError(
                .requirementNotMet,
                "the gate's run \(done.run.id) is \(done.run.state.rawValue): \(done.run.info.error?.message ?? "no result")"
            )
        }
        let needed = try Self.threshold(of: eval)
        let total = done.counts.values.reduce(0, +), passed = done.counts[.pass, default: 0]
        guard total > 0, Double(passed) >= needed * Double(total) - 1e-9 else {
            throw MartletError(
                .requirementNotMet,
                "\(gate.model) passed \(passed) of \(total) items of the eval '\(eval.info.name)' and needs "
                    + "\(needed * 100) %; see run \(done.run.id)", param: "gate")
        }
    }

    private static func threshold(of eval: StoredEval) throws -> Double {
        guard let text = eval.info.metadata?[threshold]?.string else { return 1 }
        guard let value = Double(text), (0...1).contains(value) else {
            throw MartletError(
                .invalidRequest,
                "the eval's metadata has '\(text.prefix(40))' as \(threshold); give a number from 0 to 1", param: "gate"
            )
        }
        return value
    }
}

import Foundation
import Logging
import MartletStore
import MartletWire

/// What a `model` string stands for, for the Open Inference Protocol's metadata.
public struct ServedModel: Sendable, Equatable {
    /// As it was asked for.
    public var name: String
    public var model: ModelInfo
    public var versions: [Int]
    /// Whether a replica can answer at this moment.
    public var isReady: Bool
}

/// Deployments: names that route requests to replicas of model versions.
public actor DeploymentService {
    /// A deployment with the replicas that answer and those that are being loaded to take over.
    struct Entry {
        var stored: StoredDeployment
        var group: ReplicaGroup?
        var next: ReplicaGroup?
        /// Where the deployment's model is an adapter: it has no replicas of its own.
        var adapter: ModelInfo?
        var nextAdapter: ModelInfo?
        var rollout: Task<Void, any Error>?
        /// Whether its row is there.
        var isStored = false
    }
    let store: Store
    let audit: AuditLog
    let ledger: Ledger
    let budgets: BudgetService
    let environment: ReplicaGroup.Environment
    let router = Router()
    let heads = InferenceHeads()
    var entries: [Router.Key: Entry] = [:]
    /// Models that are loaded without being deployed, by `name@version`.
    var loaded: [Router.Key: ReplicaGroup] = [:]
    /// Content hashes of adapters whose stored bytes were found whole.
    var checkedAdapters: Set<String> = []
    var isStopping = false
    /// Requests that wait until a model's place is free, in the order in which they came.
    var tickets: [Int] = []
    var nextTicket = 0
    /// The last change of stored deployments; the next one waits for it.
    private var lastChange: Task<Void, Never>?

    static let replicaLimit = 64

    init(
        store: Store, audit: AuditLog, ledger: Ledger, budgets: BudgetService, environment: ReplicaGroup.Environment
    ) {
        self.store = store
        self.audit = audit
        self.ledger = ledger
        self.budgets = budgets
        self.environment = environment
    }

    /// Starts replicas of `request.model`; they take over once they can answer.
    ///
    /// With `wait` it returns then, and throws the reason where they cannot: a first deployment is kept with its
    /// error, an earlier version keeps serving.
    public func deploy(
        _ request: DeploymentRequest, wait: Bool = true, by principal: Principal
    ) async throws -> DeploymentInfo {
        try await deploy(request, gate: nil, wait: wait, by: principal)
    }

    /// The same for what `gate` has let through: where that is gone by now, nothing is deployed.
    func deploy(
        _ request: DeploymentRequest, gate: StoredGate?, wait: Bool, by principal: Principal
    ) async throws -> DeploymentInfo {
        try principal.require(.developer)
        let model = try await model(request.model, by: principal)
        guard model.card.unmetRequirements.isEmpty else {
            throw MartletError(
                .requirementNotMet,
                "\(model.reference) misses what its recipe requires (\(model.card.unmetRequirements.joined(separator: "; "))); "
                    + "train again, or lower evaluation.require")
        }
        let name = try Name.check(request.name ?? model.name, what: "deployment")
        let replicas =
            request.replicas ?? entries[Router.Key(project: principal.project, name: name)]?.stored.replicas ?? 1
        try Self.check(replicas: replicas)
        try await audit.record("deployment.deploy", on: "\(name): \(model.reference)", by: principal)
        let key = Router.Key(project: principal.project, name: name)
        let rollout = try await roll(out: model, as: key, replicas: replicas, gate: gate)
        guard wait else { return try await show(name, by: principal) }
        return try await finished(rollout, name, by: principal)
    }

    /// The deployment once what was asked for last is ready. Throws the reason where it cannot be.
    func deployed(_ name: String, by principal: Principal) async throws -> DeploymentInfo {
        guard let rollout = try await entry(name, principal).1.rollout else {
            return try await show(name, by: principal)
        }
        return try await finished(rollout, name, by: principal)
    }

    private func finished(
        _ rollout: Task<Void, any Error>, _ name: String, by principal: Principal
    ) async throws -> DeploymentInfo {
        do {
            try await rollout.value
        } catch is CancellationError {
            throw MartletError(.conflict, "this rollout was ended: '\(name)' was deployed again or deleted")
        }
        return try await show(name, by: principal)
    }

    public func list(by principal: Principal) async throws -> [DeploymentInfo] {
        try principal.require(.developer, .inference)
        return entries.values.filter { $0.stored.projectID == principal.project }.map(info).sorted { $0.name < $1.name }
    }

    public func show(_ name: String, by principal: Principal) async throws -> DeploymentInfo {
        try principal.require(.developer, .inference)
        return info(try await entry(name, principal).1)
    }

    /// 0 replicas stops it answering. Waits until the new ones are ready, or the old ones have ended.
    public func scale(_ name: String, to replicas: Int, by principal: Principal) async throws -> DeploymentInfo {
        try principal.require(.developer)
        try Self.check(replicas: replicas, from: 0)
        let (key, found) = try await entry(name, principal)
        if let base = (found.adapter ?? found.nextAdapter)?.base {
            throw MartletError(
                .conflict,
                "'\(key.name)' answers through the replicas of its base '\(base.reference)'; scale the base's deployment"
            )
        }
        try await audit.record("deployment.scale", on: "\(key.name) to \(replicas)", by: principal)
        entries[key]?.stored.replicas = replicas
        try await save(key)
        await entries[key]?.next?.scale(to: replicas)
        if let entry = entries[key], entry.group == nil, entry.next == nil, replicas > 0 {
            let model = try await model(entry.stored.model, projectID: key.project)
            try await roll(out: model, as: key, replicas: replicas, makes: false).value
        } else if let group = entries[key]?.group {
            await group.scale(to: replicas)
            try await group.untilReady()
        }
        return try await show(name, by: principal)
    }

    /// Back to the version before.
    public func rollback(_ name: String, by principal: Principal) async throws -> DeploymentInfo {
        try principal.require(.developer)
        let (key, entry) = try await entry(name, principal)
        guard let previous = entry.stored.previousModel else {
            throw MartletError(.conflict, "'\(key.name)' has had no other model; there is nothing to roll back to")
        }
        // What waits for its gate must not take over what was rolled back.
        try await store.deleteGate(key.name, projectID: key.project)
        return try await deploy(
            DeploymentRequest(model: previous, name: key.name, replicas: entry.stored.replicas), by: principal)
    }

    /// Requests that it has are answered first. Throws `conflict` while a job's grader or an eval run asks it.
    public func delete(_ name: String, by principal: Principal) async throws {
        try principal.require(.developer)
        let users = try await ModelUsers(store: store).users(ofDeployment: name, projectID: principal.project)
        guard users.isEmpty else {
            throw MartletError(
                .conflict,
                "the deployment '\(name.prefix(200))' is asked by \(Set(users).sorted().prefix(20).joined(separator: ", ")); "
                    + "wait for their end, or cancel them")
        }
        let (key, _) = try await entry(name, principal)
        try await audit.record("deployment.delete", on: key.name, by: principal)
        let gone = try await change { service in
            try await service.store.deleteDeployment(key.name, projectID: key.project)
            service.router.set(nil, for: key)
            // As it is by now: a rollout may have gone on, or begun, meanwhile.
            return service.entries.removeValue(forKey: key)
        }
        guard let entry = gone else { return }
        entry.rollout?.cancel()
        await entry.next?.stop()
        await entry.group?.stop()
    }

    /// What `model` stands for, and whether it is ready; nothing is loaded by asking.
    public func describe(_ model: String, by principal: Principal) async throws -> ServedModel {
        try principal.require(.developer, .inference)
        let key = Router.Key(project: principal.project, name: model)
        let found: ModelInfo
        let isReady: Bool
        if let entry = entries[key] {
            found = try await self.model(entry.stored.model, projectID: principal.project)
            isReady = self.isReady(entry)
        } else {
            found = try await self.model(model, by: principal)
            // A model is loaded at its first request, so it can be asked.
            isReady = true
        }
        let versions = try await store.models(named: found.name, projectID: principal.project).map(\.version)
        return ServedModel(name: model, model: found, versions: versions, isReady: isReady)
    }

    /// All that `infer` would answer for: deployments, then models.
    public func servable(by principal: Principal) async throws -> [ServedModel] {
        try principal.require(.developer, .inference)
        let deployed = entries.keys.filter { $0.project == principal.project }.map(\.name).sorted()
        let models = try await store.models(named: nil, projectID: principal.project).map(\.name)
        var result: [ServedModel] = []
        for name in deployed + models where !result.contains(where: { $0.name == name }) {
            if let served = try? await describe(name, by: principal) { result.append(served) }
        }
        return result
    }

    /// How a model is served at this moment, as its replicas report; nil where none is loaded.
    func serving(of reference: String, projectID: String) -> [String: String]? {
        let deployed = entries.filter { $0.key.project == projectID }.values.flatMap { [$0.group, $0.next] }
        let groups = deployed + [loaded[Router.Key(project: projectID, name: reference)]]
        return groups.compactMap { $0 }.first { $0.reference == reference && $0.report != nil }?.report?.serving
    }

    /// Changes what is stored of deployments, one change after another: each sees what the one before made of `entries`,
    /// so that what was decided last is what is stored.
    func change<Value: Sendable>(
        _ body: @escaping @Sendable (isolated DeploymentService) async throws -> Value
    ) async throws -> Value {
        let before = lastChange
        let change = Task {
            await before?.value
            return try await body(self)
        }
        lastChange = Task { _ = await change.result }
        return try await change.value
    }

    // MARK: Look-ups

    func entry(_ name: String, _ principal: Principal) async throws -> (Router.Key, Entry) {
        let name = try Name.check(name, what: "deployment")
        let key = Router.Key(project: principal.project, name: name)
        guard let entry = entries[key] else {
            await audit.noteForeign(.deployment, name, by: principal)
            throw MartletError(.notFound, "there is no deployment '\(name)'; see 'martlet deployments list'")
        }
        return (key, entry)
    }

    /// A registered model by `name` (its newest version), `name@version`, or a tuned model's or checkpoint's `ft:` id.
    func model(_ reference: String, projectID: String) async throws -> ModelInfo {
        guard let model = try await store.resolveModel(reference, projectID: projectID) else {
            throw ModelService.unknown(reference)
        }
        return model
    }

    /// The same for someone who asks; that it is another project's is written down.
    private func model(_ reference: String, by principal: Principal) async throws -> ModelInfo {
        do {
            return try await model(reference, projectID: principal.project)
        } catch let error as MartletError where error.code == .notFound {
            await audit.noteForeign(.model, reference, by: principal)
            throw error
        }
    }

    private func info(_ entry: Entry) -> DeploymentInfo {
        let stored = entry.stored
        var info = DeploymentInfo(
            name: stored.name, model: stored.model, replicas: stored.replicas, ready: isReady(entry),
            createdAt: stored.createdAt, updatedAt: stored.updatedAt)
        info.previousModel = stored.previousModel
        // The first rollout has nothing to take over from.
        let isFirst = entry.group == nil && entry.adapter == nil
        info.nextModel = isFirst && stored.nextModel == stored.model ? nil : stored.nextModel
        info.error = stored.error
        let groups = [entry.group ?? baseGroup(entry), entry.next]
        info.replicaStates = groups.compactMap { $0 }.flatMap(\.replicas)
        return info
    }

    /// Whether it answers; an adapter's base is loaded at its first request.
    private func isReady(_ entry: Entry) -> Bool {
        if entry.adapter != nil { return baseGroup(entry)?.isReady ?? true }
        return entry.group?.isReady ?? false
    }

    /// The replicas through which an adapter's deployment answers at this moment.
    private func baseGroup(_ entry: Entry) -> ReplicaGroup? {
        guard let base = entry.adapter?.base else { return nil }
        return deployedGroup(of: base.reference, projectID: entry.stored.projectID)
            ?? loaded[Router.Key(project: entry.stored.projectID, name: base.reference)]
    }

    private static func check(replicas: Int, from least: Int = 1) throws {
        guard (least...replicaLimit).contains(replicas) else {
            throw MartletError(
                .invalidRequest, "\(replicas) replicas are not possible; use \(least) to \(replicaLimit)",
                param: "replicas")
        }
    }
}

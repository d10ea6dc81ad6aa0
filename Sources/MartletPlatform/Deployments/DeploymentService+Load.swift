import Foundation
import MartletStore
import MartletWire

extension DeploymentService {
    /// The replicas that answer for `name`, and how long a request may wait for them: those of a deployment, of a
    /// model that is loaded now because nobody has asked it for a while, or of the base of an adapter.
    ///
    /// Throws `notFound`, also for another project's, which is written down, and `unavailable` where it cannot be loaded.
    nonisolated func route(to name: String, by principal: Principal) async throws -> Route {
        if let found = router.group(Router.Key(project: principal.project, name: name)) {
            // One whose first load still runs is worth a longer wait than a restart.
            return Route(group: found, wait: found.report == nil ? ReplicaGroup.loadWait : ReplicaGroup.restartWait)
        }
        do {
            let route = try await find(name, projectID: principal.project)
            router.note(route.group, for: Router.Key(project: principal.project, name: name))
            return route
        } catch let error as MartletError where error.code == .notFound {
            await audit.noteForeign(.model, name, by: principal)
            await audit.noteForeign(.deployment, name, by: principal)
            throw error
        }
    }

    /// Throws `unavailable` where `name` is being answered for and has no place left; says nothing of other names.
    public nonisolated func checkRoom(_ name: String, by principal: Principal) throws {
        try router.likelyGroup(Router.Key(project: principal.project, name: name))?.checkRoom()
    }

    private func find(_ name: String, projectID: String) async throws -> Route {
        guard !isStopping else { throw MartletError(.unavailable, "martlet serve is stopping; try again soon") }
        if let entry = entries[Router.Key(project: projectID, name: name)] {
            if let group = entry.group { return Route(group: group, wait: ReplicaGroup.restartWait) }
            if let adapter = entry.adapter { return try await route(through: adapter, projectID: projectID) }
            if let next = entry.next { return Route(group: next, wait: ReplicaGroup.restartWait) }
            if let next = entry.nextAdapter { return try await route(through: next, projectID: projectID) }
            let reason = entry.stored.error ?? "it has no replicas; see 'martlet deployments scale'"
            throw MartletError(.unavailable, "the deployment '\(name)' cannot answer: \(reason)")
        }
        let model = try await model(name, projectID: projectID)
        if model.base != nil { return try await route(through: model, projectID: projectID) }
        let group = try await loadedGroup(of: model, projectID: projectID)
        return Route(group: group, wait: ReplicaGroup.loadWait)
    }

    /// The replicas of a model that is not deployed, made now where there are none.
    func loadedGroup(of model: ModelInfo, projectID: String) async throws -> ReplicaGroup {
        let key = Router.Key(project: projectID, name: model.reference)
        if let group = loaded[key], !group.hasGivenUp { return group }
        try await makeRoom(for: model, key)
        // Another request may have loaded it while this one waited.
        if let group = loaded[key], !group.hasGivenUp { return group }
        let group = ReplicaGroup(model: model, environment: environment)
        let failed = loaded.updateValue(group, forKey: key)
        router.set(group, for: key)
        await failed?.stop()
        await group.scale(to: 1)
        return group
    }

    // MARK: Room

    /// Ends idle models until `model` fits. Requests for models that are not loaded are served in the order in which
    /// they came; after a few seconds the model that was loaded first must go even if it is busy: it answers what it
    /// has, and its next request waits for a place again.
    private func makeRoom(for model: ModelInfo, _ key: Router.Key) async throws {
        let ticket = nextTicket
        nextTicket += 1
        tickets.append(ticket)
        defer { tickets.removeAll { $0 == ticket } }
        let memory = ModelMemory(environment.configuration)
        let start = ContinuousClock.now
        while true {
            guard !isStopping else { throw MartletError(.unavailable, "martlet serve is stopping; try again soon") }
            if loaded[key] != nil { return }
            if tickets.first == ticket {
                switch memory.decide(needed: ModelMemory.estimate(model), fixed: deployedBytes, loaded: candidates) {
                case .load(let leaving):
                    for key in leaving { await unload(key) }
                    return
                case .tooLarge(let needed, let available):
                    throw MartletError(
                        .unavailable,
                        "'\(model.reference)' needs about \(needed >> 20) MiB and \(available >> 20) MiB are left for "
                            + "models; raise model_memory_bytes, or delete a deployment")
                case .wait where start.duration(to: .now) > Self.turn:
                    if let first = loadOrder.first { await unload(first) }
                case .wait: break
                }
            }
            guard start.duration(to: .now) < ReplicaGroup.loadWait else {
                throw MartletError(
                    .unavailable, "there is no room for '\(model.reference)': other models are busy; try again soon")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// How long busy models keep their place when another one waits.
    private static let turn: Duration = .seconds(5)

    private var deployedBytes: Int {
        entries.values.flatMap { [$0.group, $0.next] }.compactMap { $0 }.reduce(0) { $0 + $1.memoryBytes }
    }

    private var candidates: [ModelMemory.Loaded] {
        loaded.map { .init(key: $0.key, bytes: $0.value.memoryBytes, idle: $0.value.idleTime) }
    }

    private var loadOrder: [Router.Key] {
        loaded.sorted { $0.value.createdAt < $1.value.createdAt }.map(\.key)
    }

    private func unload(_ key: Router.Key) async {
        if let group = loaded[key] { await unload(key, group) }
    }
}

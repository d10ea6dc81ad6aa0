import Foundation
import MartletStore
import MartletWire

extension DeploymentService {
    /// Loads `model` beside what answers now, and switches once every replica has done a forward pass.
    ///
    /// A rollout that comes while another runs takes its place.
    func roll(
        out model: ModelInfo, as name: String, replicas: Int, projectID: String
    ) async throws -> Task<Void, any Error> {
        guard !isStopping else { throw MartletError(.unavailable, "martlet serve is stopping; try again soon") }
        let key = Router.Key(project: projectID, name: name)
        if model.base != nil { return try await roll(outAdapter: model, as: key, replicas: replicas) }
        var entry =
            entries[key]
            ?? Entry(
                stored: StoredDeployment(
                    projectID: projectID, name: name, model: model.reference, replicas: replicas,
                    createdAt: environment.clock.now()))
        let (earlier, abandoned) = (entry.rollout, entry.next)
        let group = ReplicaGroup(model: model, environment: environment)
        entry.stored.nextModel = model.reference
        entry.stored.replicas = replicas
        entry.stored.error = nil
        entry.next = group
        entry.nextAdapter = nil
        entry.rollout = Task {
            earlier?.cancel()
            await abandoned?.stop()
            await group.scale(to: replicas)
            do {
                try await group.untilReady()
            } catch {
                await self.giveUp(group, key, error)
                throw error
            }
            await self.switchOver(to: group, key)
        }
        entries[key] = entry
        try await save(key)
        return entries[key]?.rollout ?? Task { throw CancellationError() }
    }

    private func switchOver(to group: ReplicaGroup, _ key: Router.Key) async {
        guard var entry = entries[key], entry.next === group else {
            await group.stop()
            return
        }
        let old = entry.group
        entry.adapter = nil
        if old != nil || entry.stored.model != group.reference, entry.stored.model != group.reference {
            entry.stored.previousModel = entry.stored.model
            entry.stored.model = group.reference
        }
        entry.stored.nextModel = nil
        entry.stored.error = nil
        entry.group = group
        entry.next = nil
        entries[key] = entry
        router.set(group, for: key)
        do {
            try await save(key)
        } catch {
            environment.logger.error("the deployment \(key.name) serves \(group.reference), which could not be stored")
        }
        await old?.stop()
    }

    /// The version of before goes on; the error names the one that could not be loaded.
    private func giveUp(_ group: ReplicaGroup, _ key: Router.Key, _ error: any Error) async {
        await group.stop()
        // A serve that stops goes on with the rollout when it comes back.
        guard entries[key]?.next === group, !isStopping else { return }
        entries[key]?.next = nil
        entries[key]?.stored.nextModel = nil
        entries[key]?.stored.error =
            (error as? MartletError)?.message ?? "the rollout of \(group.reference) was stopped by a newer one"
        try? await save(key)
    }

    func save(_ key: Router.Key) async throws {
        entries[key]?.stored.updatedAt = environment.clock.now()
        guard let stored = entries[key]?.stored else { return }
        try await store.save(stored)
    }

    // MARK: Life

    /// Starts what was deployed before; replicas of an earlier `serve` are ended first.
    func start() async throws {
        for (pid, start) in try await store.processes() {
            EngineProcess(adopting: pid, start: start)?.send(9)
            try await store.removeProcess(pid: pid, start: start)
        }
        let deployments = try await store.deployments()
        for stored in deployments {
            entries[Router.Key(project: stored.projectID, name: stored.name)] = Entry(stored: stored)
        }
        var adapters: [StoredDeployment] = []
        for stored in deployments where stored.replicas > 0 {
            if try await self.isAdapter(stored) { adapters.append(stored) } else { await start(stored) }
        }
        // After the others: a base that is deployed is not loaded a second time.
        for stored in adapters { await start(stored) }
    }

    private func isAdapter(_ stored: StoredDeployment) async throws -> Bool {
        try await store.resolveModel(stored.model, projectID: stored.projectID)?.base != nil
    }

    private func start(_ stored: StoredDeployment) async {
        do {
            let current = try await model(stored.model, projectID: stored.projectID)
            let rollout = try await roll(
                out: current, as: stored.name, replicas: stored.replicas, projectID: stored.projectID)
            guard let next = stored.nextModel, next != stored.model else { return }
            Task {
                // Whether that answers is told by the deployment itself.
                try? await rollout.value
                await self.goOn(to: next, stored)
            }
        } catch {
            let reason = (error as? MartletError)?.message ?? "\(error)"
            environment.logger.error("the deployment \(stored.name) was not started: \(reason)")
            entries[Router.Key(project: stored.projectID, name: stored.name)]?.stored.error = reason
        }
    }

    /// Begins anew the rollout that an earlier `serve` left in its middle.
    private func goOn(to next: String, _ stored: StoredDeployment) async {
        do {
            let model = try await model(next, projectID: stored.projectID)
            _ = try await roll(out: model, as: stored.name, replicas: stored.replicas, projectID: stored.projectID)
        } catch  where !isStopping {
            let reason = (error as? MartletError)?.message ?? "\(error)"
            environment.logger.error("the deployment \(stored.name) does not go on to \(next): \(reason)")
            await note(
                "it does not go on to \(next): \(reason)",
                onDeployment: Router.Key(project: stored.projectID, name: stored.name))
        } catch {}
    }

    /// Unloads models that nobody has asked for a while; called now and then.
    func unloadIdle() async {
        let limit = Duration.seconds(environment.configuration.modelIdleSeconds)
        for (key, group) in loaded where group.idleTime > limit { await unload(key, group) }
    }

    func unload(_ reference: String, projectID: String) async {
        let key = Router.Key(project: projectID, name: reference)
        if let group = loaded[key] { await unload(key, group) }
    }

    func unload(_ key: Router.Key, _ group: ReplicaGroup) async {
        loaded[key] = nil
        router.set(nil, for: key)
        await group.stop()
    }

    /// Requests in flight are answered, then all replicas end; the deployments stay for the next `serve`.
    func stop() async {
        isStopping = true
        for entry in entries.values { entry.rollout?.cancel() }
        let groups = entries.values.flatMap { [$0.group, $0.next] }.compactMap { $0 } + loaded.values
        await withTaskGroup(of: Void.self) { tasks in
            for group in groups { tasks.addTask { await group.stop() } }
        }
    }
}

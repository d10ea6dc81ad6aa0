import Foundation
import MartletStore
import MartletWire

extension DeploymentService {
    /// Loads `model` beside what answers now, and switches once every replica has done a forward pass.
    ///
    /// A rollout that comes while another runs takes its place.
    /// - Parameters:
    ///   - makes: whether a deployment that is not there is made; else it is `notFound`.
    ///   - gate: what let the model through.
    /// - Throws: `conflict` where the model or the gate was deleted meanwhile.
    func roll(
        out model: ModelInfo, as key: Router.Key, replicas: Int, makes: Bool = true, gate: StoredGate? = nil
    ) async throws -> Task<Void, any Error> {
        guard !isStopping else { throw MartletError(.unavailable, "martlet serve is stopping; try again soon") }
        guard makes || entries[key] != nil else {
            throw MartletError(.notFound, "the deployment '\(key.name)' was deleted meanwhile; deploy it again")
        }
        var entry =
            entries[key]
            ?? Entry(
                stored: StoredDeployment(
                    projectID: key.project, name: key.name, model: model.reference, replicas: replicas,
                    createdAt: environment.clock.now()))
        entry.stored.nextModel = model.reference
        entry.stored.replicas = replicas
        entry.stored.error = nil
        let rollout = model.base == nil ? load(model, for: &entry, key) : load(adapter: model, for: &entry, key)
        entry.rollout = rollout
        entries[key] = entry
        try await begin(rollout, of: model, key, gate)
        return entries[key]?.rollout ?? Task { throw CancellationError() }
    }

    private func load(_ model: ModelInfo, for entry: inout Entry, _ key: Router.Key) -> Task<Void, any Error> {
        let (earlier, abandoned, replicas) = (entry.rollout, entry.next, entry.stored.replicas)
        let group = ReplicaGroup(model: model, environment: environment)
        entry.next = group
        entry.nextAdapter = nil
        return Task {
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
    }

    /// Stores a rollout that has just begun. Where its model is gone by now, or the gate that let it through, it is over,
    /// and with it a deployment that it made.
    private func begin(
        _ rollout: Task<Void, any Error>, of model: ModelInfo, _ key: Router.Key, _ gate: StoredGate?
    ) async throws {
        let over: Entry? = try await change { service in
            // Another rollout stores itself, and what was deleted stays so.
            guard service.entries[key]?.rollout == rollout else { return nil }
            service.entries[key]?.stored.updatedAt = service.environment.clock.now()
            guard let stored = service.entries[key]?.stored else { return nil }
            if try await service.store.begin(stored, gate: gate) {
                service.entries[key]?.isStored = true
                return nil
            }
            return service.end(rollout, key)
        }
        guard let over else { return }
        rollout.cancel()
        await over.next?.stop()
        if !over.isStored { await over.group?.stop() }
        throw MartletError(
            .conflict,
            "'\(model.reference)'\(gate == nil ? "" : ", or the gate of '\(key.name)',") was deleted meanwhile; "
                + "'\(key.name)' was not deployed with it")
    }

    /// The deployment as it was before its rollout is taken back.
    private func end(_ rollout: Task<Void, any Error>, _ key: Router.Key) -> Entry? {
        guard let entry = entries[key], entry.rollout == rollout else { return nil }
        entries[key]?.next = nil
        entries[key]?.nextAdapter = nil
        entries[key]?.stored.nextModel = nil
        if !entry.isStored {
            entries[key] = nil
            router.set(nil, for: key)
        }
        return entry
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
        try await change { service in
            service.entries[key]?.stored.updatedAt = service.environment.clock.now()
            // As it is by now: what was deleted meanwhile stays so.
            guard let stored = service.entries[key]?.stored else { return }
            try await service.store.save(stored)
            service.entries[key]?.isStored = true
        }
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
            entries[Router.Key(project: stored.projectID, name: stored.name)] = Entry(
                stored: stored, isStored: true)
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
            let key = Router.Key(project: stored.projectID, name: stored.name)
            let rollout = try await roll(out: current, as: key, replicas: stored.replicas)
            guard let next = stored.nextModel, next != stored.model else { return }
            Task {
                // Whether that answers is told by the deployment itself.
                try? await rollout.value
                await self.goOn(to: next, stored, after: rollout)
            }
        } catch {
            let reason = (error as? MartletError)?.message ?? "\(error)"
            environment.logger.error("the deployment \(stored.name) was not started: \(reason)")
            entries[Router.Key(project: stored.projectID, name: stored.name)]?.stored.error = reason
        }
    }

    /// Begins anew the rollout that an earlier `serve` left in its middle, unless the deployment was deleted or deployed
    /// again since.
    private func goOn(to next: String, _ stored: StoredDeployment, after rollout: Task<Void, any Error>) async {
        let key = Router.Key(project: stored.projectID, name: stored.name)
        do {
            let model = try await model(next, projectID: stored.projectID)
            guard entries[key]?.rollout == rollout else { return }
            _ = try await roll(out: model, as: key, replicas: stored.replicas, makes: false)
        } catch  where !isStopping {
            let reason = (error as? MartletError)?.message ?? "\(error)"
            environment.logger.error("the deployment \(stored.name) does not go on to \(next): \(reason)")
            await note("it does not go on to \(next): \(reason)", onDeployment: key)
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

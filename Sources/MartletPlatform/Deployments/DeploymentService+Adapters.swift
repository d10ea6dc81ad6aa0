import Foundation
import MartletStore
import MartletWire

/// Where requests for a name go.
struct Route: Sendable {
    var group: ReplicaGroup
    /// How long a request may wait for a replica.
    var wait: Duration
    /// The adapter that the name stands for; the replicas are its base's.
    var adapter: Adapter?

    struct Adapter: Sendable {
        var model: ModelInfo
        var reference: AdapterReference
    }

    /// What answers: whose name the answer carries and the bill has.
    var model: ModelInfo { adapter?.model ?? group.model }
}

extension ModelInfo {
    /// The model that an adapter was made for; nil for one that stands alone.
    var base: LanguageSummary.Base? { signature.language?.base }
}

/// Adapters answer through replicas of their base: those of its deployment where it has one, or else loaded now.
extension DeploymentService {
    func route(through adapter: ModelInfo, projectID: String) async throws -> Route {
        let base = try await base(of: adapter, projectID: projectID)
        let path = try await folder(ofAdapter: adapter)
        let reference = AdapterReference(
            reference: adapter.reference, contentHash: adapter.contentHash, path: path)
        let (group, wait): (ReplicaGroup, Duration)
        if let deployed = deployedGroup(of: base.reference, projectID: projectID) {
            (group, wait) = (deployed, deployed.report == nil ? ReplicaGroup.loadWait : ReplicaGroup.restartWait)
        } else {
            (group, wait) = (try await loadedGroup(of: base, projectID: projectID), ReplicaGroup.loadWait)
        }
        return Route(group: group, wait: wait, adapter: .init(model: adapter, reference: reference))
    }

    /// Throws `modelNotFound` where the base is gone, `invalidRequest` where another model has its name.
    private func base(of adapter: ModelInfo, projectID: String) async throws -> ModelInfo {
        guard let wanted = adapter.base else {
            throw MartletError(.internal, "\(adapter.reference) is not an adapter")
        }
        let parsed = try Name.parseReference(wanted.reference, what: "model")
        guard let base = try await store.model(parsed.name, version: parsed.version, projectID: projectID) else {
            throw MartletError(
                .modelNotFound,
                "the adapter '\(adapter.reference)' answers through its base '\(wanted.reference)', which is not "
                    + "registered any more; import the adapter again with a base that is there", param: "model")
        }
        guard base.contentHash == wanted.contentHash, base.base == nil, base.signature.isLanguage else {
            throw MartletError(
                .invalidRequest,
                "the adapter '\(adapter.reference)' was made for other weights than '\(wanted.reference)' has; import "
                    + "it again with its own base", param: "model")
        }
        return base
    }

    /// The folder that replicas read. Its bytes are checked once, as a model's are when it is loaded.
    private func folder(ofAdapter adapter: ModelInfo) async throws -> String {
        let folder = try await environment.folders.folder(ofTree: adapter.contentHash, in: store)
        if !checkedAdapters.contains(adapter.contentHash) {
            try await Self.verify(adapter.files, in: folder, environment.folders)
            checkedAdapters.insert(adapter.contentHash)
        }
        return folder
    }

    /// Off the actor: reading takes a while.
    private nonisolated static func verify(_ files: [TreeFile], in folder: String, _ folders: TreeFolders) async throws
    {
        try folders.verify(files, in: folder)
    }

    /// The replicas of a deployment that answers with this model, or is loading it.
    func deployedGroup(of reference: String, projectID: String) -> ReplicaGroup? {
        let groups = entries.filter { $0.key.project == projectID }.sorted { $0.key.name < $1.key.name }
            .flatMap { [$0.value.group, $0.value.next] }
        return groups.compactMap { $0 }.first { $0.reference == reference && !$0.hasGivenUp }
    }

    // MARK: A deployment that names an adapter

    /// Asks the adapter once through its base, and then lets the deployment answer with it.
    func load(adapter model: ModelInfo, for entry: inout Entry, _ key: Router.Key) -> Task<Void, any Error> {
        let (earlier, abandoned) = (entry.rollout, entry.next)
        entry.next = nil
        entry.nextAdapter = model
        return Task {
            earlier?.cancel()
            await abandoned?.stop()
            do {
                try await self.tryOut(model, projectID: key.project)
            } catch {
                await self.giveUp(adapter: model, key, error)
                throw error
            }
            await self.switchOver(toAdapter: model, key)
        }
    }

    /// One token through the adapter, so that what does not fit shows now.
    private func tryOut(_ adapter: ModelInfo, projectID: String) async throws {
        let route = try await route(through: adapter, projectID: projectID)
        let (replica, connection) = try await route.group.acquire(waitingUpTo: ReplicaGroup.loadWait)
        defer { route.group.release(replica) }
        var request = EmbeddingRequest(inputs: [.tokens([0])])
        request.adapter = route.adapter?.reference
        _ = try await connection.request(.embed(request))
    }

    private func switchOver(toAdapter model: ModelInfo, _ key: Router.Key) async {
        guard var entry = entries[key], entry.nextAdapter?.reference == model.reference else { return }
        let old = entry.group
        if entry.stored.model != model.reference {
            entry.stored.previousModel = entry.stored.model
            entry.stored.model = model.reference
        }
        entry.stored.nextModel = nil
        entry.stored.error = nil
        entry.group = nil
        entry.adapter = model
        entry.nextAdapter = nil
        entries[key] = entry
        router.set(nil, for: key)
        do {
            try await save(key)
        } catch {
            environment.logger.error("the deployment \(key.name) serves \(model.reference), which could not be stored")
        }
        await old?.stop()
    }

    private func giveUp(adapter model: ModelInfo, _ key: Router.Key, _ error: any Error) async {
        guard entries[key]?.nextAdapter?.reference == model.reference, !isStopping else { return }
        entries[key]?.nextAdapter = nil
        entries[key]?.stored.nextModel = nil
        entries[key]?.stored.error =
            (error as? MartletError)?.message ?? "the rollout of \(model.reference) was stopped by a newer one"
        try? await save(key)
    }
}

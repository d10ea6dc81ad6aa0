import Foundation
import MartletStore
import MartletWire

/// Models: name@version, immutable, with the data, recipe and job that made them.
public final class ModelService: Sendable {
    private let store: Store
    private let blobs: BlobStore
    private let deployments: DeploymentService
    private let audit: AuditLog
    private let reserve: DiskReserve

    init(
        store: Store, blobs: BlobStore, deployments: DeploymentService, audit: AuditLog, reserve: DiskReserve
    ) {
        self.reserve = reserve
        self.store = store
        self.blobs = blobs
        self.deployments = deployments
        self.audit = audit
    }

    /// The newest version of each name.
    public func list(by principal: Principal) async throws -> [ModelInfo] {
        try principal.require(.developer, .inference)
        return try await store.models(named: nil, projectID: principal.project)
    }

    /// Every version of a name, newest first. Throws `notFound`.
    public func versions(of name: String, by principal: Principal) async throws -> [ModelInfo] {
        try principal.require(.developer, .inference)
        let name = try Name.check(name, what: "model")
        let models = try await store.models(named: name, projectID: principal.project)
        guard !models.isEmpty else { throw await unknown(name, by: principal) }
        return models
    }

    /// `name` (its newest version), `name@version` or an `ft:` id.
    public func show(_ reference: String, by principal: Principal) async throws -> ModelInfo {
        try principal.require(.developer, .inference)
        if !reference.hasPrefix("ft:") { _ = try Name.parseReference(reference, what: "model") }
        guard let model = try await store.resolveModel(reference, projectID: principal.project) else {
            throw await unknown(reference, by: principal)
        }
        var shown = model
        shown.serving = await deployments.serving(of: model.reference, projectID: principal.project)
        return shown
    }

    /// Tuned models and checkpoints under their `ft:` ids, oldest first. They answer at any time.
    public func tuned(by principal: Principal) async throws -> [ServedModel] {
        try principal.require(.developer, .inference)
        var served: [ServedModel] = []
        for alias in try await store.modelAliases(projectID: principal.project) {
            guard let model = try await store.resolveModel(alias.alias, projectID: principal.project) else { continue }
            served.append(ServedModel(name: alias.alias, model: model, versions: [model.version], isReady: true))
        }
        return served
    }

    /// Where a file of the bundle lies on this machine and its length, for the transport to stream.
    public func file(
        _ path: String, of reference: String, by principal: Principal
    ) async throws -> (localPath: String, byteCount: Int) {
        try principal.require(.developer)
        let model = try await show(reference, by: principal)
        guard let file = model.files.first(where: { $0.path == path }) else {
            let names = model.files.map(\.path).joined(separator: ", ")
            throw MartletError(.notFound, "\(reference) has no file '\(path.prefix(100))'; it has \(names)")
        }
        return (try blobs.path(of: file.hash), file.byteCount)
    }

    /// Deletes `name@version` (or the version of an `ft:` id), or with `name` every version. Throws `conflict` with the list of what needs it, unless
    /// `force`. The answer is what was broken by force. The bytes go with the next `gc`.
    @discardableResult
    public func delete(_ reference: String, force: Bool = false, by principal: Principal) async throws -> [String] {
        try principal.require(.developer)
        var (name, version): (String, Int?)
        if reference.hasPrefix("ft:") {
            let model = try await show(reference, by: principal)
            (name, version) = (model.name, model.version)
        } else {
            (name, version) = try Name.parseReference(reference, what: "model")
        }
        let models = try await store.models(named: name, projectID: principal.project)
            .filter { version == nil || $0.version == version }
        guard !models.isEmpty else { throw await unknown(reference, by: principal) }
        var users: [String] = []
        for model in models {
            users += try await store.users(ofModel: model.reference, projectID: principal.project)
        }
        users += try await ModelUsers(store: store).users(
            ofModels: Set(models.map(\.reference)), projectID: principal.project)
        users = Array(Set(users)).sorted()
        guard force || users.isEmpty else { throw MartletError.isNeeded("model '\(reference)'", by: users) }
        try await reserve.whileFull {
            try await audit.record("model.delete", on: reference, by: principal)
            for model in models {
                // One may have been deployed since the users were asked for.
                guard
                    try await store.deleteModel(
                        name, version: model.version, projectID: principal.project, force: force)
                else {
                    throw MartletError.isNeeded(
                        "model '\(model.reference)'",
                        by: try await store.users(ofModel: model.reference, projectID: principal.project))
                }
            }
        }
        for model in models {
            await deployments.unload(model.reference, projectID: principal.project)
        }
        return users
    }

    /// The same for another project's, which is written down.
    private func unknown(_ reference: String, by principal: Principal) async -> MartletError {
        await audit.noteForeign(.model, reference, by: principal)
        return Self.unknown(reference)
    }

    static func unknown(_ reference: String) -> MartletError {
        MartletError(.notFound, "there is no model '\(reference.prefix(200))'; see 'martlet models list'")
    }
}

extension ModelInfo {
    /// `name@version`.
    var reference: String { "\(name)@\(version)" }
}

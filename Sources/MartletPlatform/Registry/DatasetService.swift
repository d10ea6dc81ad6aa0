import Foundation
import Logging
import MartletStore
import MartletWire
import NIOCore

/// Datasets: named, versioned folders of files that training reads.
public final class DatasetService: Sendable {
    private let store: Store
    private let uploads: Uploads
    private let jobs: JobService
    private let audit: AuditLog
    private let clock: PlatformClock
    private let reserve: DiskReserve

    init(
        store: Store, uploads: Uploads, jobs: JobService, audit: AuditLog, clock: PlatformClock, reserve: DiskReserve
    ) {
        self.reserve = reserve
        self.store = store
        self.uploads = uploads
        self.jobs = jobs
        self.audit = audit
        self.clock = clock
    }

    /// Starts a new version of `name`; the answer names the upload for the calls below. It ends with `commit`,
    /// `abandon`, or with `serve`.
    public func beginVersion(name: String, by principal: Principal) async throws -> String {
        try await uploads.begin(.dataset, name: name, by: principal)
    }

    /// Streams one file to disk. Throws `invalidRequest` for an unsafe path, `tooLarge`, `storageFull`.
    public func addFile<Body: AsyncSequence & Sendable>(
        upload: String, path: String, body: Body, by principal: Principal
    ) async throws -> TreeFile where Body.Element == ByteBuffer {
        try await uploads.add(.dataset, upload, path: path, body: body, by: principal)
    }

    /// Registers the version and starts the job that describes it (`profileJob`).
    public func commit(upload id: String, by principal: Principal) async throws -> DatasetInfo {
        try await uploads.hand(.dataset, id, by: principal) { name, tree in
            try await register(name, tree, by: principal)
        }
    }

    private func register(_ name: String, _ tree: Tree, by principal: Principal) async throws -> DatasetInfo {
        // The same content again is the version that has it.
        if let newest = try await store.dataset(name, version: nil, projectID: principal.project),
            newest.contentHash == tree.hash
        {
            return newest
        }
        var dataset = try await store.insertDataset(
            name: name, tree: tree, projectID: principal.project, at: clock.now())
        do {
            let job = try await jobs.submit(
                JobRequest(kind: .import, dataset: "\(dataset.name)@\(dataset.version)"), by: principal)
            try await store.setProfile(
                job: job.id, result: nil, ofDataset: dataset.name, version: dataset.version,
                projectID: principal.project)
            dataset.profileJob = job.id
        } catch let error as MartletError where error.code == .rateLimited || error.code == .unavailable {
            // The version is registered and can be trained on; only its description is missing.
        }
        return dataset
    }

    public func abandon(upload id: String, by principal: Principal) async throws {
        try await uploads.abandon(.dataset, id, by: principal)
    }

    /// Drops the uploads of datasets and models whose sender has gone for an hour.
    func forgetAbandonedUploads() async { await uploads.forgetAbandoned() }

    /// The newest version of each name, by name.
    public func list(by principal: Principal) async throws -> [DatasetInfo] {
        try principal.require(.developer)
        return try await store.datasets(projectID: principal.project)
    }

    /// `name` (its newest version) or `name@version`.
    public func show(_ reference: String, by principal: Principal) async throws -> DatasetInfo {
        try principal.require(.developer)
        let (name, version) = try Name.parseReference(reference, what: "dataset")
        guard let dataset = try await store.dataset(name, version: version, projectID: principal.project) else {
            throw await unknown(reference, by: principal)
        }
        return dataset
    }

    /// Deletes `name@version`, or with `name` every version. Throws `conflict` with the list of what needs it, unless
    /// `force`. The answer is what was broken by force. The bytes go with the next `gc`.
    @discardableResult
    public func delete(_ reference: String, force: Bool = false, by principal: Principal) async throws -> [String] {
        try principal.require(.developer)
        let (name, version) = try Name.parseReference(reference, what: "dataset")
        let versions = try await store.datasetVersions(name, projectID: principal.project)
            .filter { version == nil || $0 == version }
        guard !versions.isEmpty else { throw await unknown(reference, by: principal) }
        var users: [String] = []
        for version in versions {
            users += try await store.users(ofDataset: name, version: version, projectID: principal.project)
        }
        guard force || users.isEmpty else { throw MartletError.isNeeded("dataset '\(reference)'", by: users) }
        try await reserve.whileFull {
            try await audit.record("dataset.delete", on: reference, by: principal)
            for version in versions {
                try await store.deleteDataset(name, version: version, projectID: principal.project)
            }
        }
        return users
    }

    /// The same for another project's, which is written down.
    private func unknown(_ reference: String, by principal: Principal) async -> MartletError {
        await audit.noteForeign(.dataset, reference, by: principal)
        return MartletError(.notFound, "there is no dataset '\(reference.prefix(200))'; see 'martlet data list'")
    }
}

extension MartletError {
    /// The refusal to delete what something else needs.
    static func isNeeded(_ what: String, by users: [String]) -> MartletError {
        let shown = users.prefix(20).joined(separator: ", ") + (users.count > 20 ? " and \(users.count - 20) more" : "")
        return MartletError(.conflict, "\(what) is needed by \(shown); delete those first, or use --force")
    }
}

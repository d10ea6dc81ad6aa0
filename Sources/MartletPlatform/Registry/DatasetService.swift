import Foundation
import Logging
import MartletStore
import MartletWire
import NIOCore

/// Datasets: named, versioned folders of files that training reads.
public actor DatasetService {
    private let store: Store
    private let blobs: BlobStore
    private let jobs: JobService
    private let audit: AuditLog
    private let configuration: Configuration
    private let clock: PlatformClock

    private struct Upload {
        var project: String
        var name: String
        var files: [TreeFile] = []
        var byteCount = 0
    }
    private var uploads: [String: Upload] = [:]
    static let uploadLimit = 256

    init(
        store: Store, blobs: BlobStore, jobs: JobService, audit: AuditLog, configuration: Configuration,
        clock: PlatformClock
    ) {
        self.store = store
        self.blobs = blobs
        self.jobs = jobs
        self.audit = audit
        self.configuration = configuration
        self.clock = clock
    }

    /// Starts a new version of `name`; the answer names the upload for the calls below. It ends with `commit`,
    /// `abandon`, or with `serve`.
    public func beginVersion(name: String, by principal: Principal) async throws -> String {
        try principal.require(.developer)
        let name = try Name.check(name, what: "dataset")
        guard uploads.count < Self.uploadLimit else {
            throw MartletError(.unavailable, "\(uploads.count) uploads are open; finish or abandon some first")
        }
        let id = "upload_\(try [UInt8].random(count: 12).hex)"
        uploads[id] = Upload(project: principal.project, name: name)
        return id
    }

    /// Streams one file to disk. Throws `invalidRequest` for an unsafe path, `tooLarge`, `storageFull`.
    public nonisolated func addFile<Body: AsyncSequence & Sendable>(
        upload: String, path: String, body: Body, by principal: Principal
    ) async throws -> TreeFile where Body.Element == ByteBuffer {
        try RelativePath.check(path)
        let room = try await room(in: upload, by: principal)
        let writer = try blobs.writer()
        for try await chunk in body {
            guard writer.byteCount + chunk.readableBytes <= room else {
                throw MartletError(
                    .tooLarge,
                    "the upload is over the limit of \(configuration.uploadLimitBytes) bytes; split the data, or raise "
                        + "upload_limit_bytes")
            }
            try chunk.withUnsafeReadableBytes { try writer.append($0) }
        }
        let (hash, byteCount) = try writer.finish()
        let file = TreeFile(path: path, hash: hash, byteCount: byteCount)
        do {
            try await keep(file, in: upload, by: principal)
        } catch {
            blobs.unpin([hash])
            throw error
        }
        return file
    }

    private func room(in id: String, by principal: Principal) throws -> Int {
        configuration.uploadLimitBytes - (try upload(id, by: principal)).byteCount
    }

    private func keep(_ file: TreeFile, in id: String, by principal: Principal) throws {
        var upload = try upload(id, by: principal)
        if let index = upload.files.firstIndex(where: { $0.path == file.path }) {
            // Sent again, after a connection broke.
            blobs.unpin([upload.files[index].hash])
            upload.byteCount -= upload.files[index].byteCount
            upload.files[index] = file
        } else {
            upload.files.append(file)
        }
        upload.byteCount += file.byteCount
        uploads[id] = upload
    }

    private func upload(_ id: String, by principal: Principal) throws -> Upload {
        try principal.require(.developer)
        guard let upload = uploads[id], upload.project == principal.project else {
            throw MartletError(.notFound, "there is no upload '\(id.prefix(60))'; begin a new one")
        }
        return upload
    }

    /// Registers the version and starts the job that describes it (`profileJob`).
    public func commit(upload id: String, by principal: Principal) async throws -> DatasetInfo {
        let upload = try upload(id, by: principal)
        let tree = try Tree(files: upload.files)
        uploads[id] = nil
        defer { blobs.unpin(upload.files.map(\.hash)) }
        // The same content again is the version that has it.
        if let newest = try await store.dataset(upload.name, version: nil, projectID: principal.project),
            newest.contentHash == tree.hash
        {
            return newest
        }
        var dataset = try await store.insertDataset(
            name: upload.name, tree: tree, projectID: principal.project, at: clock.now())
        let job = try await jobs.submit(
            JobRequest(kind: .import, dataset: "\(dataset.name)@\(dataset.version)"), by: principal)
        try await store.setProfile(
            job: job.id, result: nil, ofDataset: dataset.name, version: dataset.version, projectID: principal.project)
        dataset.profileJob = job.id
        return dataset
    }

    public func abandon(upload id: String, by principal: Principal) async throws {
        let upload = try upload(id, by: principal)
        uploads[id] = nil
        blobs.unpin(upload.files.map(\.hash))
    }

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
            throw Self.unknown(reference)
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
        guard !versions.isEmpty else { throw Self.unknown(reference) }
        var users: [String] = []
        for version in versions {
            users += try await store.users(ofDataset: name, version: version, projectID: principal.project)
        }
        guard force || users.isEmpty else { throw MartletError.isNeeded("dataset '\(reference)'", by: users) }
        try await audit.record("dataset.delete", on: reference, by: principal)
        for version in versions {
            try await store.deleteDataset(name, version: version, projectID: principal.project)
        }
        return users
    }

    private static func unknown(_ reference: String) -> MartletError {
        MartletError(.notFound, "there is no dataset '\(reference.prefix(200))'; see 'martlet data list'")
    }
}

extension MartletError {
    /// The refusal to delete what something else needs.
    static func isNeeded(_ what: String, by users: [String]) -> MartletError {
        let shown = users.prefix(20).joined(separator: ", ") + (users.count > 20 ? " and \(users.count - 20) more" : "")
        return MartletError(.conflict, "\(what) is needed by \(shown); delete those first, or use --force")
    }
}

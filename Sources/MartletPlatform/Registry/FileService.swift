import Foundation
import Logging
import MartletStore
import MartletWire

/// Files of OpenAI's API: uploaded bytes with a purpose. What training, batches and evals read is a dataset too, the
/// same one that the native API and the command line see.
public final class FileService: Sendable {
    let store: Store
    let blobs: BlobStore
    private let jobs: JobService
    let audit: AuditLog
    let clock: PlatformClock
    private let logger: Logger
    private let reserve: DiskReserve
    let byteLimit: Int
    /// Seconds after which a file may go, at least and at most.
    public static let secondsRange = 3600...2_592_000
    private static let batchSeconds = 2_592_000

    init(
        store: Store, blobs: BlobStore, jobs: JobService, audit: AuditLog, clock: PlatformClock, logger: Logger,
        reserve: DiskReserve, byteLimit: Int
    ) {
        self.reserve = reserve
        self.store = store
        self.blobs = blobs
        self.jobs = jobs
        self.audit = audit
        self.clock = clock
        self.logger = logger
        self.byteLimit = byteLimit
    }

    /// A place on disk for a file's bytes, before it is known what they are.
    public func begin(by principal: Principal) throws -> IncomingFile {
        try principal.require(.developer)
        return IncomingFile(writer: try blobs.writer(), byteLimit: byteLimit)
    }

    /// Registers what arrived. `seconds` after its making the file goes; batches' files go after 30 days by themselves.
    public func create(
        _ incoming: IncomingFile, filename: String, purpose: FilePurpose, seconds: Int? = nil, by principal: Principal
    ) async throws -> FileInfo {
        try principal.require(.developer)
        try Self.check(purpose: purpose)
        return try await keep(incoming, filename: filename, purpose: purpose, seconds: seconds, by: principal)
    }

    /// The same for what the server itself writes.
    func keep(
        _ incoming: IncomingFile, filename: String, purpose: FilePurpose, seconds: Int? = nil, jobID: String? = nil,
        by principal: Principal
    ) async throws -> FileInfo {
        let filename = try FileName.check(filename)
        guard incoming.byteCount > 0 else {
            throw MartletError(.invalidRequest, "the file '\(filename)' is empty; send one with content", param: "file")
        }
        let stored = try incoming.finish()
        defer { blobs.unpin([stored.hash]) }
        let (file, tree) = try describe(stored, filename: filename, purpose: purpose, seconds: seconds, jobID: jobID)
        return try await describeData(
            store.insert(file, tree: tree, asDataset: Self.datasetName(file), projectID: principal.project), principal)
    }

    /// A file that is about to be registered, and its content.
    func describe(
        _ stored: (hash: String, byteCount: Int), filename: String, purpose: FilePurpose, seconds: Int?,
        jobID: String? = nil
    ) throws -> (FileInfo, Tree) {
        let seconds = seconds ?? (purpose == .batch ? Self.batchSeconds : nil)
        let tree = try Tree(files: [
            TreeFile(path: FileName.path(filename, purpose), hash: stored.hash, byteCount: stored.byteCount)
        ])
        let now = clock.now()
        let file = FileInfo(
            id: "file-\(try [UInt8].random(count: 12).hex)", filename: filename, purpose: purpose,
            byteCount: stored.byteCount, createdAt: now, expiresAt: seconds.map { now + Double($0) },
            contentHash: tree.hash, jobID: jobID)
        return (file, tree)
    }

    static func datasetName(_ file: FileInfo) -> String? {
        file.purpose.isData ? FileName.dataset(file.filename) : nil
    }

    /// Starts the job that describes a new dataset; the file is there without it too.
    func describeData(
        _ registered: (file: FileInfo, isNewDataset: Bool), _ principal: Principal
    ) async throws -> FileInfo {
        let file = registered.file
        guard registered.isNewDataset, let reference = file.dataset,
            let (name, version) = try? Name.parseReference(reference, what: "dataset"), let version
        else { return file }
        do {
            let job = try await jobs.submit(JobRequest(kind: .import, dataset: reference), by: principal)
            try await store.setProfile(
                job: job.id, result: nil, ofDataset: name, version: version, projectID: principal.project)
        } catch {
            logger.warning("\(reference) is not described: \(error)")
        }
        return file
    }

    /// Newest first unless `isNewestFirst` is false; those behind the file `after`.
    public func list(
        purpose: FilePurpose? = nil, after: String? = nil, limit: Int = 10_000, isNewestFirst: Bool = true,
        by principal: Principal
    ) async throws -> Page<FileInfo> {
        try principal.require(.developer)
        if let after, try await store.file(after, projectID: principal.project, at: .distantPast) == nil {
            throw Self.unknown(after, param: "after")
        }
        let found = try await store.files(
            projectID: principal.project, purpose: purpose, after: after, limit: limit + 1,
            isNewestFirst: isNewestFirst, at: clock.now())
        return Page(found, limit: limit)
    }

    /// Throws the same `notFound` for an unknown id and for another project's, and writes the latter down.
    public func show(_ id: String, param: String? = nil, by principal: Principal) async throws -> FileInfo {
        try principal.require(.developer)
        if let file = try await store.file(id, projectID: principal.project, at: clock.now()) { return file }
        if try await store.file(id, projectID: nil, at: clock.now()) != nil {
            try? await audit.record("file.access", on: id, by: principal, outcome: "denied")
        }
        throw Self.unknown(id, param: param)
    }

    /// A file's content.
    public struct Content: Sendable {
        public var file: FileInfo
        /// Where the bytes lie on this machine.
        public var localPath: String
        public var contentType: String
    }

    /// Throws `invalidRequest` where the file's purpose is none of `purposes`.
    public func content(
        of id: String, purposes: Set<FilePurpose> = [], param: String? = nil, by principal: Principal
    ) async throws -> Content {
        let file = try await show(id, param: param, by: principal)
        try Self.check(file, purposes, param: param)
        guard let stored = try await store.files(ofTree: file.contentHash).first else {
            throw MartletError(.internal, "the content of '\(id)' is not registered; restore a backup")
        }
        return Content(
            file: file, localPath: try blobs.path(of: stored.hash),
            contentType: FileName.contentType(file.filename))
    }

    /// Throws `invalidRequest` where the file's purpose is none of `purposes`.
    static func check(_ file: FileInfo, _ purposes: Set<FilePurpose>, param: String?) throws {
        guard !purposes.isEmpty, !purposes.contains(file.purpose) else { return }
        let fitting = purposes.map { "'\($0.rawValue)'" }.sorted().joined(separator: " or ")
        throw MartletError(
            .invalidRequest,
            "the purpose of '\(file.id)' is '\(file.purpose.rawValue)'; upload the file with the purpose \(fitting)",
            param: param)
    }

    /// Throws `conflict` with the jobs that read it. The dataset that it is goes too, unless another file or a model
    /// refers to that. The bytes go with the next `gc`.
    public func delete(_ id: String, by principal: Principal) async throws {
        let file = try await show(id, by: principal)
        let users = try await store.users(ofFile: file.id, projectID: principal.project)
        guard users.isEmpty else {
            let shown = users.prefix(20).joined(separator: ", ")
            throw MartletError(
                .conflict, "the file '\(file.id)' is needed by \(shown); cancel that first, or wait for its end")
        }
        try await reserve.whileFull {
            try await audit.record("file.delete", on: "\(file.id) \(file.filename)", by: principal)
            guard try await store.deleteFile(file.id, projectID: principal.project) else {
                throw Self.unknown(id, param: nil)
            }
        }
    }

    /// Removes files and uploads whose time is over; a file that an unfinished job reads stays until that ends.
    func sweep() async {
        do {
            let now = clock.now()
            for (id, project) in try await store.expiredFiles(at: now)
            where try await store.users(ofFile: id, projectID: project).isEmpty {
                _ = try await store.deleteFile(id, projectID: project)
            }
            try await store.expireUploads(at: now)
        } catch {
            logger.warning("what has expired could not be removed yet: \(error)")
        }
    }

    static func check(purpose: FilePurpose) throws {
        guard !purpose.isUploaded else { return }
        throw MartletError(
            .invalidRequest, "files with the purpose '\(purpose.rawValue)' are made by the server; use another",
            param: "purpose")
    }

    static func unknown(_ id: String, param: String?) -> MartletError {
        MartletError(.notFound, "there is no file '\(id.prefix(80))'; see GET /v1/files", param: param)
    }
}

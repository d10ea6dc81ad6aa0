import Foundation
import MartletStore
import MartletWire
import NIOCore

/// Models of other tools: their files are uploaded like a dataset's, and a job reads them and registers a bundle.
public final class ModelImportService: Sendable {
    private let store: Store
    private let uploads: Uploads
    private let jobs: JobService
    private let audit: AuditLog
    private let clock: PlatformClock

    init(store: Store, uploads: Uploads, jobs: JobService, audit: AuditLog, clock: PlatformClock) {
        self.store = store
        self.uploads = uploads
        self.jobs = jobs
        self.audit = audit
        self.clock = clock
    }

    /// Starts an import of a model that will be called `name`; the answer names the upload for the calls below.
    public func begin(name: String, by principal: Principal) async throws -> String {
        try await uploads.begin(.model, name: name, by: principal)
    }

    /// Streams one file to disk. Throws `unsupportedFormat` for what could hold code, before a byte is read.
    public func addFile<Body: AsyncSequence & Sendable>(
        upload: String, path: String, body: Body, by principal: Principal
    ) async throws -> TreeFile where Body.Element == ByteBuffer {
        try ModelFileFormat.check(path)
        return try await uploads.add(.model, upload, path: path, body: body, by: principal)
    }

    /// Starts the job that reads the files; `base` is the model that an adapter is added to. Throws `invalidData` where
    /// no file holds weights. What was sent is kept where it throws, so that nothing need be sent twice.
    public func commit(upload id: String, base: String? = nil, by principal: Principal) async throws -> JobInfo {
        try await uploads.hand(.model, id, by: principal) { name, tree in
            guard tree.files.contains(where: { ModelFileFormat.holdsWeights($0.path) }) else {
                throw MartletError(
                    .invalidData, "no file of '\(name)' holds weights; send .safetensors files or one .gguf file")
            }
            try await audit.record("model.import", on: name, by: principal)
            try await store.insertTree(tree, at: clock.now())
            return try await jobs.submitImport(name: name, treeHash: tree.hash, base: base, by: principal)
        }
    }

    public func abandon(upload id: String, by principal: Principal) async throws {
        try await uploads.abandon(.model, id, by: principal)
    }
}

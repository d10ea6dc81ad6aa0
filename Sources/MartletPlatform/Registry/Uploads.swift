import Foundation
import MartletStore
import MartletWire
import NIOCore

/// Files on their way in: streamed to disk, kept by their hash, and handed over together once all are there.
///
/// An upload ends with `take`, `abandon`, an hour after anyone sent something to it, or with `serve`.
actor Uploads {
    /// What its files become.
    enum Purpose: String, Sendable { case dataset, model }

    private struct Upload {
        var project: String
        var purpose: Purpose
        var name: String
        var files: [TreeFile] = []
        var byteCount = 0
        var touchedAt: Date
        /// Files that are on their way at this moment.
        var sending = 0
    }
    nonisolated let blobs: BlobStore
    private let byteLimit: Int
    private let clock: PlatformClock
    private var uploads: [String: Upload] = [:]
    /// Of one project, open at once.
    static let limit = 256
    private static let lifetime: TimeInterval = 3600

    init(blobs: BlobStore, byteLimit: Int, clock: PlatformClock) {
        self.blobs = blobs
        self.byteLimit = byteLimit
        self.clock = clock
    }

    /// The id for the calls below.
    func begin(_ purpose: Purpose, name: String, by principal: Principal) throws -> String {
        try principal.require(.developer)
        let name = try Name.check(name, what: purpose.rawValue)
        forgetAbandoned()
        let open = uploads.values.count { $0.project == principal.project }
        guard open < Self.limit else {
            throw MartletError(
                .rateLimited, "\(open) uploads of this project are open; finish or abandon some first")
        }
        let id = "upload_\(try [UInt8].random(count: 12).hex)"
        uploads[id] = Upload(project: principal.project, purpose: purpose, name: name, touchedAt: clock.now())
        return id
    }

    /// Drops uploads whose sender has gone, so that their bytes can be collected.
    func forgetAbandoned() {
        let limit = clock.now() - Self.lifetime
        for (id, upload) in uploads where upload.sending == 0 && upload.touchedAt < limit {
            uploads[id] = nil
            blobs.unpin(upload.files.map(\.hash))
        }
    }

    /// Streams one file to disk. Throws `invalidRequest` for an unsafe path, `tooLarge`, `storageFull`.
    nonisolated func add<Body: AsyncSequence & Sendable>(
        _ purpose: Purpose, _ id: String, path: String, body: Body, by principal: Principal
    ) async throws -> TreeFile where Body.Element == ByteBuffer {
        try RelativePath.check(path)
        let room = try await enter(purpose, id, by: principal)
        do {
            let file = try await receive(path, body, room: room)
            do {
                try await keep(file, purpose, id, by: principal)
            } catch {
                blobs.unpin([file.hash])
                throw error
            }
            await leave(id)
            return file
        } catch {
            await leave(id)
            throw error
        }
    }

    private nonisolated func receive<Body: AsyncSequence & Sendable>(
        _ path: String, _ body: Body, room: Int
    ) async throws -> TreeFile where Body.Element == ByteBuffer {
        let writer = try blobs.writer()
        for try await chunk in body {
            guard writer.byteCount + chunk.readableBytes <= room else {
                throw MartletError(
                    .tooLarge,
                    "the upload is over the limit of \(byteLimit) bytes; split the data, or raise upload_limit_bytes")
            }
            try chunk.withUnsafeReadableBytes { try writer.append($0) }
        }
        let (hash, byteCount) = try writer.finish()
        return TreeFile(path: path, hash: hash, byteCount: byteCount)
    }

    /// The name and files; they stay pinned until the caller unpins them.
    func take(_ purpose: Purpose, _ id: String, by principal: Principal) throws -> (name: String, tree: Tree) {
        let upload = try upload(purpose, id, by: principal)
        let tree = try Tree(files: upload.files)
        uploads[id] = nil
        return (upload.name, tree)
    }

    func abandon(_ purpose: Purpose, _ id: String, by principal: Principal) throws {
        let upload = try upload(purpose, id, by: principal)
        uploads[id] = nil
        blobs.unpin(upload.files.map(\.hash))
    }

    /// How many bytes the upload may still take.
    private func enter(_ purpose: Purpose, _ id: String, by principal: Principal) throws -> Int {
        let upload = try upload(purpose, id, by: principal)
        uploads[id]?.sending += 1
        return byteLimit - upload.byteCount
    }

    private func leave(_ id: String) {
        uploads[id]?.sending -= 1
        uploads[id]?.touchedAt = clock.now()
    }

    private func keep(_ file: TreeFile, _ purpose: Purpose, _ id: String, by principal: Principal) throws {
        var upload = try upload(purpose, id, by: principal)
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

    private func upload(_ purpose: Purpose, _ id: String, by principal: Principal) throws -> Upload {
        try principal.require(.developer)
        guard let upload = uploads[id], upload.project == principal.project, upload.purpose == purpose else {
            throw MartletError(.notFound, "there is no upload '\(id.prefix(60))'; begin a new one")
        }
        return upload
    }
}

import Foundation
import MartletStore
import MartletWire
import NIOCore

/// Files on their way in: streamed to disk, kept by their hash, and handed over together once all are there.
///
/// An upload ends with `hand`, `abandon`, an hour after anyone sent something to it, or with `serve`.
actor Uploads {
    /// What its files become.
    enum Purpose: String, Sendable { case dataset, model }

    private struct Upload {
        var project: String
        var purpose: Purpose
        var name: String
        /// By their paths.
        var files: [String: TreeFile] = [:]
        var byteCount = 0
        var hashes: [String] { files.values.map(\.hash) }
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
            blobs.unpin(upload.hashes)
        }
    }

    /// Streams one file to disk. Throws `invalidRequest` for an unsafe path, `tooLarge`, `storageFull`.
    nonisolated func add<Body: AsyncSequence & Sendable>(
        _ purpose: Purpose, _ id: String, path: String, body: Body, by principal: Principal
    ) async throws -> TreeFile where Body.Element == ByteBuffer {
        try RelativePath.check(path)
        let room = try await enter(purpose, id, path: path, by: principal)
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
                throw tooLarge
            }
            try chunk.withUnsafeReadableBytes { try writer.append($0) }
        }
        let (hash, byteCount) = try writer.finish()
        return TreeFile(path: path, hash: hash, byteCount: byteCount)
    }

    private nonisolated var tooLarge: MartletError {
        MartletError(
            .tooLarge,
            "the upload is over the limit of \(byteLimit) bytes; split the data, or raise upload_limit_bytes")
    }

    /// What `use` makes of the name and the files, which are pinned meanwhile. The upload ends with it; where it throws,
    /// all that was sent stays for another try.
    nonisolated func hand<Made>(
        _ purpose: Purpose, _ id: String, by principal: Principal, to use: (String, Tree) async throws -> Made
    ) async throws -> Made {
        let (upload, tree) = try await take(purpose, id, by: principal)
        do {
            let made = try await use(upload.name, tree)
            blobs.unpin(upload.hashes)
            return made
        } catch {
            await putBack(upload, id)
            throw error
        }
    }

    private func take(_ purpose: Purpose, _ id: String, by principal: Principal) throws -> (Upload, Tree) {
        let upload = try upload(purpose, id, by: principal)
        let tree = try Tree(files: Array(upload.files.values))
        uploads[id] = nil
        return (upload, tree)
    }

    private func putBack(_ upload: Upload, _ id: String) {
        uploads[id] = upload
        // Files on their way since before are counted no more.
        uploads[id]?.sending = 0
        uploads[id]?.touchedAt = clock.now()
    }

    func abandon(_ purpose: Purpose, _ id: String, by principal: Principal) throws {
        let upload = try upload(purpose, id, by: principal)
        uploads[id] = nil
        blobs.unpin(upload.hashes)
    }

    /// How many bytes a file may have: one that is sent again takes the place of the first.
    private func enter(_ purpose: Purpose, _ id: String, path: String, by principal: Principal) throws -> Int {
        let upload = try upload(purpose, id, by: principal)
        uploads[id]?.sending += 1
        return byteLimit - upload.byteCount + (upload.files[path]?.byteCount ?? 0)
    }

    private func leave(_ id: String) {
        if let sending = uploads[id]?.sending { uploads[id]?.sending = max(0, sending - 1) }
        uploads[id]?.touchedAt = clock.now()
    }

    private func keep(_ file: TreeFile, _ purpose: Purpose, _ id: String, by principal: Principal) throws {
        let upload = try upload(purpose, id, by: principal)
        // Sent again, after a connection broke.
        let earlier = upload.files[file.path]
        let others = upload.byteCount - (earlier?.byteCount ?? 0)
        // Others may have come meanwhile, each within what was left when it began.
        guard file.byteCount <= byteLimit - others else { throw tooLarge }
        uploads[id]?.files[file.path] = file
        uploads[id]?.byteCount = others + file.byteCount
        if let earlier { blobs.unpin([earlier.hash]) }
    }

    private func upload(_ purpose: Purpose, _ id: String, by principal: Principal) throws -> Upload {
        try principal.require(.developer)
        guard let upload = uploads[id], upload.project == principal.project, upload.purpose == purpose else {
            throw MartletError(.notFound, "there is no upload '\(id.prefix(60))'; begin a new one")
        }
        return upload
    }
}

import Foundation
import MartletStore
import MartletWire

/// Files that come in parts, over hours and connections; they survive a restart of `serve`.
public final class UploadService: Sendable {
    private let files: FileService
    private var store: Store { files.store }
    private var clock: PlatformClock { files.clock }
    private static let lifetime: TimeInterval = 3600
    /// Uploads of one project that are open at once.
    static let pendingLimit = 256

    init(files: FileService) { self.files = files }

    /// Announces a file of `byteCount` bytes; it has an hour to come.
    public func create(
        filename: String, purpose: FilePurpose, mimeType: String, byteCount: Int, seconds: Int? = nil,
        by principal: Principal
    ) async throws -> UploadInfo {
        try principal.require(.developer)
        try FileService.check(purpose: purpose)
        guard (1...files.byteLimit).contains(byteCount) else {
            throw MartletError(
                byteCount > 0 ? .tooLarge : .invalidRequest,
                "'bytes' is \(byteCount); an upload has 1 to \(files.byteLimit) bytes", param: "bytes")
        }
        let filename = try FileName.check(filename)
        guard try await store.pendingUploadCount(projectID: principal.project) < Self.pendingLimit else {
            throw MartletError(
                .rateLimited, "\(Self.pendingLimit) uploads of this project are open; complete or cancel some")
        }
        let now = clock.now()
        let upload = UploadInfo(
            id: "upload_\(try [UInt8].random(count: 12).hex)", filename: filename, purpose: purpose,
            mimeType: mimeType, byteCount: byteCount, createdAt: now, expiresAt: now + Self.lifetime,
            fileSeconds: seconds)
        try await store.insert(upload, projectID: principal.project)
        return upload
    }

    /// Throws `notFound`, also for another project's.
    public func show(_ id: String, by principal: Principal) async throws -> UploadInfo {
        try principal.require(.developer)
        guard var upload = try await store.upload(id, projectID: principal.project) else {
            if try await store.upload(id, projectID: nil) != nil {
                try? await files.audit.record("upload.access", on: id, by: principal, outcome: "denied")
            }
            throw MartletError(.notFound, "there is no upload '\(id.prefix(80))'; create one with POST /v1/uploads")
        }
        if upload.status == .pending, upload.expiresAt <= clock.now() { upload.status = .expired }
        return upload
    }

    /// Keeps a part. Its place in the file is given when the upload is completed.
    public func addPart(
        _ incoming: IncomingFile, to id: String, by principal: Principal
    ) async throws -> UploadPartInfo {
        let upload = try await pending(id, by: principal)
        guard incoming.byteCount > 0, incoming.byteCount <= upload.byteCount else {
            throw MartletError(
                .invalidRequest,
                "the part has \(incoming.byteCount) bytes; a part of this upload has 1 to \(upload.byteCount)",
                param: "data")
        }
        let (hash, byteCount) = try incoming.finish()
        defer { files.blobs.unpin([hash]) }
        let part = UploadPartInfo(
            id: "part_\(try [UInt8].random(count: 12).hex)", uploadID: id, hash: hash, byteCount: byteCount,
            createdAt: clock.now())
        guard try await store.insert(part) else {
            _ = try await pending(id, by: principal)
            throw MartletError(
                .invalidRequest, "the parts have more than twice the \(upload.byteCount) bytes of the upload",
                param: "data")
        }
        return part
    }

    /// Makes the file of these parts, in this order. Repeated for a completed upload it gives the same file.
    ///
    /// Throws `invalidRequest` for a part that is not there or named twice, bytes that do not add up, another `md5`.
    public func complete(
        _ id: String, partIDs: [String], md5: String? = nil, by principal: Principal
    ) async throws -> (UploadInfo, FileInfo) {
        let known = try await show(id, by: principal)
        if known.status == .completed, let fileID = known.fileID {
            return (known, try await files.show(fileID, by: principal))
        }
        var upload = try await pending(id, by: principal)
        let parts = try await parts(upload, partIDs)
        let (stored, digest) = try await join(parts)
        defer { files.blobs.unpin([stored.hash]) }
        if let md5, md5.lowercased() != digest {
            throw MartletError(
                .invalidRequest, "the parts have the MD5 \(digest) and not '\(md5.prefix(40))'; send them again",
                param: "md5")
        }
        let (file, tree) = try files.describe(
            stored, filename: upload.filename, purpose: upload.purpose, seconds: upload.fileSeconds)
        guard
            let registered = try await store.complete(
                upload: id, file: file, tree: tree, asDataset: FileService.datasetName(file),
                projectID: principal.project)
        else { return try await complete(id, partIDs: partIDs, md5: md5, by: principal) }
        upload.status = .completed
        upload.fileID = file.id
        return (upload, try await files.describeData(registered, principal))
    }

    public func cancel(_ id: String, by principal: Principal) async throws -> UploadInfo {
        var upload = try await show(id, by: principal)
        if upload.status == .cancelled { return upload }
        upload = try await pending(id, by: principal)
        guard try await store.cancel(upload: id, projectID: principal.project) else {
            return try await cancel(id, by: principal)
        }
        upload.status = .cancelled
        return upload
    }

    private func pending(_ id: String, by principal: Principal) async throws -> UploadInfo {
        let upload = try await show(id, by: principal)
        guard upload.status == .pending else {
            throw MartletError(
                .invalidRequest, "the upload '\(id)' is \(upload.status.rawValue); create a new one", param: "upload_id"
            )
        }
        return upload
    }

    /// The parts in the order that the client gives.
    private func parts(_ upload: UploadInfo, _ ids: [String]) async throws -> [UploadPartInfo] {
        let known = Dictionary(
            try await store.parts(ofUpload: upload.id).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var parts: [UploadPartInfo] = []
        var seen: Set<String> = []
        for (index, id) in ids.enumerated() {
            guard let part = known[id], seen.insert(id).inserted else {
                let why = known[id] == nil ? "is no part of this upload" : "stands twice"
                throw MartletError(
                    .invalidRequest, "'\(id.prefix(80))' \(why); give each part's id once, in the file's order",
                    param: "part_ids[\(index)]")
            }
            parts.append(part)
        }
        let total = parts.reduce(0) { $0 + $1.byteCount }
        guard total == upload.byteCount else {
            throw MartletError(
                .invalidRequest,
                "the parts have \(total) bytes and the upload was announced with \(upload.byteCount); add what is missing",
                param: "part_ids")
        }
        return parts
    }

    /// One blob of them all, pinned, and its MD5.
    private nonisolated func join(
        _ parts: [UploadPartInfo]
    ) async throws -> (stored: (hash: String, byteCount: Int), md5: String) {
        let writer = try files.blobs.writer()
        var digest = ContentHash(.md5)
        for part in parts {
            guard let file = FileHandle(forReadingAtPath: try files.blobs.path(of: part.hash)) else {
                throw MartletError(.internal, "the bytes of '\(part.id)' are not on disk; send the part again")
            }
            defer { try? file.close() }
            while let chunk = try file.read(upToCount: 1 << 20), !chunk.isEmpty {
                try chunk.withUnsafeBytes {
                    digest.update($0)
                    try writer.append($0)
                }
            }
        }
        return (try writer.finish(), digest.finish())
    }
}

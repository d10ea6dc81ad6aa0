import Foundation
import MartletStore
import MartletWire

/// The uploaded files that background work reads, and those that it leaves.
struct WorkFiles: Sendable {
    let store: Store
    let blobs: BlobStore
    let clock: PlatformClock

    /// A file of the caller's project. Throws `invalidRequest` with `param` for another purpose, `notFound` for none.
    func file(
        _ id: String, purposes: Set<FilePurpose>, param: String, projectID: String
    ) async throws -> FileInfo {
        guard let file = try await store.file(id, projectID: projectID, at: clock.now()) else {
            throw FileService.unknown(id, param: param)
        }
        try FileService.check(file, purposes, param: param)
        return file
    }

    /// The content behind a tree of one file. Throws `notFound` where it is lost.
    func open(tree hash: String) async throws -> LineFile {
        guard let stored = try await store.files(ofTree: hash).first else {
            throw MartletError(.notFound, "the content of the uploaded file is not registered; upload it again")
        }
        return try LineFile(path: try blobs.path(of: stored.hash), byteCount: stored.byteCount)
    }

    /// A tree's one file, opened once: where that cannot be done now, whoever asks next tries again.
    actor Content {
        private let files: WorkFiles
        private let treeHash: String
        private var opened: LineFile?

        init(_ files: WorkFiles, tree hash: String) {
            self.files = files
            treeHash = hash
        }

        /// Throws as `open(tree:)` does.
        func file() async throws -> LineFile {
            if let opened { return opened }
            let file = try await files.open(tree: treeHash)
            opened = file
            return file
        }
    }

    /// Lines on their way into a new file.
    final class Writer {
        private let writer: BlobWriter
        private var pending: [UInt8] = []
        private(set) var lineCount = 0

        init(_ writer: BlobWriter) { self.writer = writer }

        func append(_ line: String) throws {
            pending += line.utf8
            pending.append(0x0A)
            lineCount += 1
            if pending.count >= 1 << 20 { try flush() }
        }

        private func flush() throws {
            try pending.withUnsafeBytes { try writer.append($0) }
            pending = []
        }

        /// The blob's hash, pinned until the caller unpins it.
        func finish() throws -> (hash: String, byteCount: Int) {
            try flush()
            return try writer.finish()
        }
    }

    func writer() throws -> Writer { Writer(try blobs.writer()) }

    /// A file of what was written, not registered yet.
    func describe(
        _ written: (hash: String, byteCount: Int), filename: String, seconds: Int?
    ) throws -> BatchFile {
        let tree = try Tree(files: [TreeFile(path: filename, hash: written.hash, byteCount: written.byteCount)])
        let now = clock.now()
        return BatchFile(
            file: FileInfo(
                id: "file-\(try [UInt8].random(count: 12).hex)", filename: filename, purpose: .batchOutput,
                byteCount: written.byteCount, createdAt: now, expiresAt: seconds.map { now + Double($0) },
                contentHash: tree.hash), tree: tree)
    }
}

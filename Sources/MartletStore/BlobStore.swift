import Foundation
import Glibc
import MartletWire
import Synchronization

/// Bytes by their SHA-256, under `blobs/sha256/ab/<hash>`; a file there is whole, on disk, and never changed but for
/// damage that is mended.
///
/// Paths are made of checked hashes only, so no name from outside can lead anywhere else.
package final class BlobStore: Sendable {
    let root: String
    /// Blobs that were just written or are about to be referred to; the collector leaves them alone.
    private struct Pins {
        var counts: [String: Int] = [:]
        /// While the collector runs: every blob pinned since it started.
        var sinceCollection: Set<String>?
    }
    private let pins = Mutex(Pins())

    /// `home/blobs`; what an earlier process left half-written is removed.
    package init(home: String) throws {
        root = home + "/blobs"
        try DurableFile.makeFolder(root + "/sha256")
        try? FileManager.default.removeItem(atPath: root + "/incoming")
        try DurableFile.makeFolder(root + "/incoming")
        try DurableFile.makeFolder(root + "/verified")
    }

    /// Where the blob lies. Throws `invalidRequest` for anything but 64 lower-case hexadecimal digits.
    package func path(of hash: String) throws -> String {
        guard ContentHash.isValid(hash) else {
            throw MartletError(
                .invalidRequest, "a content hash must be 64 lower-case hexadecimal digits; check the value")
        }
        return "\(root)/sha256/\(hash.prefix(2))/\(hash)"
    }

    package func contains(_ hash: String) throws -> Bool { access(try path(of: hash), F_OK) == 0 }

    package func writer() throws -> BlobWriter { try BlobWriter(store: self) }

    /// Stores bytes; the caller unpins the hash once something refers to it.
    package func store(_ bytes: [UInt8]) throws -> (hash: String, byteCount: Int) {
        let writer = try writer()
        try bytes.withUnsafeBytes { try writer.append($0) }
        return try writer.finish()
    }

    /// Stores a file's bytes. A symbolic link is refused, so that a bundle cannot smuggle in another file.
    package func storeFile(at path: String) throws -> (hash: String, byteCount: Int) {
        let writer = try writer()
        try Self.forEachChunk(of: path) { try writer.append($0) }
        return try writer.finish()
    }

    private static func forEachChunk(of path: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            throw MartletError(.notFound, "the file '\((path as NSString).lastPathComponent)' cannot be read")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw MartletError(.invalidData, "'\((path as NSString).lastPathComponent)' is not a regular file")
        }
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw DurableFile.error(errno, doing: "reading a file")
            }
            if count == 0 { break }
            try chunk.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
    }

    // MARK: Pins and collection

    package func unpin(_ hashes: some Sequence<String>) {
        pins.withLock { pins in
            for hash in hashes {
                let count = pins.counts[hash, default: 0] - 1
                pins.counts[hash] = count > 0 ? count : nil
            }
        }
    }

    /// Moves a finished temporary file to its place and pins it. A blob that is there already stays, with the file's bytes
    /// where it has lost its own.
    func adopt(_ temporary: String, as hash: String) throws {
        let target = try path(of: hash)
        let folder = (target as NSString).deletingLastPathComponent
        let wasThere = try pins.withLock { pins in
            // A blob that is there but could not be synced is nobody's: the collector may have it.
            let isThere = access(target, F_OK) == 0
            if !isThere {
                if access(folder, F_OK) != 0 {
                    try DurableFile.makeFolder(folder)
                    try DurableFile.sync(root + "/sha256")
                }
                chmod(temporary, 0o400)
                guard rename(temporary, target) == 0 else { throw DurableFile.error(errno, doing: "storing a blob") }
                try DurableFile.sync(folder)
                stamp(hash, target)
            }
            pins.counts[hash, default: 0] += 1
            pins.sinceCollection?.insert(hash)
            return isThere
        }
        guard wasThere else { return }
        defer { unlink(temporary) }
        do {
            if (try? ContentHash.ofFile(at: target)) != hash { try mend(target, hash, from: temporary) }
        } catch {
            unpin([hash])
            throw error
        }
    }

    /// Writes the bytes in place: folders of trees are links to the same file.
    private func mend(_ target: String, _ hash: String, from whole: String) throws {
        removeStamp(hash)
        chmod(target, 0o600)
        defer { chmod(target, 0o400) }
        let descriptor = open(target, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw DurableFile.error(errno, doing: "mending a blob") }
        defer { close(descriptor) }
        var byteCount = 0
        try Self.forEachChunk(of: whole) { chunk in
            try DurableFile.write(chunk, to: descriptor, doing: "mending a blob")
            byteCount += chunk.count
        }
        guard ftruncate(descriptor, off_t(byteCount)) == 0, fsync(descriptor) == 0 else {
            throw DurableFile.error(errno, doing: "mending a blob")
        }
        stamp(hash, target)
    }

    /// Starts a collection: blobs on disk that nothing holds at this moment, with their sizes.
    package func beginCollection() throws -> [(hash: String, byteCount: Int)] {
        let pinned = pins.withLock { pins in
            pins.sinceCollection = []
            return Set(pins.counts.keys)
        }
        var found: [(String, Int)] = []
        let manager = FileManager.default
        for folder in try manager.contentsOfDirectory(atPath: root + "/sha256") {
            for hash in (try? manager.contentsOfDirectory(atPath: "\(root)/sha256/\(folder)")) ?? []
            where ContentHash.isValid(hash) && !pinned.contains(hash) {
                var status = stat()
                guard lstat("\(root)/sha256/\(folder)/\(hash)", &status) == 0 else { continue }
                found.append((hash, Int(status.st_size)))
            }
        }
        return found
    }

    /// Removes a blob that `beginCollection` gave and nothing refers to; false where it is in use again.
    package func remove(_ hash: String) throws -> Bool {
        let path = try path(of: hash)
        return pins.withLock { pins in
            guard pins.counts[hash] == nil, pins.sinceCollection?.contains(hash) != true else { return false }
            removeStamp(hash)
            return unlink(path) == 0
        }
    }

    package func endCollection() { pins.withLock { $0.sinceCollection = nil } }
}

/// One blob on its way in: written to a temporary file and hashed as the bytes come.
package final class BlobWriter {
    private let store: BlobStore
    private let temporary: String
    private var descriptor: Int32
    private var hash = ContentHash()
    package private(set) var byteCount = 0

    init(store: BlobStore) throws {
        self.store = store
        temporary = "\(store.root)/incoming/\(try [UInt8].random(count: 12).hex)"
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw DurableFile.error(errno, doing: "creating a blob") }
    }

    deinit { abandon() }

    package func append(_ bytes: UnsafeRawBufferPointer) throws {
        try DurableFile.write(bytes, to: descriptor, doing: "storing a file")
        hash.update(bytes)
        byteCount += bytes.count
    }

    /// The blob is on disk under its hash when this returns, and pinned.
    package func finish() throws -> (hash: String, byteCount: Int) {
        guard fsync(descriptor) == 0 else { throw DurableFile.error(errno, doing: "syncing a blob") }
        close(descriptor)
        descriptor = -1
        let name = hash.finish()
        do {
            try store.adopt(temporary, as: name)
        } catch {
            unlink(temporary)
            throw error
        }
        return (name, byteCount)
    }

    package func abandon() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        unlink(temporary)
    }
}

import Foundation
import Glibc
import MartletWire

/// Trees (hash and files) laid out as folders of hard links to blobs, under `run/trees/<hash>`, for engine processes to read.
package struct TreeFolders: Sendable {
    let root: String
    package let blobs: BlobStore

    package init(home: String, blobs: BlobStore) throws {
        root = home + "/run/trees"
        self.blobs = blobs
        try DurableFile.makeFolder(root)
    }

    /// The folder with the tree's files, made where it is not there. Throws where a blob is missing.
    package func folder(of tree: Tree) throws -> String {
        let target = "\(root)/\(tree.hash)"
        if access(target, F_OK) == 0 { return target }
        let temporary = "\(root)/.\(try [UInt8].random(count: 8).hex)"
        try DurableFile.makeFolder(temporary)
        do {
            for file in tree.files {
                try RelativePath.check(file.path)
                let path = "\(temporary)/\(file.path)"
                try DurableFile.makeFolder((path as NSString).deletingLastPathComponent)
                guard link(try blobs.path(of: file.hash), path) == 0 else {
                    if errno == ENOENT {
                        throw MartletError(
                            .internal,
                            "the stored bytes of '\(file.path)' are gone; restore the blobs from a "
                                + "backup, or import or add the same file again")
                    }
                    throw DurableFile.error(errno, doing: "laying out a dataset or model")
                }
            }
            guard rename(temporary, target) == 0 || errno == EEXIST || errno == ENOTEMPTY else {
                throw DurableFile.error(errno, doing: "laying out a dataset or model")
            }
        } catch {
            try? FileManager.default.removeItem(atPath: temporary)
            throw error
        }
        try? FileManager.default.removeItem(atPath: temporary)
        return target
    }

    /// The folder of a registered tree.
    package func folder(ofTree hash: String, in store: Store) async throws -> String {
        guard ContentHash.isValid(hash) else { throw MartletError(.internal, "a stored content hash is damaged") }
        if access("\(root)/\(hash)", F_OK) == 0 { return "\(root)/\(hash)" }
        return try folder(of: try Tree(files: try await store.files(ofTree: hash)))
    }

    /// Reads every file of a folder that was laid out for `files` and compares its hash.
    ///
    /// Throws `internal` that names the first file whose bytes are not those that were stored.
    /// - Parameter trustsStamps: passes over large files that the file system says have not changed since they were hashed.
    /// - Returns: the files that were passed over.
    @discardableResult
    package func verify(_ files: [TreeFile], in folder: String, trustsStamps: Bool = false) throws -> [TreeFile] {
        var trusted: [TreeFile] = []
        for file in files {
            let path = "\(folder)/\(file.path)"
            if trustsStamps, blobs.isStamped(file.hash, path) {
                trusted.append(file)
                continue
            }
            let status = FileStatus(path: path)
            guard try ContentHash.ofFile(at: path) == file.hash else { throw damaged(file) }
            blobs.stamp(file.hash, path, as: status)
        }
        return trusted
    }

    /// The same for files whose stamps were trusted, without haste: about 200 MB a second, as others work beside it.
    package func verifyAgain(_ files: [TreeFile], in folder: String) async throws {
        for file in files {
            guard let handle = FileHandle(forReadingAtPath: "\(folder)/\(file.path)") else { throw damaged(file) }
            defer { try? handle.close() }
            var hash = ContentHash()
            while let chunk = try handle.read(upToCount: 1 << 20), !chunk.isEmpty {
                chunk.withUnsafeBytes { hash.update($0) }
                try await Task.sleep(for: .milliseconds(4))
            }
            guard hash.finish() == file.hash else { throw damaged(file) }
        }
    }

    /// The stamp goes too, so that the bytes are hashed before they are used again.
    private func damaged(_ file: TreeFile) -> MartletError {
        blobs.removeStamp(file.hash)
        return MartletError(
            .internal,
            "the stored bytes of '\(file.path)' are damaged: they do not have the hash \(file.hash.prefix(12))… "
                + "any more; import or add the same file again, restore the blobs from a backup, or train the model again"
        )
    }

    /// Hashes of the folders that are there.
    package func all() -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).filter(ContentHash.isValid)
    }

    package func remove(_ hash: String) {
        guard ContentHash.isValid(hash) else { return }
        try? FileManager.default.removeItem(atPath: "\(root)/\(hash)")
    }
}

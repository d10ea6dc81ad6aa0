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
        try Durable.makeFolder(root)
    }

    /// The folder with the tree's files, made where it is not there. Throws where a blob is missing.
    package func folder(of tree: Tree) throws -> String {
        let target = "\(root)/\(tree.hash)"
        if access(target, F_OK) == 0 { return target }
        let temporary = "\(root)/.\(try [UInt8].random(count: 8).hex)"
        try Durable.makeFolder(temporary)
        do {
            for file in tree.files {
                try RelativePath.check(file.path)
                let path = "\(temporary)/\(file.path)"
                try Durable.makeFolder((path as NSString).deletingLastPathComponent)
                guard link(try blobs.path(of: file.hash), path) == 0 else {
                    if errno == ENOENT {
                        throw MartletError(
                            .internal, "the stored bytes of '\(file.path)' are gone; restore the blobs from a backup")
                    }
                    throw Durable.error(errno, doing: "laying out a dataset or model")
                }
            }
            guard rename(temporary, target) == 0 || errno == EEXIST || errno == ENOTEMPTY else {
                throw Durable.error(errno, doing: "laying out a dataset or model")
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

    /// Hashes of the folders that are there.
    package func all() -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).filter(ContentHash.isValid)
    }

    package func remove(_ hash: String) {
        guard ContentHash.isValid(hash) else { return }
        try? FileManager.default.removeItem(atPath: "\(root)/\(hash)")
    }
}

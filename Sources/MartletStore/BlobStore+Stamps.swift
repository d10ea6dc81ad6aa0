import Foundation
import Glibc
import MartletWire

/// Stamps say of a large blob that its bytes were hashed, and what the file system said of the file then: while it says
/// the same, the bytes need not be hashed again before they are used.
extension BlobStore {
    /// Bytes from which on a blob has a stamp; fewer are hashed in a moment.
    static let stampedByteCount = 1 << 20

    /// Notes that the file at `path` has the bytes of this hash, if it still is what `status` says.
    ///
    /// A stamp that cannot be written, or only in part, costs a hash later and nothing else.
    func stamp(_ hash: String, _ path: String, as status: FileStatus? = nil) {
        guard let now = FileStatus(path: path), now.byteCount >= Self.stampedByteCount, status ?? now == now,
            let stamp = try? stampPath(hash)
        else { return }
        try? Data(now.text.utf8).write(to: URL(filePath: stamp), options: .atomic)
    }

    /// Whether the file is what it was when its hash was taken.
    func isStamped(_ hash: String, _ path: String) -> Bool {
        guard let now = FileStatus(path: path), let stamp = try? stampPath(hash),
            let text = FileManager.default.contents(atPath: stamp)
        else { return false }
        return Data(now.text.utf8) == text
    }

    func removeStamp(_ hash: String) {
        if let path = try? stampPath(hash) { unlink(path) }
    }

    private func stampPath(_ hash: String) throws -> String {
        guard ContentHash.isValid(hash) else { throw MartletError(.internal, "a stored content hash is damaged") }
        return "\(root)/verified/\(hash)"
    }
}

/// What the file system says of a file that changes when its bytes do.
struct FileStatus: Equatable {
    let byteCount: Int
    let text: String

    init?(path: String) {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        byteCount = Int(status.st_size)
        text =
            "\(status.st_dev) \(status.st_ino) \(status.st_size) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)\n"
    }
}

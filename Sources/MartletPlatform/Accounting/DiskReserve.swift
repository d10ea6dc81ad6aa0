import Foundation
import Glibc
import MartletWire

/// A file of zeros in HOME that is given up where the disk is full: to write down that something is deleted takes room too.
final class DiskReserve: Sendable {
    private let path: String
    private static let byteCount = 2 << 20
    /// Free bytes below which the disk is left to others.
    private static let leastFree: UInt64 = 8 << 20

    init(home: String) { path = home + "/run/reserve" }

    /// Takes its room where there is plenty and it has none.
    func fill() {
        guard access(path, F_OK) != 0 else { return }
        var disk = statvfs()
        let folder = (path as NSString).deletingLastPathComponent
        guard statvfs(folder, &disk) == 0,
            UInt64(disk.f_bavail).multipliedReportingOverflow(by: UInt64(disk.f_frsize)).partialValue >= Self.leastFree
        else { return }
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { return }
        defer { close(file) }
        if posix_fallocate(file, 0, off_t(Self.byteCount)) != 0 { unlink(path) }
    }

    /// `body`, and where the disk is full, `body` once more with the reserve given up.
    func whileFull<Value>(
        isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch let error as MartletError where error.code == .storageFull && unlink(path) == 0 {
            return try await body()
        }
    }
}

import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Writes that are on the disk when they return.
public enum DurableFile {
    /// Writes the whole of `data` and syncs it. Throws `storageFull` or `internal`.
    public static func write(_ data: Data, to path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure("opened") }
        defer { close(file) }
        try data.withUnsafeBytes { bytes in
            var written = 0
            while written < bytes.count {
                let count = writeOnce(file, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                if count < 0 {
                    if errno == EINTR { continue }
                    throw failure("written")
                }
                written += count
            }
        }
        guard fsync(file) == 0 else { throw failure("synced") }
    }

    private static func writeOnce(_ file: Int32, _ start: UnsafeRawPointer?, _ count: Int) -> Int {
        #if canImport(Glibc)
            Glibc.write(file, start, count)
        #else
            Darwin.write(file, start, count)
        #endif
    }

    /// Syncs a file or a folder that is there. Throws `storageFull` or `internal`.
    public static func sync(_ path: String) throws {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw failure("opened") }
        defer { close(file) }
        guard fsync(file) == 0 else { throw failure("synced") }
    }

    /// Renames within one folder and syncs that folder.
    public static func rename(_ path: String, to target: String) throws {
        #if canImport(Glibc)
            let result = Glibc.rename(path, target)
        #else
            let result = Darwin.rename(path, target)
        #endif
        guard result == 0 else { throw failure("renamed") }
        try sync((target as NSString).deletingLastPathComponent)
    }

    /// `error`, told as a full disk where it is one.
    public static func explain(_ error: any Error, what: String) -> any Error {
        if let error = error as? MartletError { return error }
        let code = (error as NSError).code
        let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
        let full = [Int(ENOSPC), Int(EDQUOT)]
        let isFull =
            full.contains(underlying?.code ?? 0)
            || (error as NSError).domain == NSPOSIXErrorDomain && full.contains(code)
            || (error as? CocoaError)?.code == .fileWriteOutOfSpace || "\(error)".contains("No space left")
        if isFull {
            return MartletError(.storageFull, "\(what) could not be written: the disk is full; free some space")
        }
        return error
    }

    private static func failure(_ what: String) -> MartletError {
        let number = errno
        if number == ENOSPC || number == EDQUOT || number == EIO {
            return MartletError(
                .storageFull,
                number == EIO
                    ? "a file could not be \(what): the disk reports an input/output error; check the disk"
                    : "a file could not be \(what): the disk is full; free some space")
        }
        return MartletError(.internal, "a file could not be \(what): \(String(cString: strerror(number)))")
    }
}

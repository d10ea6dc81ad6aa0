import Foundation

/// File operations that have reached the disk when they return, with errors in plain words: `storageFull` where the disk
/// has no room or reports an error, else `internal`.
public enum DurableFile {
    /// What `errno` says of `doing`, such as "writing a file".
    public static func error(_ code: Int32, doing what: String) -> MartletError {
        switch code {
        case ENOSPC, EDQUOT:
            MartletError(.storageFull, "the disk is full (\(what)); free some space and try again")
        case EIO:
            MartletError(.storageFull, "the disk reports an input/output error (\(what)); check the disk")
        case EACCES, EPERM, EROFS:
            MartletError(.internal, "no permission (\(what)); check who owns MARTLET_HOME")
        default:
            MartletError(.internal, "the disk failed (\(what)): \(String(cString: strerror(code)))")
        }
    }

    /// Writes all of `bytes` to `descriptor`, without syncing.
    public static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, doing what: String) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = writeOnce(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw error(errno, doing: what)
            }
            rest = rest.dropFirst(count)
        }
    }

    /// Makes `path` hold `data` and syncs it.
    public static func write(_ data: Data, to path: String) throws {
        try write(data, opening: path, O_TRUNC, mode: 0o600)
    }

    private static func write(
        _ data: some ContiguousBytes, opening path: String, _ flags: Int32, mode: mode_t
    ) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode)
        guard file >= 0 else { throw error(errno, doing: "creating a file") }
        defer { close(file) }
        try data.withUnsafeBytes { try write($0, to: file, doing: "writing a file") }
        guard fsync(file) == 0 else { throw error(errno, doing: "syncing a file") }
    }

    /// Syncs a file or a folder that is there.
    public static func sync(_ path: String) throws {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw error(errno, doing: "opening a file") }
        defer { close(file) }
        guard fsync(file) == 0 else { throw error(errno, doing: "syncing a file") }
    }

    /// Renames within one folder and syncs that folder.
    public static func rename(_ path: String, to target: String) throws {
        guard renameOnce(path, target) == 0 else { throw error(errno, doing: "putting a file in its place") }
        try sync((target as NSString).deletingLastPathComponent)
    }

    /// Replaces the file at `path` in one step: readers see the old bytes or the new.
    public static func replace(_ path: String, with bytes: [UInt8], mode: mode_t = 0o600) throws {
        let temporary = "\(path).\(try [UInt8].random(count: 6).hex).tmp"
        do {
            try write(bytes, opening: temporary, O_EXCL | O_NOFOLLOW, mode: mode)
            try rename(temporary, to: path)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Makes `path` and its parents, for this user alone.
    public static func makeFolder(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            let code = ((error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError).map { Int32($0.code) } ?? EACCES
            throw Self.error(code, doing: "making a folder in MARTLET_HOME")
        }
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
}

// Outside of the type, whose own functions have the same names.
private func writeOnce(_ file: Int32, _ start: UnsafeRawPointer?, _ count: Int) -> Int { write(file, start, count) }
private func renameOnce(_ path: String, _ target: String) -> Int32 { rename(path, target) }

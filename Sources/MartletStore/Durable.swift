import Foundation
import Glibc
import MartletWire

/// File operations that have reached the disk when they return, with errors in plain words.
package enum Durable {
    package static func error(_ code: Int32, doing what: String) -> MartletError {
        switch code {
        case ENOSPC, EDQUOT:
            MartletError(.storageFull, "the disk is full (\(what)); free some space and try again")
        case EACCES, EPERM, EROFS:
            MartletError(.internal, "no permission (\(what)); check who owns MARTLET_HOME")
        default:
            MartletError(.internal, "the disk failed (\(what)): \(String(cString: strerror(code)))")
        }
    }

    /// Writes all of `bytes` to `descriptor`.
    package static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, doing what: String) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw error(errno, doing: what)
            }
            rest = rest.dropFirst(count)
        }
    }

    package static func syncFolder(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw error(errno, doing: "opening a folder") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw error(errno, doing: "syncing a folder") }
    }

    /// Replaces the file at `path` in one step: readers see the old bytes or the new.
    package static func replace(_ path: String, with bytes: [UInt8], mode: mode_t = 0o600) throws {
        let temporary = "\(path).\(try [UInt8].random(count: 6).hex).tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw error(errno, doing: "creating a file") }
        do {
            defer { close(descriptor) }
            try bytes.withUnsafeBytes { try write($0, to: descriptor, doing: "writing a file") }
            guard fsync(descriptor) == 0 else { throw error(errno, doing: "syncing a file") }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else {
            let code = errno
            unlink(temporary)
            throw error(code, doing: "putting a file in its place")
        }
        try syncFolder((path as NSString).deletingLastPathComponent)
    }

    /// Makes `path` and its parents, for this user alone.
    package static func makeFolder(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            let code = ((error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError).map { Int32($0.code) } ?? EACCES
            throw Self.error(code, doing: "making a folder in MARTLET_HOME")
        }
    }
}

import Foundation
import MartletWire

/// A file of a job's cache, mapped into memory for as long as the object lives.
///
/// Unchecked because the mapping is read-only.
final class MappedFile: @unchecked Sendable {
    /// nil where the file is empty.
    let base: UnsafeRawPointer?
    let byteCount: Int

    init(path: String, byteCount: Int) throws {
        self.byteCount = byteCount
        guard byteCount > 0 else {
            base = nil
            return
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw MartletError(.internal, "the cache of encoded data cannot be opened; start the job again")
        }
        defer { close(descriptor) }
        let mapped = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0)
        guard let mapped, mapped != MAP_FAILED else {
            throw MartletError(
                .outOfMemory, "the cache of encoded data (\(byteCount) bytes) cannot be mapped; free memory")
        }
        base = UnsafeRawPointer(mapped)
    }

    deinit {
        if let base { munmap(UnsafeMutableRawPointer(mutating: base), byteCount) }
    }
}

/// Writes a file of a job's cache from its start to its end.
final class CacheFileWriter {
    let path: String
    private(set) var byteCount = 0
    private let descriptor: Int32
    private let buffer: UnsafeMutableRawBufferPointer
    private var filled = 0

    /// - Parameter unit: most bytes that one `append` takes.
    init(path: String, unit: Int) throws {
        self.path = path
        // What an earlier pass wrote may still be mapped: it keeps its own file.
        unlink(path)
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            buffer = .allocate(byteCount: 1, alignment: 16)
            throw MartletError(
                .storageFull,
                "the cache of encoded data cannot be created; check the space and rights of the home folder")
        }
        buffer = .allocate(byteCount: max(1 << 20, unit), alignment: 16)
    }

    deinit {
        close(descriptor)
        buffer.deallocate()
    }

    /// Gives `fill` the room of `count` bytes.
    func append(_ count: Int, _ fill: (UnsafeMutableRawPointer) throws -> Void) throws {
        if filled + count > buffer.count { try flush() }
        if let base = buffer.baseAddress { try fill(base + filled) }
        filled += count
        byteCount += count
    }

    /// Writes what is left and maps the file.
    func finish() throws -> MappedFile {
        try flush()
        return try MappedFile(path: path, byteCount: byteCount)
    }

    private func flush() throws {
        var written = 0
        while written < filled, let base = buffer.baseAddress {
            let result = write(descriptor, base + written, filled - written)
            if result < 0 {
                if errno == EINTR { continue }
                throw MartletError(
                    .storageFull,
                    "the disk is full while data is encoded (\(byteCount) bytes done); free space and try again")
            }
            written += result
        }
        filled = 0
    }
}

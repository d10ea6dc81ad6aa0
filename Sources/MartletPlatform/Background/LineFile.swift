import Glibc
import MartletWire

/// A file of lines on this machine, read a piece at a time.
final class LineFile: Sendable {
    private let descriptor: Int32
    private static let chunkBytes = 1 << 18

    /// - Throws: `notFound` where it is not there or has not all of its `byteCount` bytes, which another try would not
    ///   mend; `internal` where it cannot be opened now.
    init(path: String, byteCount: Int) throws {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            guard errno == ENOENT else {
                throw MartletError(.internal, "an uploaded file cannot be opened; check the home's permissions")
            }
            throw Self.lost("is gone")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, Int(status.st_size) == byteCount else {
            throw Self.lost("has \(status.st_size) of its \(byteCount) bytes")
        }
    }

    deinit { close(descriptor) }

    private static func lost(_ what: String) -> MartletError {
        MartletError(.notFound, "the content of the uploaded file \(what); upload it again, or restore a backup")
    }

    /// The bytes of one line.
    func read(at place: Int, count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes[filled...].withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress, $0.count, place + filled)
            }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { throw MartletError(.internal, "an uploaded file cannot be read; restore a backup") }
            filled += got
        }
        return bytes
    }

    /// One line with its number from 1; nil bytes for one that is longer than the limit.
    struct Line {
        var number: Int
        var place: Int
        var byteCount: Int
        var bytes: [UInt8]?
        /// Whether it holds nothing but white space.
        var isBlank: Bool {
            bytes?.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D } ?? false
        }
    }

    /// Every line in order; `body` returns whether to go on.
    func forEachLine(byteLimit: Int, _ body: (Line) async throws -> Bool) async throws {
        var line = Line(number: 1, place: 0, byteCount: 0, bytes: [])
        var offset = 0
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        func take(_ part: ArraySlice<UInt8>) {
            line.byteCount += part.count
            if line.byteCount > byteLimit { line.bytes = nil } else { line.bytes?.append(contentsOf: part) }
        }
        while true {
            let got = chunk.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, offset) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw MartletError(.internal, "an uploaded file cannot be read; restore a backup") }
            guard got > 0 else { break }
            var rest = chunk[..<got]
            while let end = rest.firstIndex(of: 0x0A) {
                take(rest[..<end])
                guard try await body(line) else { return }
                line = Line(number: line.number + 1, place: line.place + line.byteCount + 1, byteCount: 0, bytes: [])
                rest = rest[(end + 1)...]
            }
            take(rest)
            offset += got
        }
        if line.byteCount > 0 { _ = try await body(line) }
    }
}

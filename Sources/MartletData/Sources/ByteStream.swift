import CImages
import Foundation
import MartletWire

/// A file read from its start to its end; gzip is undone on the way.
final class ByteStream {
    private let stream: OpaquePointer
    /// The file's name without its folder, for messages.
    let name: String

    init(path: String) throws {
        name = (path as NSString).lastPathComponent
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw MartletError(.notFound, "there is no file '\(path)'; check the path", param: path)
        }
        guard !isFolder.boolValue, let stream = martlet_stream_open(path) else {
            throw MartletError(
                .invalidData, "the file '\(name)' cannot be opened; check that it is a file that you may read")
        }
        self.stream = stream
    }

    deinit { martlet_stream_close(stream) }

    /// Fills `buffer` as far as there are bytes; 0 means the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var filled = 0
        while filled < buffer.count, let start = buffer.baseAddress {
            let wanted = UInt32(min(buffer.count - filled, 1 << 26))
            let count = martlet_stream_read(stream, start + filled, wanted)
            guard count >= 0 else {
                throw MartletError(
                    .invalidData,
                    "the file '\(name)' cannot be read to its end: it is damaged or cut short; copy it again")
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    /// Up to `count` bytes from here.
    func read(upTo count: Int) throws -> [UInt8] {
        var failure: (any Error)?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do { filled = try read(into: UnsafeMutableRawBufferPointer(buffer)) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }
}

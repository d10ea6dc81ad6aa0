import MartletStore
import MartletWire
import NIOCore

/// A file's bytes on their way to disk; what is not finished leaves nothing behind.
public final class IncomingFile {
    private let writer: BlobWriter
    private let byteLimit: Int
    public var byteCount: Int { writer.byteCount }

    init(writer: BlobWriter, byteLimit: Int) {
        self.writer = writer
        self.byteLimit = byteLimit
    }

    /// Throws `tooLarge` past the limit, `storageFull`.
    public func append(_ bytes: UnsafeRawBufferPointer) throws {
        guard bytes.count <= byteLimit - writer.byteCount else {
            throw MartletError(
                .tooLarge, "the file is larger than \(byteLimit) bytes; split it, or raise upload_limit_bytes",
                param: "file")
        }
        try writer.append(bytes)
    }

    public func append(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try append($0) } }

    /// The blob is on disk and pinned when this returns.
    func finish() throws -> (hash: String, byteCount: Int) { try writer.finish() }
}

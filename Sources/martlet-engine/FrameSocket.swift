import Foundation
import MartletWire
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One connected Unix socket that carries frames; one thread reads, any thread writes.
final class FrameSocket: Sendable {
    private let descriptor: Int32
    private let outgoing = Mutex(Outgoing())

    private struct Outgoing: ~Copyable {
        /// How many gather frames at this moment, and the bytes of those that have not left.
        var gathering = 0
        var bytes: [UInt8] = []
    }

    /// Frames that wait for others are sent from so many bytes on.
    private static let gatherLimit = 64 << 10

    /// Connects. Throws `unavailable` where nobody listens.
    init(path: String) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else {
            throw MartletError(
                .internal, "the control socket's path is longer than \(capacity - 1) bytes; use a shorter --home")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { bytes in
            bytes.copyBytes(from: path.utf8)
        }
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw MartletError(.internal, "no socket could be made: \(Self.reason)") }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let reason = Self.reason
            close(descriptor)
            throw MartletError(.unavailable, "martlet serve does not answer on its control socket: \(reason)")
        }
    }

    deinit { close(descriptor) }

    private static var reason: String { String(cString: strerror(errno)) }

    /// Ends both directions, so that a blocked reader returns.
    func shutDown() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Throws `unavailable` where the connection is gone. While frames are gathered that shows at the reader only.
    func write(_ frame: Frame) throws {
        try outgoing.withLock { outgoing in
            guard outgoing.gathering > 0 else { return try sendAll(frame.encoded()) }
            outgoing.bytes += frame.encoded()
            if outgoing.bytes.count >= Self.gatherLimit { try flush(&outgoing) }
        }
    }

    /// Frames that are written during `body` leave together: the other process wakes up once for all of them.
    func gather(_ body: () -> Void) {
        outgoing.withLock { $0.gathering += 1 }
        body()
        outgoing.withLock { outgoing in
            outgoing.gathering -= 1
            // Where the connection is gone the reader finds that out.
            if outgoing.gathering == 0 { try? flush(&outgoing) }
        }
    }

    private func flush(_ outgoing: inout Outgoing) throws {
        defer { outgoing.bytes.removeAll(keepingCapacity: true) }
        try sendAll(outgoing.bytes)
    }

    private func sendAll(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { buffer in
            var sent = 0
            while sent < buffer.count {
                let count = send(
                    descriptor, buffer.baseAddress.map { $0 + sent }, buffer.count - sent, Int32(MSG_NOSIGNAL))
                if count < 0 {
                    if errno == EINTR { continue }
                    throw MartletError(.unavailable, "the connection to martlet serve is gone: \(Self.reason)")
                }
                sent += count
            }
        }
    }

    /// The next frame; nil where the other end has closed. Throws `unavailable` or `invalidRequest`.
    func read() throws -> Frame? {
        guard let prefix = try readExactly(4) else { return nil }
        let count = prefix.withUnsafeBytes { Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) }
        guard count <= Frame.byteLimit else {
            throw MartletError(.invalidRequest, "a frame announces \(count) bytes; the limit is \(Frame.byteLimit)")
        }
        guard let bytes = try readExactly(count) else { return nil }
        return try bytes.withUnsafeBytes { try Frame(decoding: $0) }
    }

    private func readExactly(_ count: Int) throws -> [UInt8]? {
        var isWhole = true
        let bytes = try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = recv(descriptor, buffer.baseAddress.map { $0 + filled }, count - filled, 0)
                if got < 0 {
                    if errno == EINTR { continue }
                    throw MartletError(.unavailable, "the connection to martlet serve is gone: \(Self.reason)")
                }
                if got == 0 {
                    isWhole = false
                    return
                }
                filled += got
            }
        }
        return isWhole ? bytes : nil
    }
}

import Foundation
import Glibc
import MartletWire
import Synchronization

/// Plays `martlet-engine`: the platform starts a script that leaves its token in a folder and sleeps; the test dials the
/// control socket with that token and says what the engine would say. Signals and exits are those of a real process.
package final class FakeEngine: Sendable {
    package let folder: String
    package var program: String { folder + "/engine" }

    package init(folder: String) async throws {
        self.folder = folder
        try FileManager.default.createDirectory(atPath: folder + "/started", withIntermediateDirectories: true)
        let script = """
            #!/bin/sh
            printf '%s %s %s %s' "$MARTLET_ENGINE_TOKEN" "$1" "$$" "$MARTLET_CONTROL_SOCKET" > "$0.$$"
            mv "$0.$$" "$(dirname "$0")/started/$$"
            exec sleep 600

            """
        // Closed on exec: a program that another test starts now would hold it open for writing as long as it runs.
        let file = Glibc.open(program, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o700)
        let written = write(file, script, script.utf8.count)
        Glibc.close(file)
        guard written == script.utf8.count else { throw POSIXError(.EIO) }
        try await waitUntilNobodyWrites()
    }

    /// A process that another test is starting may hold the script open for writing until it has become its program, and
    /// the script cannot be started until then. A read lease is refused as long.
    private func waitUntilNobodyWrites() async throws {
        let setLease: Int32 = 1024
        let script = open(program, O_RDONLY | O_CLOEXEC)
        guard script >= 0 else { return }
        defer { Glibc.close(script) }
        try await eventually { fcntl(script, setLease, F_RDLCK) == 0 || errno != EAGAIN }
    }

    package struct Started: Sendable {
        package let token: String
        package let mode: String
        package let pid: Int32
        package let socket: String

        /// Says hello and gets the task.
        package func dial(isReturning: Bool = false) async throws -> (FakeConnection, EngineTask) {
            let connection = try FakeConnection(path: socket)
            let reply = try await connection.request(
                .hello(.init(token: token, pid: pid, isReturning: isReturning)))
            return (connection, try JSONDecoder.wire.decode(EngineTask.self, from: Data(reply)))
        }

        package func kill(_ signal: Int32 = SIGKILL) { _ = Glibc.kill(pid, signal) }
        package var isAlive: Bool {
            guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8) else { return false }
            return !text.contains(") Z ")
        }
    }

    /// The next process that was started; nil where there is none for so long.
    package func next(within seconds: Double = 120) async -> Started? {
        let end = Date(timeIntervalSinceNow: seconds)
        while Date() < end, !Task.isCancelled {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/started")) ?? []
            if let name = names.min(by: { (Int($0) ?? 0) < (Int($1) ?? 0) }),
                let text = try? String(contentsOfFile: "\(folder)/started/\(name)", encoding: .utf8)
            {
                try? FileManager.default.removeItem(atPath: "\(folder)/started/\(name)")
                let fields = text.split(separator: " ").map(String.init)
                return Started(token: fields[0], mode: fields[1], pid: Int32(fields[2]) ?? 0, socket: fields[3])
            }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return nil
    }
}

/// The engine's end of one control connection.
package final class FakeConnection: Sendable {
    private let descriptor: Int32
    private struct State {
        var nextID: UInt64 = 1
        var pending: [UInt64: CheckedContinuation<[UInt8], any Error>] = [:]
        var isClosed = false
    }
    private let state = Mutex(State())
    /// What the platform asked.
    package let requests: AsyncStream<Frame>
    private let requestsEnd: AsyncStream<Frame>.Continuation

    package init(path: String) throws {
        (requests, requestsEnd) = AsyncStream.makeStream()
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw MartletError(.unavailable, "connect failed") }
        Thread.detachNewThread { self.readForever() }
    }

    deinit { Glibc.close(descriptor) }

    package func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// A replica that has loaded.
    package func sayReady() async throws {
        try await request(.ready(ReplicaReady(signature: Signature(), loadSeconds: 0.1, residentBytes: 1)))
    }

    /// The reply's head; a failure is thrown.
    @discardableResult
    package func request(_ request: EngineRequest) async throws -> [UInt8] {
        let head = [UInt8](try JSONEncoder.wire.encode(request))
        return try await withCheckedThrowingContinuation { continuation in
            let id: UInt64? = state.withLock { state in
                guard !state.isClosed else { return nil }
                state.nextID += 1
                state.pending[state.nextID] = continuation
                return state.nextID
            }
            guard let id else {
                continuation.resume(throwing: MartletError(.unavailable, "closed"))
                return
            }
            send(Frame(kind: .request, id: id, head: head).encoded())
        }
    }

    package func reply(to frame: Frame, _ head: some Encodable, body: [UInt8] = []) throws {
        send(Frame(kind: .reply, id: frame.id, head: [UInt8](try JSONEncoder.wire.encode(head)), body: body).encoded())
    }

    /// The next request that the platform sends.
    package func nextRequest() async throws -> (PlatformRequest, Frame)? {
        for await frame in requests where frame.kind == .request {
            return (try JSONDecoder.wire.decode(PlatformRequest.self, from: Data(frame.head)), frame)
        }
        return nil
    }

    package func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    private func readForever() {
        while let length = readExactly(4) {
            let count = length.withUnsafeBytes { Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) }
            guard let bytes = readExactly(count), let frame = try? bytes.withUnsafeBytes({ try Frame(decoding: $0) })
            else { break }
            switch frame.kind {
            case .request, .cancel, .part: requestsEnd.yield(frame)
            case .reply: take(frame.id)?.resume(returning: frame.head)
            case .failure:
                let error = try? JSONDecoder.wire.decode(MartletError.self, from: Data(frame.head))
                take(frame.id)?.resume(throwing: error ?? MartletError(.internal, "unreadable failure"))
            }
        }
        requestsEnd.finish()
        let pending = state.withLock { state in
            state.isClosed = true
            defer { state.pending = [:] }
            return state.pending
        }
        for continuation in pending.values { continuation.resume(throwing: MartletError(.unavailable, "closed")) }
    }

    private func take(_ id: UInt64) -> CheckedContinuation<[UInt8], any Error>? {
        state.withLock { $0.pending.removeValue(forKey: id) }
    }

    private func readExactly(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes[filled...].withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            if got <= 0 { return nil }
            filled += got
        }
        return bytes
    }
}

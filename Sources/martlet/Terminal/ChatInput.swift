import Foundation
import Synchronization

/// The lines of a chat: those of a pipe, or of a person, whose Ctrl-C stops an answer and at the prompt ends the input.
final class ChatInput {
    let isInteractive = isatty(STDIN_FILENO) == 1
    private let keys: InterruptKey?
    private let interrupt: Interrupt?
    /// What was read behind the last line.
    private var pending: [UInt8] = []

    private static let newline = UInt8(ascii: "\n")

    init() {
        let keys = isInteractive ? InterruptKey() : nil
        self.keys = keys
        interrupt = keys.map { keys in Interrupt { keys.pressed() } }
    }

    /// The next line without its end; nil where there is none.
    func next() -> String? {
        guard let keys else {
            if isInteractive { Console.write("> ") }
            return readLine()
        }
        // What was meant for an answer that had just ended leaves nothing.
        keys.forget()
        Console.write("> ")
        while true {
            if let end = pending.firstIndex(of: Self.newline) {
                defer { pending.removeSubrange(...end) }
                return String(decoding: pending[..<end], as: UTF8.self)
            }
            switch keys.wait(for: STDIN_FILENO) {
            case .pressed: return nil
            case .bytes(let bytes) where bytes.isEmpty:
                defer { pending = [] }
                return pending.isEmpty ? nil : String(decoding: pending, as: UTF8.self)
            case .bytes(let bytes): pending += bytes
            }
        }
    }

    /// What `body` gives; Ctrl-C cancels it.
    func stoppable<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        guard let keys else { return try await body() }
        let task = Task { try await body() }
        keys.onPress { task.cancel() }
        defer { keys.onPress(nil) }
        return try await task.value
    }
}

/// Ctrl-C, as something that can be waited for beside a file: the C library's `getline` would go on reading.
private final class InterruptKey: Sendable {
    enum Event {
        case pressed
        /// None at the end of the file.
        case bytes([UInt8])
    }
    private let action = Mutex<(@Sendable () -> Void)?>(nil)
    private let ends: (read: Int32, write: Int32)

    /// Nil where the system gives no pipe.
    init?() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        self.ends = (ends[0], ends[1])
    }

    deinit {
        close(ends.read)
        close(ends.write)
    }

    func onPress(_ action: (@Sendable () -> Void)?) { self.action.withLock { $0 = action } }

    func pressed() {
        if let action = action.withLock({ $0 }) { return action() }
        var byte: UInt8 = 0
        _ = write(ends.write, &byte, 1)
    }

    func forget() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(ends.read, &bytes, bytes.count) > 0 {}
    }

    /// Blocks until the key is pressed or the file has something to read.
    func wait(for descriptor: Int32) -> Event {
        var places = [descriptor, ends.read].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        while true {
            if poll(&places, nfds_t(places.count), -1) < 0 {
                guard errno == EINTR else { return .bytes([]) }
                continue
            }
            if places[1].revents != 0 { return .pressed }
            let count = read(descriptor, &bytes, bytes.count)
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            return .bytes(Array(bytes.prefix(max(0, count))))
        }
    }
}

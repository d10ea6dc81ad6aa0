import Foundation
import Glibc

/// A program that a test started, in a process group of its own, with its output in files.
public final class ChildProcess {
    /// How it ended.
    public enum End: Equatable, Sendable {
        case code(Int32)
        case signal(Int32)
    }
    public let pid: pid_t
    private let outputPath: String
    private let errorPath: String
    private var end: End?

    /// Starts `arguments[0]`; what it prints goes to `NAME.out` and `NAME.err` in `folder`.
    ///
    /// Throws `HarnessError` where it cannot be started.
    public init(
        _ arguments: [String], environment: [String: String], folder: String, name: String, input: String? = nil
    ) throws {
        outputPath = "\(folder)/\(name).out"
        errorPath = "\(folder)/\(name).err"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 0, input ?? "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, flags, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorPath, flags, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))

        var child: pid_t = 0
        let texts = arguments.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in texts + variables { free(text) } }
        let status = posix_spawnp(&child, arguments[0], &actions, &attributes, texts, variables)
        guard status == 0 else {
            throw HarnessError("\(arguments[0]) cannot be started: \(String(cString: strerror(status)))")
        }
        pid = child
    }

    /// How it ended, or nil while it runs.
    public func poll() -> End? {
        if let end { return end }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        let signal = status & 0x7F
        end = signal == 0 ? .code((status >> 8) & 0xFF) : .signal(signal)
        return end
    }

    /// Waits for its end; after `seconds` kills it and throws.
    @discardableResult
    public func wait(seconds: Double) throws -> End {
        let deadline = Date().addingTimeInterval(seconds)
        while Date() < deadline {
            if let end = poll() { return end }
            usleep(2_000)
        }
        kill()
        throw HarnessError("process \(pid) had not ended after \(seconds) s; it said: \(errors.suffix(2_000))")
    }

    public func send(_ signal: Int32) {
        if poll() == nil { Glibc.kill(pid, signal) }
    }

    /// SIGKILL, and waits until it is gone.
    public func kill() {
        send(SIGKILL)
        while poll() == nil { usleep(1_000) }
    }

    public var output: String { Self.text(outputPath) }
    public var errors: String { Self.text(errorPath) }

    private static func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }
}

/// What the harness itself could not do; a test that meets it fails.
public struct HarnessError: Error, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

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
        let (output, errors, flags) = (outputPath, errorPath, O_WRONLY | O_CREAT | O_APPEND)
        pid = try Spawn.start(arguments, environment: environment, flags: Int16(POSIX_SPAWN_SETPGROUP)) { actions in
            posix_spawn_file_actions_addopen(&actions, 0, input ?? "/dev/null", O_RDONLY, 0)
            posix_spawn_file_actions_addopen(&actions, 1, output, flags, 0o600)
            posix_spawn_file_actions_addopen(&actions, 2, errors, flags, 0o600)
        }
    }

    /// How it ended, or nil while it runs.
    public func poll() -> End? {
        if end == nil { end = Spawn.end(of: pid) }
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

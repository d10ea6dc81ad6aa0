import Foundation
import Glibc
import Synchronization

/// A program on a terminal of its own: what is typed there, keys that send signals among them, and what it shows.
public final class PseudoTerminal: Sendable {
    private let descriptor: Int32
    private let pid: pid_t
    private let shown = Mutex<[UInt8]>([])
    private let end = Mutex<ChildProcess.End?>(nil)

    /// Ctrl-C.
    public static let interrupt = "\u{3}"

    /// Starts `arguments[0]` as the leader of a session whose terminal this is. Throws `HarnessError`.
    public init(_ arguments: [String], environment: [String: String] = ProcessInfo.processInfo.environment) throws {
        // As the C library's `posix_openpt`, `unlockpt`, `ptsname` and `POSIX_SPAWN_SETSID`, which Swift does not see.
        let (unlock, nameNumber, newSession) = (UInt(0x4004_5431), UInt(0x8004_5430), Int16(0x80))
        let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var (isLocked, number): (CInt, CInt) = (0, 0)
        guard terminal >= 0, ioctl(terminal, unlock, &isLocked) == 0, ioctl(terminal, nameNumber, &number) == 0 else {
            close(terminal)
            throw HarnessError("there is no terminal: \(String(cString: strerror(errno)))")
        }
        descriptor = terminal
        do {
            pid = try Spawn.start(arguments, environment: environment, flags: newSession) { actions in
                // The first terminal that a session's leader opens becomes the session's.
                posix_spawn_file_actions_addopen(&actions, 0, "/dev/pts/\(number)", O_RDWR, 0)
                posix_spawn_file_actions_adddup2(&actions, 0, 1)
                posix_spawn_file_actions_adddup2(&actions, 0, 2)
            }
        } catch {
            close(terminal)
            throw error
        }
        Thread.detachNewThread { self.readForever() }
    }

    /// Until nobody has the other side open.
    private func readForever() {
        var bytes = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            shown.withLock { $0 += bytes[..<count] }
        }
    }

    public func type(_ text: String) { _ = write(descriptor, text, text.utf8.count) }

    /// All that was shown, what was typed among it.
    public var text: String { shown.withLock { String(decoding: $0, as: UTF8.self) } }

    /// How the program ended, or nil while it runs.
    public func poll() -> ChildProcess.End? {
        end.withLock { end in
            if end == nil { end = Spawn.end(of: pid) }
            return end
        }
    }

    /// Whether it shows what is typed, line by line, and its keys send signals, as a shell expects it.
    public var isSane: Bool {
        var settings = termios()
        let wanted = tcflag_t(ICANON | ECHO | ISIG)
        return tcgetattr(descriptor, &settings) == 0 && settings.c_lflag & wanted == wanted
    }

    /// Ends the program where it still runs, and closes the terminal.
    public func finish() {
        while poll() == nil {
            kill(pid, SIGKILL)
            usleep(1_000)
        }
    }

    deinit { close(descriptor) }
}

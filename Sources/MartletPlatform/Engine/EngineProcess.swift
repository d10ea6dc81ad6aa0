import Foundation
import Glibc
import MartletWire
import Synchronization

/// How an engine process ended.
enum ProcessExit: Sendable, Equatable {
    case code(Int32)
    case signal(Int32)
    /// It was not our child, so only its end is known.
    case unknown

    /// In words, for a job's or deployment's error. `oomKills` is whether the kernel ran out of memory meanwhile.
    func error(_ what: String, wasOutOfMemory: Bool) -> MartletError {
        switch self {
        case .signal(SIGKILL) where wasOutOfMemory:
            MartletError(
                .outOfMemory,
                "the \(what) ran out of memory and was ended by the system; use a smaller batch_size or model, "
                    + "or a machine with more memory")
        case .signal(SIGKILL):
            MartletError(.internal, "the \(what) was killed (signal 9); see its log, and whether memory ran out")
        case .signal(let number): MartletError(.internal, "the \(what) crashed (signal \(number)); see its log")
        case .code(let code): MartletError(.internal, "the \(what) ended with code \(code); see its log")
        case .unknown: MartletError(.internal, "the \(what) ended; see its log")
        }
    }
}

/// A process that this `serve` started, or one of an earlier `serve` that is still alive.
final class EngineProcess: Sendable {
    let pid: Int32
    /// Clock ticks from boot to its start: with the pid, who it is.
    let start: Int64
    private struct State {
        var exit: ProcessExit?
        var waiters: [CheckedContinuation<ProcessExit, Never>] = []
    }
    private let state = Mutex(State())
    private let oomKillsAtStart = EngineProcess.oomKills()

    /// A child that was just spawned.
    init(child pid: Int32) {
        self.pid = pid
        start = Self.startTime(of: pid) ?? 0
        Thread.detachNewThread { self.reap() }
    }

    /// A process that is not our child; nil unless it is the one that was recorded.
    init?(adopting pid: Int32, start: Int64) {
        guard Self.startTime(of: pid) == start else { return nil }
        self.pid = pid
        self.start = start
        Thread.detachNewThread { self.watch() }
    }

    /// Waits for its end.
    func exit() async -> ProcessExit {
        await withCheckedContinuation { continuation in
            let exit = state.withLock { state in
                if state.exit == nil { state.waiters.append(continuation) }
                return state.exit
            }
            if let exit { continuation.resume(returning: exit) }
        }
    }

    /// To the whole group; nothing where it has ended, so a pid that was given to another is never hit.
    func send(_ signal: Int32) {
        state.withLock { state in
            guard state.exit == nil else { return }
            // Also for one that is not our child: between this look and the signal lie microseconds.
            guard Self.startTime(of: pid) == start else { return }
            if kill(-pid, signal) != 0 { kill(pid, signal) }
        }
    }

    /// Whether the kernel ended some process for want of memory since this one was started.
    var wasOutOfMemory: Bool { Self.oomKills() > oomKillsAtStart }

    private func reap() {
        var info = siginfo_t()
        while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        let waiters = state.withLock { state in
            var status: Int32 = 0
            waitpid(pid, &status, 0)
            let signal = status & 0x7f
            let exit = signal == 0 ? ProcessExit.code((status >> 8) & 0xff) : .signal(signal)
            return Self.finish(&state, exit)
        }
        for waiter in waiters.0 { waiter.resume(returning: waiters.1) }
    }

    private func watch() {
        while Self.startTime(of: pid) == start { usleep(200_000) }
        let waiters = state.withLock { Self.finish(&$0, .unknown) }
        for waiter in waiters.0 { waiter.resume(returning: waiters.1) }
    }

    private static func finish(
        _ state: inout State, _ exit: ProcessExit
    ) -> ([CheckedContinuation<ProcessExit, Never>], ProcessExit) {
        state.exit = exit
        defer { state.waiters = [] }
        return (state.waiters, exit)
    }

    /// Field 22 of /proc/PID/stat; nil where there is no such process, or only its remains.
    static func startTime(of pid: Int32) -> Int64? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return nil }
        // The name before it may hold spaces and brackets.
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
        return Int64(fields[19])
    }

    private static func oomKills() -> Int {
        guard let text = try? String(contentsOfFile: "/proc/vmstat", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("oom_kill ") })
        else { return 0 }
        return Int(line.dropFirst(9)) ?? 0
    }
}

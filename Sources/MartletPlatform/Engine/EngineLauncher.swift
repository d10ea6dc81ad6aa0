import Foundation
import Glibc
import MartletStore
import MartletWire

/// Starts engine processes on this machine.
struct EngineLauncher: Sendable {
    enum Mode: String, Sendable { case worker, replica }

    let socketPath: String
    /// From the configuration, where it is set.
    let configuredProgram: String

    /// `martlet-engine`: as configured, MARTLET_ENGINE, or beside this program.
    func program() throws -> String {
        let environment = ProcessInfo.processInfo.environment
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = (own as NSString).deletingLastPathComponent + "/martlet-engine"
        let path = [configuredProgram, environment["MARTLET_ENGINE"] ?? "", beside].first { !$0.isEmpty } ?? beside
        guard access(path, X_OK) == 0 else {
            throw MartletError(
                .unavailable, "the program martlet-engine was not found; build it, or set MARTLET_ENGINE to its path")
        }
        return path
    }

    /// Spawns a process in a group of its own, with a clean environment and no open file but its log.
    func launch(_ mode: Mode, token: String, threads: Int, logPath: String) throws -> EngineProcess {
        let program = try program()
        let log = open(logPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard log >= 0 else { throw DurableFile.error(errno, doing: "opening a job's log") }
        defer { close(log) }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, log, 1)
        posix_spawn_file_actions_adddup2(&actions, log, 2)
        Self.closeFiles(&actions)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let arguments = [program, mode.rawValue]
        let environment = environment(token: token, threads: threads).map { "\($0.key)=\($0.value)" }
        var pid: pid_t = 0
        func spawn() -> Int32 {
            withCStrings(arguments) { arguments in
                withCStrings(environment) { environment in
                    posix_spawn(&pid, program, &actions, &attributes, arguments, environment)
                }
            }
        }
        var result = spawn()
        // Who has just written the program, or a process that one is starting, may hold it open for a moment.
        for _ in 0..<100 where result == ETXTBSY {
            usleep(5000)
            result = spawn()
        }
        guard result == 0 else {
            throw MartletError(
                .unavailable, "martlet-engine could not be started: \(String(cString: strerror(result)))")
        }
        return EngineProcess(child: pid)
    }

    /// A listener or the lock of HOME that a worker inherited would outlive this process. The child closes all but its
    /// first three files: here, another thread could open one between a look and the start.
    private static func closeFiles(_ actions: inout posix_spawn_file_actions_t) {
        // Swift's import of the header leaves it out; glibc has it since 2.34.
        typealias Function = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
        guard let symbol = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else { return }
        _ = unsafeBitCast(symbol, to: Function.self)(&actions, 3)
    }

    private func environment(token: String, threads: Int) -> [String: String] {
        let kept = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "CUDA_VISIBLE_DEVICES"]
        var result = ProcessInfo.processInfo.environment.filter { kept.contains($0.key) }
        result[EngineEnvironment.socket] = socketPath
        result[EngineEnvironment.token] = token
        result.merge(EngineThreads.environment) { $1 }
        result["OMP_NUM_THREADS"] = String(threads)
        result["SWIFT_BACKTRACE"] = "enable=no"
        return result
    }
}

/// Calls `body` with a null-terminated array of C strings.
private func withCStrings<Result>(
    _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    let copies = texts.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
}

/// How the threads of an engine wait for one another.
public enum EngineThreads {
    /// Between two operators a thread is awaited for a moment: hundreds of operators a step would each pay for its sleep
    /// and waking. To wait on as the library would takes the core from everyone else.
    public static let environment = ["OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"]
}

import Foundation
import Glibc
import MartletWire

/// What a command printed and how it ended.
public struct CommandResult: Sendable {
    public var end: ChildProcess.End
    public var output: String
    public var errors: String

    public var code: Int32? { if case .code(let code) = end { code } else { nil } }

    /// Standard output as the one JSON document that `--json` promises.
    public func json() throws -> JSON {
        do {
            return try JSONParser.parse(Data(output.utf8), limits: .trusted)
        } catch {
            throw HarnessError(
                "not one JSON document (\(error)); \(end), stdout '\(output.prefix(500))', stderr '\(errors)'")
        }
    }
}

/// The real `martlet` on a home of its own in a short path; nothing of it is left when the test ends.
public final class TestHome {
    /// The folder that the test may write in; HOME is `h` in it.
    public let folder: String
    public var home: String { folder + "/h" }
    private let program: String
    private var children: [ChildProcess] = []
    private var count = 0
    /// Added to the environment of every process.
    public var environment: [String: String] = [:]

    /// `configuration` becomes HOME/config.yaml; `parent` is where the folder is made.
    public init(configuration: String = "", parent: String = "/tmp") throws {
        program = try Self.findProgram()
        folder = "\(parent)/mt-\(getpid())-\(String(UInt32.random(in: 0..<(.max)), radix: 36))"
        try FileManager.default.createDirectory(atPath: folder + "/h", withIntermediateDirectories: true)
        chmod(folder + "/h", 0o700)
        if !configuration.isEmpty { try write("h/config.yaml", configuration) }
    }

    /// Runs `body` with a home on a thread that may block, and removes everything after it, however it ends.
    public static func with<Result: Sendable>(
        configuration: String = "", parent: String = "/tmp", _ body: @Sendable (TestHome) throws -> Result
    ) async throws -> Result {
        let executor = BlockingExecutor()
        return try await withTaskExecutorPreference(executor) {
            try await blocking {
                let home = try TestHome(configuration: configuration, parent: parent)
                defer { home.finish() }
                do {
                    return try body(home)
                } catch {
                    throw HarnessError("\(error)\n\(home.diagnosis)")
                }
            }
        }
    }

    private nonisolated static func blocking<Result: Sendable>(
        _ body: @Sendable () throws -> Result
    ) async throws -> Result {
        try body()
    }

    /// $MARTLET, or `martlet` beside the running test program.
    public static func findProgram() throws -> String {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = (own as NSString).deletingLastPathComponent + "/martlet"
        // `swift test` runs the tests through a helper of the toolchain; its argument names the bundle.
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? ""
        let besideBundle = (bundle as NSString).deletingLastPathComponent + "/martlet"
        let given = ProcessInfo.processInfo.environment["MARTLET"] ?? ""
        let candidates: [String] = [given, beside, besideBundle]
        guard let path = candidates.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else {
            throw HarnessError("no martlet beside \(own); build it, or set MARTLET to its path")
        }
        return path
    }

    /// The engine that belongs to the program.
    public var engineProgram: String {
        let given = ProcessInfo.processInfo.environment["MARTLET_ENGINE"] ?? ""
        return given.isEmpty ? (program as NSString).deletingLastPathComponent + "/martlet-engine" : given
    }

    // MARK: Files

    @discardableResult
    public func write(_ name: String, _ text: String) throws -> String { try write(name, Data(text.utf8)) }

    @discardableResult
    public func write(_ name: String, _ data: Data) throws -> String {
        let path = folder + "/" + name
        try data.write(to: URL(fileURLWithPath: path))
        return path
    }

    // MARK: Commands

    private var variables: [String: String] {
        var all = ProcessInfo.processInfo.environment
        for name in all.keys where name.hasPrefix("MARTLET_") && name != "MARTLET_ENGINE" { all[name] = nil }
        all["SWIFT_BACKTRACE"] = "enable=no"
        return all.merging(environment) { $1 }
    }

    /// Starts `martlet --home HOME ARGUMENTS`, in front of it `wrapper` where one is given.
    public func start(_ arguments: [String], wrapper: [String] = [], input: String? = nil) throws -> ChildProcess {
        count += 1
        let child = try ChildProcess(
            wrapper + [program, "--home", home] + arguments, environment: variables, folder: folder,
            name: "command-\(count)", input: input)
        children.append(child)
        return child
    }

    /// Runs a command to its end.
    @discardableResult
    public func run(_ arguments: String..., input: String? = nil, seconds: Double = 180) throws -> CommandResult {
        try run(arguments, input: input, seconds: seconds)
    }

    @discardableResult
    public func run(_ arguments: [String], input: String? = nil, seconds: Double = 180) throws -> CommandResult {
        var path: String?
        if let input { path = try write("input-\(count)", input) }
        let child = try start(arguments, input: path)
        let end = try child.wait(seconds: seconds)
        return CommandResult(end: end, output: child.output, errors: child.errors)
    }

    /// What a command that must succeed prints with `--json`.
    @discardableResult
    public func json(_ arguments: String..., input: String? = nil, seconds: Double = 180) throws -> JSON {
        let result = try run(arguments + ["--json"], input: input, seconds: seconds)
        guard result.end == .code(0) else {
            throw HarnessError("martlet \(arguments.joined(separator: " ")): \(result.end), \(result.errors)")
        }
        return try result.json()
    }

    // MARK: The server

    /// Starts `martlet serve` and waits until it answers.
    @discardableResult
    public func serve(_ arguments: String..., wrapper: [String] = [], seconds: Double = 90) throws -> ChildProcess {
        let listen = arguments.contains("--listen") ? [] : ["--listen", "127.0.0.1:0"]
        let child = try start(["serve"] + listen + arguments, wrapper: wrapper)
        try waitUntil("the server's start", seconds: seconds) {
            if let end = child.poll() { throw HarnessError("the server ended with \(end): \(child.errors)") }
            // An earlier server that was killed leaves its address behind.
            guard let owner = owner, wrapper.isEmpty ? owner.pid == child.pid : true, let port = owner.port else {
                return false
            }
            return (try? HTTPClient(port: port, key: nil).get("/health/ready").status) == 200
        }
        return child
    }

    /// The process and port that the lock file names.
    public var owner: (pid: pid_t, port: UInt16?)? {
        guard let data = FileManager.default.contents(atPath: home + "/martlet.lock"),
            let lock = try? JSONParser.parse(data, limits: .trusted), let pid = lock["pid"]?.int,
            kill(pid_t(pid), 0) == 0
        else { return nil }
        return (pid_t(pid), lock["url"]?.string?.split(separator: ":").last.flatMap { UInt16($0) })
    }

    public var key: String {
        let data = FileManager.default.contents(atPath: home + "/admin.key") ?? Data()
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// The running server, with the home's admin key.
    public func http() throws -> HTTPClient {
        guard let port = owner?.port else { throw HarnessError("no server owns \(home)") }
        return HTTPClient(port: port, key: key)
    }

    /// A document of the native API.
    public func get(_ path: String) throws -> JSON {
        let answer = try http().get(path)
        guard answer.status == 200 else { throw HarnessError("GET \(path): \(answer.status) \(answer.text)") }
        return try answer.json()
    }

    // MARK: Engine processes

    /// Living engine processes of this home.
    public func engines(_ mode: String? = nil) -> [pid_t] { ProcessTable.engines(home: home, mode: mode) }

    public var workers: [pid_t] { engines("worker") }
    public var replicas: [pid_t] { engines("replica") }

    // MARK: The end

    /// Kills what is left and removes the folder.
    public func finish() {
        if let pid = owner?.pid, isOurs(pid) { kill(pid, SIGKILL) }
        for child in children { child.kill() }
        // A server that is just dying may still start one.
        for _ in 0..<3 {
            for pid in engines() { kill(pid, SIGKILL) }
            usleep(10_000)
        }
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Whether the process runs on this home; a pid of a lock file may have been given to another since.
    private func isOurs(_ pid: pid_t) -> Bool {
        let line = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()
        return line.firstRange(of: Data(home.utf8)) != nil
    }

    /// The last lines of the logs, for a test that failed.
    private var diagnosis: String {
        var paths = [home + "/serve.log"]
        for name in (try? FileManager.default.contentsOfDirectory(atPath: home + "/run/jobs")) ?? [] {
            paths.append("\(home)/run/jobs/\(name)/log")
        }
        let logs = paths.compactMap { path -> String? in
            guard let data = FileManager.default.contents(atPath: path), !data.isEmpty else { return nil }
            return "--- \(path)\n" + String(decoding: data.suffix(2_000), as: UTF8.self)
        }
        let said = children.suffix(3).map { String($0.errors.suffix(1_500)) }.filter { !$0.isEmpty }
        return (logs + said).joined(separator: "\n")
    }
}

/// What Linux says of the processes on this machine.
public enum ProcessTable {
    public static var pids: [pid_t] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { pid_t($0) }
    }

    /// Living engine processes whose environment names the control socket of `home`.
    public static func engines(home: String, mode: String?) -> [pid_t] {
        let wanted = Array("MARTLET_CONTROL_SOCKET=\(home)/run/control.sock\0".utf8)
        return pids.filter { pid in
            guard let line = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline"),
                line.firstRange(of: Array("martlet-engine".utf8)) != nil,
                let environment = FileManager.default.contents(atPath: "/proc/\(pid)/environ"),
                environment.firstRange(of: wanted) != nil, isAlive(pid)
            else { return false }
            guard let mode else { return true }
            return line.split(separator: 0).dropFirst().first.map { String(decoding: $0, as: UTF8.self) } == mode
        }
    }

    /// Whether it is there and no mere remains.
    public static func isAlive(_ pid: pid_t) -> Bool {
        guard let fields = statistics(pid) else { return false }
        return fields[0] != "Z" && fields[0] != "X"
    }

    /// Resident memory in bytes.
    public static func residentBytes(_ pid: pid_t) -> Int {
        statistics(pid).flatMap { $0.count > 21 ? Int($0[21]) : nil }.map { $0 * Int(getpagesize()) } ?? 0
    }

    /// /proc/PID/stat from its third field on: the name before it may hold anything.
    private static func statistics(_ pid: pid_t) -> [Substring]? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.isEmpty ? nil : fields
    }
}

import Glibc

/// Starts programs for tests, and looks how they ended.
enum Spawn {
    /// Starts `arguments[0]` with its first three files as `setFiles` says, and with no other: a socket of another test
    /// that it inherited would be open as long as it runs, whoever closes it.
    ///
    /// Throws `HarnessError` where it cannot be started.
    static func start(
        _ arguments: [String], environment: [String: String], flags: Int16,
        files setFiles: (inout posix_spawn_file_actions_t) -> Void
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        setFiles(&actions)
        try closeOthers(&actions)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, flags)

        var child: pid_t = 0
        let texts = arguments.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in texts + variables { free(text) } }
        let status = posix_spawnp(&child, arguments[0], &actions, &attributes, texts, variables)
        guard status == 0 else {
            throw HarnessError("\(arguments[0]) cannot be started: \(String(cString: strerror(status)))")
        }
        return child
    }

    /// The C library's own action, which Swift does not see: the child does it, after any other thread's last `open`.
    private static func closeOthers(_ actions: inout posix_spawn_file_actions_t) throws {
        typealias Function = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
        guard let symbol = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np"),
            unsafeBitCast(symbol, to: Function.self)(&actions, 3) == 0
        else {
            throw HarnessError("this C library cannot close a program's other files; tests need glibc 2.34 or newer")
        }
    }

    /// How a program ended, or nil while it runs. Asks once at most for one that has.
    static func end(of pid: pid_t) -> ChildProcess.End? {
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        let signal = status & 0x7F
        return signal == 0 ? .code((status >> 8) & 0xFF) : .signal(signal)
    }
}

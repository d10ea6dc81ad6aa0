import Foundation
import MartletTesting
import MartletWire
import Testing

@Suite("The command line")
struct CommandLineTests {
    /// The program that was built beside the tests.
    static let martlet = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent(".build/release/martlet")

    /// Runs it to its end, without holding a thread.
    static func run(_ arguments: [String]) async throws -> (output: Data, error: String, status: Int32?) {
        let scratch = try Scratch()
        defer { withExtendedLifetime(scratch) {} }
        let child = try ChildProcess(
            [martlet.path] + arguments, environment: ProcessInfo.processInfo.environment, folder: scratch.path,
            name: "martlet")
        defer { child.kill() }
        try await eventually { child.poll() != nil }
        guard case .code(let status)? = child.poll() else { return (Data(), child.errors, nil) }
        return (Data(child.output.utf8), child.errors, status)
    }

    /// `train --set --name …` for every command, without the options that all have.
    static func options(_ command: JSON, _ path: [String] = []) -> [String] {
        let shared: Set = ["home", "url", "api-key", "json", "quiet", "help", "version"]
        let arguments = (command["arguments"]?.array ?? []).compactMap { argument -> String? in
            if argument["kind"]?.string == "positional" { return argument["valueName"]?.string?.uppercased() }
            let name = argument["preferredName"]?["name"]?.string ?? ""
            return shared.contains(name) || argument["shouldDisplay"]?.bool == false ? nil : "--" + name
        }
        let children = (command["subcommands"]?.array ?? []).filter { $0["commandName"]?.string != "help" }
        let own = children.isEmpty ? [(path + arguments).joined(separator: " ")] : []
        return own + children.flatMap { options($0, path + [$0["commandName"]?.string ?? ""]) }
    }

    @Test func theListOfCommandsAndOptionsIsFrozen() async throws {
        let (output, _, status) = try await Self.run(["--experimental-dump-help"])
        #expect(status == 0)
        let command = try #require(try JSONParser.parse(output, limits: .trusted)["command"])
        #expect(Self.options(command).sorted() == FrozenCommands.all)
    }

    @Test func whatATestStartsHoldsNoFileOfAnother() async throws {
        // Not closed on exec, as the sockets of a server are not.
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { close(ends[0]) }
        let scratch = try Scratch()
        let child = try ChildProcess(["sleep", "600"], environment: [:], folder: scratch.path, name: "sleep")
        defer { child.kill() }
        let terminal = try PseudoTerminal(["sleep", "600"])
        defer { terminal.finish() }
        close(ends[1])
        var watch = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
        try await eventually { poll(&watch, 1, 0) == 1 && watch.revents & Int16(POLLHUP) != 0 }
        #expect(child.poll() == nil && terminal.poll() == nil)
    }

    @Test func everyCommandTakesTheSharedOptions() async throws {
        let (output, _, _) = try await Self.run(["--experimental-dump-help"])
        func check(_ command: JSON) {
            let children = command["subcommands"]?.array ?? []
            guard children.isEmpty else { return children.filter { $0["commandName"] != "help" }.forEach(check) }
            let names = (command["arguments"]?.array ?? []).compactMap { $0["preferredName"]?["name"]?.string }
            #expect(Set(names).isSuperset(of: ["home", "url", "api-key", "json", "quiet"]))
        }
        check(try #require(try JSONParser.parse(output, limits: .trusted)["command"]))
    }

    @Test func wrongUseIs64AndWrongRecipesAre65() async throws {
        #expect(try await Self.run(["fly"]).status == 64)
        #expect(try await Self.run(["train"]).status == 64)
        #expect(try await Self.run(["train", "/nowhere.yaml"]).status == 66)
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).yaml")
        try "name: x\nepochs: 3\n".write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        let (output, error, status) = try await Self.run(["train", file.path])
        #expect(status == 65)
        #expect(output.isEmpty)
        #expect(error.contains("\(file.path):2"))
    }

    @Test func sharedOptionsMayStandBeforeTheCommand() async throws {
        let home = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: home) }
        let (output, _, status) = try await Self.run(["--home", home, "--json", "config", "--listen", "127.0.0.1:9"])
        #expect(status == 0)
        let rows = try #require(try JSONParser.parse(output).array)
        let listen = try #require(rows.first { $0["key"] == "listen" })
        #expect(listen["value"] == "127.0.0.1:9")
        #expect(listen["origin"] == "flag")
    }

    @Test(arguments: [["audit"], ["help", "audit"], ["audit", "--help"]])
    func aGroupBehindSharedOptionsTellsItsCommands(words: [String]) async throws {
        let (output, error, status) = try await Self.run(["--home", "/nowhere", "--json"] + words)
        #expect(status == 0 && String(decoding: output, as: UTF8.self).contains("verify"), "\(error)")
        #expect(try await Self.run(["--home", "/nowhere", "audit", "fly"]).status == 64)
        #expect(try await Self.run(["--home", "/nowhere", "fly"]).status == 64)
    }

    @Test func aHomeThatCannotBeIsTold() async throws {
        let scratch = try Scratch()
        let file = try scratch.write("file", "x")
        for home in [file, file + "/home"] {
            for command in [["usage"], ["serve", "--listen", "127.0.0.1:0"]] {
                let (_, error, status) = try await Self.run(command + ["--home", home])
                #expect(status == 64 && error.contains("the home '\(home)' cannot be made"), "\(error)")
                #expect(error.contains("choose another with --home"), "\(error)")
            }
        }
        let (output, _, status) = try await Self.run(["doctor", "--home", file + "/home"])
        let told = String(decoding: output, as: UTF8.self)
        #expect(status == 69 && told.contains("'\(file)' is no folder") && told.contains("→ choose another"), "\(told)")
    }

    @Test func whatCannotBeMeantIsToldBeforeAServerIsAsked() async throws {
        let (_, error, status) = try await Self.run(["usage", "--url", "nonsense", "--api-key", "k"])
        #expect(status == 64 && error.contains("'nonsense' is no server's URL"), "\(error)")
        let scratch = try Scratch()
        try scratch.write("m/model.safetensors", "x")
        let (_, told, code) = try await Self.run([
            "models", "import", scratch.path + "/m", "--name", "m", "--home", scratch.path + "/home",
        ])
        #expect(code == 65 && told.contains("\(scratch.path)/m' has no config.json; name the folder"), "\(told)")
        #expect(!FileManager.default.fileExists(atPath: scratch.path + "/home"))
    }

    @Test func aPortInUseIsToldAndNothingElse() async throws {
        try await LiveServer.with { live in
            let scratch = try Scratch()
            let (_, error, status) = try await Self.run([
                "serve", "--home", scratch.path, "--listen", "127.0.0.1:\(live.port)",
            ])
            #expect(status == 69 && error.hasPrefix("martlet: port \(live.port) of 127.0.0.1 is in use"), "\(error)")
            #expect(error.split(separator: "\n").count == 1, "\(error)")
        }
    }

    @Test func listeningBeyondThisMachineIsRefused() async throws {
        let home = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: home) }
        let (_, error, status) = try await Self.run(["serve", "--home", home, "--listen", "0.0.0.0:0"])
        #expect(status == 64)
        #expect(error.contains("--tls-cert"))
    }
}

/// Scripts are written against these: a change here needs an issue that says so.
enum FrozenCommands {
    static let all = [
        "audit list --before", "audit verify", "budget set PROJECT --cpu-seconds --tokens", "budget show PROJECT",
        "chat DEPLOYMENT", "config --config --listen --tls-cert --tls-key",
        "data add NAME PATHS",
        "data delete REFERENCE --force", "data list", "data show REFERENCE", "deploy MODEL --as --replicas --gate",
        "deployments delete NAME", "deployments list", "deployments rollback NAME", "deployments scale NAME REPLICAS",
        "deployments show NAME", "doctor", "evaluate MODEL DATASET --graders", "gc --dry-run", "jobs cancel ID",
        "jobs errors ID",
        "jobs list",
        "jobs logs ID --follow", "jobs pause ID", "jobs resume ID", "jobs show ID",
        "keys create --name --project --role --expires-in", "keys list", "keys revoke ID",
        "models compare FIRST SECOND", "models delete REFERENCE --force", "models export REFERENCE FOLDER",
        "models import PATH --name --base", "models list", "models show REFERENCE", "plan RECIPE --set --schema",
        "predict DEPLOYMENT --input",
        "projects create NAME", "projects list", "serve --config --listen --tls-cert --tls-key --idle-exit", "stop",
        "train RECIPE --set --name --device --detach", "usage",
    ]
}

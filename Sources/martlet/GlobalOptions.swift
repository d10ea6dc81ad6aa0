import ArgumentParser
import Foundation
import MartletWire

/// The options that every command takes.
struct GlobalOptions: ParsableArguments {
    @Option(help: "Where Martlet keeps everything (MARTLET_HOME; default ~/.martlet).")
    var home: String?
    @Option(help: "The server to ask (MARTLET_URL; default: the one that owns the home).")
    var url: String?
    @Option(name: .customLong("api-key"), help: "The key to ask with (MARTLET_API_KEY; default: the home's admin key).")
    var apiKey: String?
    @Flag(help: "Print one JSON document on standard output and nothing else there.")
    var json = false
    @Flag(help: "Print no progress.")
    var quiet = false

    private static var environment: [String: String] { ProcessInfo.processInfo.environment }

    /// An environment variable that is set to something.
    private static func variable(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    var homePath: String {
        let path = home ?? Self.variable("MARTLET_HOME") ?? NSHomeDirectory() + "/.martlet"
        return URL(fileURLWithPath: path).standardizedFileURL.path
    }

    var givenURL: String? { url ?? Self.variable("MARTLET_URL") }

    /// The key that was given, else the home's admin key. Throws `unauthenticated` where there is none.
    func key() throws -> String {
        if let key = apiKey ?? Self.variable("MARTLET_API_KEY") { return key }
        let path = homePath + "/admin.key"
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw MartletError(
                .unauthenticated, "no API key: '\(path)' cannot be read; give --api-key or set MARTLET_API_KEY")
        }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    var output: Output { Output(isJSON: json, isQuiet: quiet) }

    /// `arguments` with the global options that stand before the command moved behind it, where commands read them.
    static func moved(_ arguments: [String]) -> [String] {
        let (leading, rest) = split(arguments)
        guard !leading.isEmpty, !rest.isEmpty else { return arguments }
        let end = rest.firstIndex(of: "--") ?? rest.endIndex
        return Array(rest[..<end]) + leading + Array(rest[end...])
    }

    /// The global options that stand before the command, and the command.
    static func split(_ arguments: [String]) -> (leading: [String], command: ArraySlice<String>) {
        var leading: [String] = []
        var index = 0
        while index < arguments.count {
            let argument = arguments[index]
            let name = argument.prefix { $0 != "=" }
            if ["--json", "--quiet"].contains(argument) {
                leading.append(argument)
                index += 1
            } else if ["--home", "--url", "--api-key"].contains(name) {
                let count = name == argument ? 2 : 1
                leading += arguments[index..<min(index + count, arguments.count)]
                index += count
            } else {
                break
            }
        }
        return (leading, arguments[min(index, arguments.count)...])
    }
}

/// The version that `--version` and the server tell.
enum MartletVersion {
    static let text = "0.1.0"
}

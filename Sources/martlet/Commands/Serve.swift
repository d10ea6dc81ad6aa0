import ArgumentParser
import Foundation
import Logging
import MartletPlatform
import MartletServer
import MartletWire

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve the home's models, jobs and console over HTTP.")
    @OptionGroup var settings: ServeOptions
    @Option(name: .customLong("idle-exit"), help: "Leave after this many seconds without work.") var idleExit: Int?
    @Flag(help: .hidden) var background = false
    @OptionGroup var options: GlobalOptions

    private struct Started: Encodable {
        var url: String
        var home: String
        var pid: Int32
    }

    func run() async throws {
        if background {
            signal(SIGHUP, SIG_IGN)
            setsid()
        }
        let home = options.homePath
        let loaded = try settings.load(home: home)
        let logger = Logger(label: "martlet") { StreamLogHandler.standardError(label: $0) }
        let platform = try await Platform.build(home: home, configuration: loaded.configuration, logger: logger)
        let server = try MartletServer(platform: platform, version: MartletVersion.text, idleExitSeconds: idleExit)
        let output = options.output
        try await server.run { url in
            if output.isJSON {
                let started = Started(url: url, home: home, pid: ProcessInfo.processInfo.processIdentifier)
                try? output.show(started) { _ in "" }
            } else {
                output.note("martlet serves \(url), where its console is; the admin key is in \(home)/admin.key")
            }
            fflush(nil)
        }
    }
}

/// The settings of `serve` that have an option of their own.
struct ServeOptions: ParsableArguments {
    @Option(help: "The configuration file (default: HOME/config.yaml).") var config: String?
    @Option(help: "Where to listen: address:port (default 127.0.0.1:8080).") var listen: String?
    @Option(name: .customLong("tls-cert"), help: "The certificate chain, PEM.") var tlsCertificate: String?
    @Option(name: .customLong("tls-key"), help: "The certificate's key, PEM.") var tlsKey: String?

    /// Defaults, file, environment and these options, each over the one before.
    func load(home: String) throws -> LoadedConfiguration {
        var flags: [String: String] = [:]
        flags["listen"] = listen
        flags["tls_certificate"] = tlsCertificate
        flags["tls_key"] = tlsKey
        return try Configuration.load(
            home: home, path: config, environment: ProcessInfo.processInfo.environment, flags: flags)
    }
}

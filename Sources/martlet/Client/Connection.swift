import AsyncHTTPClient
import Foundation
import MartletPlatform
import MartletWire
import NIOCore

/// Finds the server that a command asks: the one that was named, the owner of HOME, or one started for the purpose.
enum Connection {
    /// How long a server that a command started stays without work.
    static let idleExitSeconds = 900
    private static let startSeconds = 30.0

    /// Runs `body` with a client of the server; starts one in the background where HOME has none.
    static func with<Result>(
        _ options: GlobalOptions, _ body: (Client) async throws -> Result
    ) async throws -> Result {
        let url: String
        if let given = options.givenURL {
            url = given
        } else if let owner = HomeOwner.live(options.homePath) {
            url = owner.url
        } else {
            url = try await start(options)
        }
        let client = Client(url: url, key: try options.key(), home: options.givenURL == nil ? options.homePath : nil)
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            guard isBreak(error) else { throw error }
            throw MartletError(.unavailable, "the server went away in the middle of its answer; try again")
        }
    }

    /// Whether a connection broke, in the words of the library and not of ours.
    private static func isBreak(_ error: any Error) -> Bool {
        error is HTTPClientError || error is ChannelError || error is IOError
    }

    /// Starts `martlet serve` in the background and waits until it answers.
    private static func start(_ options: GlobalOptions) async throws -> String {
        let home = options.homePath
        try HomeFolder.make(home)
        let log = home + "/serve.log"
        if !FileManager.default.fileExists(atPath: log) {
            _ = FileManager.default.createFile(atPath: log, contents: nil, attributes: [.posixPermissions: 0o600])
        }
        guard let file = FileHandle(forWritingAtPath: log) else {
            throw MartletError(.unavailable, "the log '\(log)' cannot be written; check the home's permissions")
        }
        try file.seekToEnd()
        let process = Process()
        process.executableURL = Self.executable
        process.arguments = [
            "serve", "--home", home, "--listen", "127.0.0.1:0", "--idle-exit", String(idleExitSeconds), "--background",
        ]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = file
        process.standardError = file
        try process.run()
        options.output.note(
            "martlet: started a server for \(home); it leaves after 15 idle minutes (martlet stop ends it)")
        let end = Date().addingTimeInterval(startSeconds)
        while Date() < end {
            if let owner = HomeOwner.live(home), await isAlive(owner.url) { return owner.url }
            if !process.isRunning {
                // Another command may have been faster: its server owns the home now.
                if let owner = HomeOwner.live(home), await isAlive(owner.url) { return owner.url }
                throw MartletError(.unavailable, "the server did not start; see \(log)")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw MartletError(.unavailable, "the server did not answer in \(Int(startSeconds)) s; see \(log)")
    }

    static func isAlive(_ url: String) async -> Bool {
        let client = Client(url: url, key: "")
        let answer = try? await client.request(.GET, "/health/live", timeout: .seconds(2))
        _ = try? await answer?.body.collect(upTo: 1 << 16)
        await client.close()
        return answer != nil
    }

    /// This program's own file.
    static var executable: URL {
        let link = "/proc/self/exe"
        if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: link) {
            return URL(fileURLWithPath: path)
        }
        return URL(fileURLWithPath: Bundle.main.executablePath ?? CommandLine.arguments[0])
    }
}

import ArgumentParser
import Foundation
import MartletPlatform
import MartletWire

struct Stop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "End the server that owns the home.")
    private static let waitSeconds = 60.0
    @OptionGroup var options: GlobalOptions

    private struct Result: Encodable { var stopped: Bool }

    func run() async throws {
        guard let owner = HomeOwner.live(options.homePath) else {
            return try options.output.show(Result(stopped: false)) { _ in "no server owns \(options.homePath)" }
        }
        guard kill(owner.pid, SIGTERM) == 0 else {
            throw MartletError(.forbidden, "process \(owner.pid) is another user's; ask them to stop it")
        }
        let end = Date().addingTimeInterval(Self.waitSeconds)
        while Date() < end {
            if kill(owner.pid, 0) != 0 {
                return try options.output.show(Result(stopped: true)) { _ in "stopped" }
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw MartletError(.deadlineExceeded, "process \(owner.pid) still finishes its work; try again in a moment")
    }
}

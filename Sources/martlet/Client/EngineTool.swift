import Foundation
import MartletWire

/// Runs `martlet-engine`, which stands beside this program (or in `libexec/martlet` of an installed one).
enum EngineTool {
    /// The path of the engine. Throws `unavailable` where there is none.
    static func path() throws -> String {
        let folder = Connection.executable.deletingLastPathComponent()
        let candidates = [
            folder.appendingPathComponent("martlet-engine"),
            folder.deletingLastPathComponent().appendingPathComponent("libexec/martlet/martlet-engine"),
        ]
        for candidate in candidates where FileManager.default.isExecutableFile(atPath: candidate.path) {
            return candidate.path
        }
        throw MartletError(
            .unavailable, "martlet-engine is not beside '\(Connection.executable.path)'; build or install it again")
    }

    /// What it printed and how it ended; its standard error goes to ours.
    static func run(_ arguments: [String]) throws -> (output: Data, status: Int32) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try path())
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        let pipe = Pipe()
        process.standardOutput = pipe
        do {
            try process.run()
        } catch {
            throw MartletError(.unavailable, "martlet-engine cannot be started; run: martlet doctor")
        }
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (output, process.terminationReason == .exit ? process.terminationStatus : 70)
    }
}

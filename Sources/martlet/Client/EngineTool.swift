import Foundation
import MartletPlatform
import MartletWire

/// Runs `martlet-engine`: the one that MARTLET_ENGINE names, else the one beside this program.
enum EngineTool {
    /// The path of the engine. Throws `unavailable` where there is none.
    static func path() throws -> String {
        let named = ProcessInfo.processInfo.environment["MARTLET_ENGINE"] ?? ""
        let beside = Connection.executable.deletingLastPathComponent().appendingPathComponent("martlet-engine").path
        let path = named.isEmpty ? beside : named
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw MartletError(.unavailable, "there is no martlet-engine at '\(path)'; build or install it again")
        }
        return path
    }

    /// What it printed and how it ended; its standard error goes to ours.
    static func run(_ arguments: [String]) throws -> (output: Data, status: Int32) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try path())
        process.arguments = arguments
        // What it measures is to be what a job's worker does.
        process.environment = ProcessInfo.processInfo.environment.merging(EngineThreads.environment) { $1 }
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

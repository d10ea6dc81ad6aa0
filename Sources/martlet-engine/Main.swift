import Foundation
import MartletTensor
import MartletWire

/// The engine's command line. Users call `martlet`; it calls this.
@main
enum Main {
    static func main() {
        var arguments = Array(CommandLine.arguments.dropFirst())
        let command = arguments.isEmpty ? "" : arguments.removeFirst()
        do {
            switch command {
            case "worker", "replica": try EngineProcess.run()
            case "plan": try PlanCommand.run(arguments)
            case "bench-train": try BenchCommand.run(arguments)
            case "bench-generate": try BenchGenerateCommand.run(arguments)
            case "bench-tokenizer": try BenchTokenizerCommand.run(arguments)
            case "doctor": try DoctorCommand.run()
            default:
                throw MartletError(
                    .usage,
                    "martlet-engine is started by martlet; its commands: worker, replica, plan, doctor, bench-train, "
                        + "bench-generate, bench-tokenizer")
            }
        } catch {
            let error = EngineFailure.wire(error)
            try? FileHandle.standardError.write(contentsOf: Data("martlet: \(error.message)\n".utf8))
            exit(error.exitCode)
        }
    }
}

/// Any error as the one that goes over the wire.
enum EngineFailure {
    static func wire(_ error: any Error) -> MartletError {
        switch error {
        case let error as MartletError: error
        case let error as TensorError: error.martletError
        default: MartletError(.internal, "the engine failed: \(type(of: error)); see the job's log")
        }
    }
}

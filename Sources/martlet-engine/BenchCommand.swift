import Foundation
import MartletTensor
import MartletTraining
import MartletWire

/// `bench-train RECIPE --steps N [--threads T]`: the speed of the loop that `martlet train` runs, as JSON.
enum BenchCommand {
    static func run(_ arguments: [String]) throws {
        let options = try EngineOptions(arguments)
        let (threads, steps) = (options.threads, options.steps ?? 1_000)
        try options.withSources { recipe, sources, directory in
            try ComputeThread().run {
                try Torch.setDeterministic(true)
                let planned = try PlannedTraining(recipe, sources, cacheDirectory: directory)
                try Torch.setThreadCount(planned.threads(of: threads))
                let session = planned.session
                for _ in 0..<max(3, steps / 5) { _ = try session.step() }
                let speed = try TrainingSpeed(session, count: steps)
                let json: JSON = [
                    "steps_per_second": .double(speed.stepsPerSecond),
                    "rows_per_second": .double(speed.rowsPerSecond),
                ]
                print(json.serialized())
            }
        }
    }
}

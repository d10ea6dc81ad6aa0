import Foundation
import MartletModels
import MartletTensor
import MartletTraining
import MartletWire

/// `bench-train RECIPE --steps N [--threads T]`: the speed of the loop that `martlet train` runs, as JSON.
enum BenchCommand {
    static func run(_ arguments: [String]) throws {
        let options = try EngineOptions(arguments)
        let (recipe, data, directory) = try options.prepare()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let threads = options.threads
        let steps = options.steps ?? 1_000
        try ComputeThread().run {
            let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
            try Torch.setThreadCount(
                TrainJob.threads(
                    for: network, batchSize: recipe.training.batchSize, share: threads))
            try Torch.setDeterministic(true)
            try network.initialize(seed: UInt64(recipe.training.seed))
            let session = try TrainingSession(recipe, network: network, rows: data.train)
            for _ in 0..<max(3, steps / 5) { _ = try session.step() }
            let speed = try TrainingSpeed(session, count: steps)
            let json: JSON = [
                "steps_per_second": .double(speed.stepsPerSecond), "rows_per_second": .double(speed.rowsPerSecond),
            ]
            print(json.serialized())
        }
    }
}

import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// What a recipe will make and take, measured before it runs: a few real steps on the real data, then thrown away.
public struct TrainingPlan {
    public struct Summary: Codable, Sendable {
        public var layers: [LayerSummary]
        public var parameters: Int
        public var trainRows: Int
        public var validationRows: Int
        public var testRows: Int
        public var stepsPerEpoch: Int
        public var totalSteps: Int
        /// Weights, gradients, optimizer state and held rows.
        public var memoryBytes: Int
        public var rowsPerSecond: Double
        public var estimatedSeconds: Double

        enum CodingKeys: String, CodingKey {
            case layers, parameters, trainRows = "train_rows", validationRows = "validation_rows"
            case testRows = "test_rows", stepsPerEpoch = "steps_per_epoch", totalSteps = "total_steps"
            case memoryBytes = "memory_bytes", rowsPerSecond = "rows_per_second", estimatedSeconds = "estimated_seconds"
        }
    }

    public let summary: Summary

    /// Runs steps for about two seconds on the calling thread, the compute thread.
    public init(recipe: Recipe, data: PreparedData) throws {
        let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
        try network.initialize(seed: UInt64(recipe.training.seed))
        let before = ProcessMemory.residentBytes
        let session = try TrainingSession(recipe, network: network, rows: data.train)
        // The first steps choose kernels and fill caches.
        let warmUp = min(3, session.totalSteps)
        for _ in 0..<warmUp { _ = try session.step() }
        let speed = try TrainingSpeed(session, seconds: 2)
        summary = Summary(
            layers: network.layerSummaries, parameters: network.parameterCount, trainRows: data.train.count,
            validationRows: data.validation.count, testRows: data.test.count, stepsPerEpoch: session.stepsPerEpoch,
            totalSteps: session.totalSteps, memoryBytes: max(ProcessMemory.residentBytes - before, 0),
            rowsPerSecond: speed.rowsPerSecond, estimatedSeconds: Double(session.totalSteps) / speed.stepsPerSecond)
    }
}

/// How fast a session steps.
public struct TrainingSpeed: Sendable {
    public let stepsPerSecond: Double
    public let rowsPerSecond: Double

    /// Steps until `count` steps or `seconds` are over, and at least once. Throws what a step throws.
    public init(_ session: TrainingSession, count: Int = .max, seconds: Double = .infinity) throws {
        let start = ContinuousClock.now
        var steps = 0
        var rows = 0
        var elapsed = 0.0
        repeat {
            rows += try session.step().rows
            steps += 1
            elapsed = start.duration(to: .now).seconds
        } while steps < count && elapsed < seconds
        stepsPerSecond = Double(steps) / elapsed
        rowsPerSecond = Double(rows) / elapsed
    }
}

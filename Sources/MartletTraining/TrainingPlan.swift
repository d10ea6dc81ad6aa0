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
        /// Of a recipe with a `base`.
        public var tuning: Tuning?

        enum CodingKeys: String, CodingKey {
            case layers, parameters, trainRows = "train_rows", validationRows = "validation_rows"
            case testRows = "test_rows", stepsPerEpoch = "steps_per_epoch", totalSteps = "total_steps"
            case memoryBytes = "memory_bytes", rowsPerSecond = "rows_per_second", estimatedSeconds =
                "estimated_seconds", tuning
        }
    }

    public let summary: Summary

    /// Runs steps for about two seconds on the calling thread, the compute thread.
    public init(_ planned: PlannedTraining) throws {
        let session = planned.session
        // The first steps choose kernels and fill caches.
        let warmUp = min(3, session.totalSteps)
        for _ in 0..<warmUp { _ = try session.step() }
        let speed = try TrainingSpeed(session, seconds: 2)
        // Of a base that is trained further, the frozen parts count too.
        let parameters = planned.tuning == nil ? session.objective.module.parameterCount : planned.parameterCount
        summary = Summary(
            layers: planned.layers, parameters: parameters,
            trainRows: planned.rows[.train] ?? 0, validationRows: planned.rows[.validation] ?? 0,
            testRows: planned.rows[.test] ?? 0, stepsPerEpoch: session.stepsPerEpoch, totalSteps: session.totalSteps,
            memoryBytes: max(ProcessMemory.residentBytes - planned.residentBytesBefore, 0),
            rowsPerSecond: speed.rowsPerSecond, estimatedSeconds: Double(session.totalSteps) / speed.stepsPerSecond,
            tuning: planned.tuning)
    }
}

/// A recipe's model and data before the first step.
public struct PlannedTraining {
    public let session: TrainingSession
    let layers: [LayerSummary]
    /// Of a language model these are windows of its context.
    let rows: [Split: Int]
    let residentBytesBefore: Int
    let tuning: TrainingPlan.Tuning?
    /// Of all layers.
    var parameterCount: Int { layers.reduce(0) { $0 + $1.parameterCount } }

    public init(_ recipe: Recipe, _ data: PreparedData) throws {
        residentBytesBefore = ProcessMemory.residentBytes
        let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
        try network.initialize(seed: UInt64(recipe.training.seed))
        session = try TrainingSession(recipe, network: network, rows: data.train)
        layers = network.layerSummaries
        tuning = nil
        rows = [.train: data.train.count, .validation: data.validation.count, .test: data.test.count]
    }

    public init(_ recipe: Recipe, _ config: LanguageModelRecipe, _ texts: LanguageTexts, _ data: TokenData) throws {
        residentBytesBefore = ProcessMemory.residentBytes
        let training = try LanguageTraining(recipe, config, texts, data)
        session = try TrainingSession(training.objective, config: recipe.training)
        layers = training.layerSummaries
        tuning = nil
        rows = Dictionary(
            Split.allCases.map { ($0, max(0, data[$0].count - 1) / config.context) }, uniquingKeysWith: { $1 })
    }

    /// Prepares the data in a folder that must outlive the session, as a job does.
    public init(_ recipe: Recipe, _ sources: ResolvedSources, cacheDirectory: String) throws {
        if let base = recipe.base {
            throw MartletError(
                .unsupportedFormat,
                "the base '\(base)' is needed to measure its training; give its folder with --base", param: "base")
        }
        if let config = recipe.model {
            let (texts, data) = try LanguageTexts.prepare(
                recipe, config, sources: sources, cacheDirectory: cacheDirectory)
            try self.init(recipe, config, texts, data)
        } else {
            try self.init(
                recipe, DataPipeline.prepare(recipe, sources: sources, cacheDirectory: cacheDirectory, fold: nil))
        }
    }

    /// Threads that pay for this model, of those that there are.
    public func threads(of share: Int) -> Int {
        guard let network = session.objective.module as? FeatureNetwork else { return share }
        return TrainJob.threads(for: network, batchSize: session.config.batchSize, share: share)
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

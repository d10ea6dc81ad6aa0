import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import Synchronization
import Testing

/// A worker of fine-tuning jobs: two steps of an epoch, a checkpoint after each, and a whole model or an adapter.
final class FakeTuner: Sendable {
    /// The tasks that were given, and where the next one stops until the test lets it go on.
    private let tasks = Mutex<[TrainTask]>([])
    private let gate = Mutex(true)
    let stepCount: Int

    init(stepCount: Int = 2, isOpen: Bool = true) {
        self.stepCount = stepCount
        gate.withLock { $0 = isOpen }
    }

    var last: TrainTask? { tasks.withLock { $0.last } }
    var count: Int { tasks.withLock { $0.count } }
    func open() { gate.withLock { $0 = true } }

    func tune(_ task: TrainTask, _ connection: FakeConnection, _ started: FakeEngine.Started) async throws {
        tasks.withLock { $0.append(task) }
        while !gate.withLock({ $0 }) {
            guard started.isAlive else { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        let training = try RecipeReader.read(json: task.recipe).recipe.training
        try await connection.request(
            .event(
                JobEvent(
                    key: "hyperparameters", type: "data", message: "3 epochs of 1 step",
                    data: [
                        "n_epochs": task.recipe["training"]?["epochs"] ?? 3, "batch_size": JSON(training.batchSize),
                        "learning_rate_multiplier": 1.5, "learning_rate": 0.001,
                    ])))
        for step in 1...stepCount {
            try await connection.request(
                .event(
                    JobEvent(
                        key: "step-\(step)", type: "metrics", message: "Step \(step)/\(stepCount)",
                        data: [
                            "step": JSON(step), "total_steps": JSON(stepCount), "train_loss": .double(1 / Double(step)),
                            "train_mean_token_accuracy": 0.5, "valid_loss": step == stepCount ? 0.25 : .null,
                        ])))
            let folder = "checkpoint-\(step)"
            try Self.write("\(task.directory)/\(folder)", "\(task.jobID) \(step)", base: task.base)
            for _ in 0..<2 {
                // The second is what a worker says that got no answer.
                try await connection.request(
                    .checkpoint(
                        TunedCheckpoint(step: step, bundle: folder, metrics: ["train_loss": 1 / Double(step)])))
            }
        }
        try Self.write(task.directory + "/bundle", "\(task.jobID) final", base: task.base)
        try await connection.request(
            .finish(
                JobResult(
                    bundle: "bundle", card: ModelCard(), report: [:],
                    usage: .init(cpuSeconds: 1, rows: 2, trainedTokens: 1234))))
        started.kill()
    }

    /// A bundle of an adapter for `base`.
    private static func write(_ folder: String, _ weights: String, base: BaseModel?) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var signature = Signature()
        signature.kind = .language
        var language = LanguageSummary(
            architecture: "llama", parameterCount: 1000, contextLength: 64, vocabularyCount: 100, width: 8,
            layerCount: 1, storedPrecision: "F32", hasChatTemplate: true, generates: true)
        language.base = base.map { .init(reference: $0.reference, contentHash: $0.contentHash) }
        signature.language = language
        let files: [(String, Data)] = [
            (BundleFile.adapterWeights, Data(weights.utf8)), (BundleFile.adapterConfig, Data("{}".utf8)),
            (BundleFile.card, try JSONEncoder.wire.encode(ModelCard())),
            (BundleFile.signature, try JSONEncoder.wire.encode(signature)),
        ]
        for (name, data) in files { try data.write(to: URL(fileURLWithPath: "\(folder)/\(name)")) }
    }
}

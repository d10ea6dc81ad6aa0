import Foundation
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Testing

/// A job whose numbers leave the finite ones ends with the step and the cause.
extension JobTests {
    @Test func `a loss that is no number fails with step and cause and keeps the last finite checkpoint`() throws {
        let job = try Job(
            Self.line,
            ["training.optimizer.learning_rate=1e6", "training.checkpoint={every: 1 steps, keep: 2}"],
            data: ["line.csv": Self.lineTable(scale: 100)])
        let error = try #require(
            expectFault(.diverged, ["step ", "learning_rate", "clip_norm", "last finite checkpoint"]) {
                _ = try job.finish()
            })
        #expect(error.message.contains("1000000"))
        try onCompute {
            let found = try #require(try CheckpointStore(directory: job.directory + "/checkpoints", keep: 2).newest())
            #expect(found.state.step >= 1)
            for (name, tensor) in found.tensors where tensor.scalarType.isFloatingPoint {
                #expect(try tensor.array(of: Float.self).allSatisfy { $0.isFinite }, "\(name)")
            }
        }
        #expect(!FileManager.default.fileExists(atPath: job.bundle))
    }

    @Test func `weights that left the numbers at an epoch's end are told as divergence too`() throws {
        // One step an epoch: the training loss is finite, then the weights are not.
        let job = try Job(
            Self.line, ["training.optimizer.learning_rate=1e38", "training.batch_size=1000"],
            data: ["line.csv": Self.lineTable(scale: 1000)])
        expectFault(.diverged, ["step 1", "learning_rate"]) { _ = try job.finish() }
    }

    @Test(.timeLimit(.minutes(10))) func `a classifier whose weights left the numbers ends too`() throws {
        let text = """
            name: labels
            data: {source: mixed.csv, split: {train: 0.5, validation: 0.5, test: 0, seed: 1}}
            inputs: {a: number, b: number}
            outputs: {label: category}
            combiner: {layers: [16, 16], activation: none}
            training: {epochs: 3, batch_size: 1000, optimizer: {type: sgd, learning_rate: 1e38}}
            """
        let job = try Job(text, data: ["mixed.csv": mixedTable(rows: 60)])
        expectFault(.diverged, ["the loss of the validation rows", "step 1", "learning_rate"]) { _ = try job.finish() }
    }

    @Test func `without validation rows the last step's weights are checked all the same`() throws {
        let job = try Job(
            Self.line,
            [
                "training.optimizer.learning_rate=1e38", "training.batch_size=1000", "training.steps=1",
                "data.split={train: 1, validation: 0, test: 0}",
            ], data: ["line.csv": Self.lineTable(scale: 1000)])
        expectFault(.diverged, ["step 1", "learning_rate"]) { _ = try job.finish() }
        #expect(!FileManager.default.fileExists(atPath: job.bundle))
    }
}

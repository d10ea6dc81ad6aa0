import Foundation
import MartletTesting
import MartletTraining
import MartletWire
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// A job that stops early gives its best epoch's weights, whatever becomes of its checkpoints.
extension JobTests {
    static let overfit = """
        name: overfit
        data:
          source: mixed.csv
          split: {train: 0.1, validation: 0.6, test: 0.3, seed: 3}
        inputs: {a: number, b: number}
        outputs: {y: {type: number, normalize: none}}
        combiner: {layers: [64, 64], activation: tanh}
        training:
          epochs: 400
          batch_size: 4
          optimizer: {type: adam, learning_rate: 0.02}
          early_stopping: {metric: validation.loss, patience: 4}
          checkpoint: {every: 1000 steps, keep: 1}
        evaluation: {require: {r2: ">= 0.1"}}
        """

    @Test func `early stopping gives the best epoch's weights`() throws {
        let told = Told()
        let job = try Job(Self.overfit, data: ["mixed.csv": mixedTable(rows: 120)])
        let card = try job.finish(told)
        let losses = told.events.filter { $0.key.hasPrefix("epoch-") }
            .map { ($0.data["step"]?.int ?? 0, $0.data["validation"]?["loss"]?.double ?? .nan) }
        #expect(losses.count < 400)
        let best = try #require(losses.min { $0.1 < $1.1 })
        #expect(losses.count - 4 == (losses.firstIndex { $0.0 == best.0 } ?? -1) + 1)
        #expect(told.event("best") != nil)
        #expect(card.stepsTrained == best.0)
        #expect(card.metrics["validation"]?["loss"] == best.1)
    }

    @Test(arguments: [0.0, 0.3, 0.8])
    func `early stopping is the same after a kill, whichever checkpoint is left`(left: Double) throws {
        let job = try Job(
            Self.overfit, ["training.checkpoint={every: 1 steps, keep: 1000}"],
            data: ["mixed.csv": mixedTable(rows: 120)])
        let told = Told()
        let card = try job.finish(told)
        let weights = try job.weights
        let checkpoints = job.directory + "/checkpoints"
        let steps = try FileManager.default.contentsOfDirectory(atPath: checkpoints)
            .compactMap { Int($0.dropFirst(5)) }.sorted()
        #expect(steps.count > 8)
        for step in steps.dropFirst(Int(left * Double(steps.count))) {
            try FileManager.default.removeItem(atPath: checkpoints + "/step-\(step)")
        }
        try FileManager.default.removeItem(atPath: job.bundle)
        let again = Told()
        let second = try job.finish(again)
        #expect(again.keys("resumed-").count == (left == 0 ? 0 : 1))
        #expect(try job.weights == weights)
        #expect(second.metrics == card.metrics && second.stepsTrained == card.stepsTrained)
        for event in again.events where event.key.hasPrefix("epoch-") { #expect(told.event(event.key) == event) }
    }

    @Test func `early stopping may watch a metric that should rise, and refuses one that is not measured`() throws {
        let table = ["mixed.csv": mixedTable(rows: 120)]
        let told = Told()
        let card = try Job(Self.overfit, ["training.early_stopping.metric=validation.r2"], data: table).finish(told)
        let scores = told.events.filter { $0.key.hasPrefix("epoch-") }.compactMap {
            $0.data["validation"]?["r2"]?.double
        }
        #expect(card.metrics["validation"]?["r2"] == scores.max())
        expectFault(.invalidRecipe, ["validation.accuracy", "validation.loss"]) {
            _ = try Job(Self.overfit, ["training.early_stopping.metric=validation.accuracy"], data: table).finish()
        }
        expectFault(.invalidRecipe, ["early_stopping", "data.split.validation"]) {
            _ = try Job(Self.overfit, ["data.split={train: 0.7, validation: 0, test: 0.3}"], data: table).finish()
        }
    }

    @Test(arguments: ["flipped", "missing"])
    func `a damaged best checkpoint costs the best weights, not the job`(damage: String) throws {
        let job = try Job(Self.overfit, data: ["mixed.csv": mixedTable(rows: 120)])
        let card = try job.finish()
        let folder = job.directory + "/checkpoints/step-\(card.stepsTrained)"
        if damage == "flipped" {
            try Data("{}".utf8).write(to: URL(filePath: folder + "/manifest.json"))
        } else {
            try FileManager.default.removeItem(atPath: folder)
        }
        try FileManager.default.removeItem(atPath: job.bundle)
        let told = Told()
        let second = try job.finish(told)
        #expect(told.event("best-damaged")?.type == "warning")
        #expect(second.stepsTrained > card.stepsTrained)
    }

    #if os(Linux)
        @Test(.enabled(if: geteuid() == 0, "mounting a small disk takes root"))
        func `a disk that fills during a checkpoint stops the job, which goes on when there is room`() throws {
            let table = ["mixed.csv": mixedTable(rows: 120)]
            let settings = ["training.checkpoint={every: 1 steps, keep: 1000}"]
            let undisturbed = try Job(Self.overfit, settings, data: table)
            let card = try undisturbed.finish()
            let job = try Job(Self.overfit, settings, data: table)
            guard mount("tmpfs", job.directory, "tmpfs", 0, "size=512k") == 0 else { return }
            defer { umount(job.directory) }
            expectFault(.storageFull, ["the disk is full"]) { _ = try job.finish() }
            let left = try FileManager.default.contentsOfDirectory(atPath: job.directory + "/checkpoints")
            #expect(left.count > 1)
            #expect(left.allSatisfy { $0.hasPrefix("step-") })
            guard mount("tmpfs", job.directory, "tmpfs", UInt(MS_REMOUNT), "size=64m") == 0 else { return }
            let told = Told()
            let resumed = try job.finish(told)
            #expect(told.keys("resumed-").count == 1)
            #expect(told.keys("damaged-").isEmpty)
            #expect(resumed.metrics == card.metrics)
            #expect(try job.weights == undisturbed.weights)
        }
    #endif
}

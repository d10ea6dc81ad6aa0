import Foundation
import MartletData
import MartletModels
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Testing

/// Training that was interrupted ends with the same bits as training that was not.
@Suite struct ResumeTests {
    private static let text = """
        name: mixed
        data:
          source: mixed.csv
          split: {train: 0.8, validation: 0.2, test: 0, seed: 3}
          augment: [{noise: {standard_deviation: 0.1}}]
        inputs:
          a: number
          b: number
          color: {type: category, encoder: {type: embedding, embedding_size: 4}}
          note: {type: text, max_length: 6, encoder: {type: lstm, embedding_size: 6, hidden: 8, dropout: 0.2}}
        outputs:
          label: {type: category}
          y: {type: number, weight: 0.5}
        combiner: {layers: [16], activation: relu, dropout: 0.3}
        training:
          steps: 37
          batch_size: 8
          accumulate: 2
          clip_norm: 1.0
          regularization: {l2: 0.001}
          schedule: {type: cosine, warmup_steps: 4}
          seed: 9
        """

    private static let optimizers = [
        "{type: sgd, learning_rate: 0.05}", "{type: sgd, learning_rate: 0.05, momentum: 0.9}",
        "{type: momentum, form: averaged, learning_rate: 0.05, momentum: 0.9}",
        "{type: nesterov, learning_rate: 0.05, momentum: 0.9}", "{type: adagrad, learning_rate: 0.05}",
        "{type: rmsprop, learning_rate: 0.01, momentum: 0.5}", "{type: adam, learning_rate: 0.01}",
        "{type: adamw, learning_rate: 0.01}", "{type: gd, learning_rate: 0.1}",
    ]

    /// The bits of every weight and the losses of the steps.
    private struct End: Equatable, Sendable {
        var weights: [String: [UInt32]]
        var losses: [Double]
    }

    private static func session(_ recipe: Recipe, _ data: PreparedData) throws -> TrainingSession {
        let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
        try network.initialize(seed: UInt64(recipe.training.seed))
        return try TrainingSession(recipe, network: network, rows: data.train)
    }

    private static func end(_ session: TrainingSession, _ losses: [Double]) throws -> End {
        var weights: [String: [UInt32]] = [:]
        for (name, tensor) in session.weights where tensor.scalarType.isFloatingPoint {
            weights[name] = try tensor.array(of: Float.self).map(\.bitPattern)
        }
        return End(weights: weights, losses: losses)
    }

    /// Trains to the end, with the process's memory thrown away after the steps in `stops`.
    private static func train(_ recipe: Recipe, _ data: PreparedData, stops: [Int], in folder: String) throws -> End {
        var session = try session(recipe, data)
        let store = try CheckpointStore(directory: folder, keep: 2)
        var losses: [Double] = []
        while !session.isDone {
            losses.append(try session.step().loss)
            guard stops.contains(session.stepsDone) else { continue }
            let text = """
                {"step":\(session.stepsDone),"lossSum":0,"lossCount":0,"epochsWithoutImprovement":0,"secondsTrained":0,
                 "rowsTrained":0,"environment":{},"recipeHash":""}
                """
            let state = try JSONDecoder().decode(CheckpointState.self, from: Data(text.utf8))
            try store.write(state, tensors: session.checkpointTensors())
            // A few steps that are lost with the process.
            for _ in 0..<2 where !session.isDone { _ = try session.step() }
            session = try Self.session(recipe, data)
            let found = try #require(try store.newest())
            try session.restore(found.tensors, steps: found.state.step)
        }
        return try end(session, losses)
    }

    @Test(arguments: optimizers)
    func `weights and losses are the same bits after stops`(optimizer: String) throws {
        let scratch = try Scratch()
        let recipe = try recipe(Self.text, ["training.optimizer=\(optimizer)"])
        let file = try scratch.write("mixed.csv", mixedTable(rows: 120))
        let data = try scratch.prepare(recipe, [file])
        let (straight, resumed, again) = try onCompute {
            (
                try Self.train(recipe, data, stops: [], in: scratch.path + "/straight"),
                // In an epoch, at its end, and right before the end.
                try Self.train(recipe, data, stops: [5, 12, 36], in: scratch.path + "/resumed"),
                try Self.train(recipe, data, stops: [], in: scratch.path + "/again")
            )
        }
        #expect(straight == again)
        #expect(straight == resumed)
        #expect(Set(straight.losses).count > 30)
    }

    @Test func `another seed gives other bits`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("mixed.csv", mixedTable(rows: 120))
        var ends: [End] = []
        for seed in ["9", "10"] {
            let recipe = try recipe(Self.text, ["training.seed=\(seed)"])
            let data = try scratch.prepare(recipe, [file])
            ends.append(try onCompute { try Self.train(recipe, data, stops: [], in: scratch.path + "/\(seed)") })
        }
        #expect(ends[0] != ends[1])
    }

    @Test func `running averages of a norm go on too`() throws {
        let scratch = try Scratch()
        let pictures = try scratch.images(count: 48, side: 8)
        let recipe = try recipe(
            """
            name: pictures
            data:
              source: pictures
              split: {train: 1, validation: 0, test: 0}
              augment: [{flip: horizontal}, {crop: {padding: 1}}, {rotate: {degrees: 10}}, {cutout: {size: 2}}]
            inputs:
              image: {type: image, encoder: {type: cnn, channels: [4, 6], kernel: 3, pool: [2, 1], norm: batch, dropout: 0.2}}
            outputs: {label: category}
            training: {steps: 14, batch_size: 10, optimizer: {type: adam, learning_rate: 0.01}}
            """)
        let data = try scratch.prepare(recipe, [pictures])
        let (straight, resumed) = try onCompute {
            (
                try Self.train(recipe, data, stops: [], in: scratch.path + "/straight"),
                try Self.train(recipe, data, stops: [3, 10], in: scratch.path + "/resumed")
            )
        }
        #expect(straight == resumed)
        #expect(straight.weights.keys.contains { $0.hasSuffix("running_mean") })
    }

    @Test func `two threads give the same bits every time`() throws {
        let scratch = try Scratch()
        let recipe = try recipe(Self.text, ["training.steps=12", "combiner.layers=[512, 256]"])
        let data = try scratch.prepare(recipe, [try scratch.write("mixed.csv", mixedTable(rows: 400))])
        let ends = try onCompute {
            try Torch.setThreadCount(2)
            return try (0..<3).map {
                try Self.train(recipe, data, stops: $0 == 1 ? [7] : [], in: scratch.path + "/\($0)")
            }
        }
        #expect(ends[0] == ends[1])
        #expect(ends[0] == ends[2])
    }

    @Test(arguments: ["cancel", "pause"])
    func `a job that was stopped goes on to the undisturbed job's model`(how: String) throws {
        let settings = ["training.steps=600", "training.checkpoint={every: 10 steps, keep: 2}", "data.augment=[]"]
        let table = ["mixed.csv": mixedTable(rows: 200)]
        let undisturbed = try Job(Self.text, settings, data: table)
        let told = Told()
        let card = try undisturbed.finish(told)

        let stopped = try Job(Self.text, settings, data: table)
        let first = Told()
        // A cancelled job writes nothing more, like one that is killed.
        let outcome = try stopped.run(first) { $0 == 1 ? (how == "pause" ? .pause : .cancel) : nil }
        switch outcome {
        case .paused: #expect(how == "pause")
        case .cancelled: #expect(how == "cancel")
        case .finished: Issue.record("the job was over before it could be stopped")
        }
        let second = Told()
        let resumedCard = try stopped.finish(second)
        #expect(second.keys("resumed-").count == 1)
        #expect(try undisturbed.weights == stopped.weights)
        #expect(resumedCard.metrics == card.metrics)
        #expect(resumedCard.confusion == card.confusion)
        for event in told.events where event.key.hasPrefix("epoch-") {
            let again = first.event(event.key) ?? second.event(event.key)
            #expect(again == event, "\(event.key)")
        }
        // What both halves told is the same thing under the same key.
        for event in second.events where event.key.hasPrefix("epoch-") {
            if let earlier = first.event(event.key) { #expect(earlier == event) }
        }
    }

    @Test func `a damaged newest checkpoint is told and the one before it is used`() throws {
        let settings = ["training.checkpoint={every: 10 steps, keep: 3}", "training.early_stopping={patience: 100}"]
        let table = ["mixed.csv": mixedTable(rows: 120)]
        let undisturbed = try Job(Self.text, settings, data: table)
        _ = try undisturbed.finish()
        let job = try Job(Self.text, settings, data: table)
        _ = try job.finish()
        let newest = job.directory + "/checkpoints/step-37/tensors.safetensors"
        let file = try #require(FileHandle(forWritingAtPath: newest))
        try file.truncate(atOffset: 100)
        try file.close()
        try FileManager.default.removeItem(atPath: job.bundle)
        let told = Told()
        _ = try job.finish(told)
        #expect(told.event("damaged-step-37")?.type == "warning")
        #expect(told.keys("resumed-").count == 1)
        #expect(try undisturbed.weights == job.weights)
    }

    @Test func `when every checkpoint is damaged the job says so and starts again`() throws {
        let table = ["mixed.csv": mixedTable(rows: 120)]
        let job = try Job(Self.text, ["training.checkpoint={every: 10 steps, keep: 1}"], data: table)
        _ = try job.finish()
        let weights = try job.weights
        try FileManager.default.removeItem(atPath: job.directory + "/checkpoints/step-37/manifest.json")
        let told = Told()
        _ = try job.finish(told)
        #expect(told.event("damaged-step-37")?.type == "warning")
        #expect(told.keys("resumed-").isEmpty)
        #expect(try job.weights == weights)
    }
}

extension Scratch {
    /// Small images with a stripe whose place is the label, as the IDX files of MNIST.
    func images(count: Int, side: Int) throws -> String {
        let folder = path + "/pictures"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        func header(_ sizes: [Int]) -> [UInt8] {
            [0, 0, 8, UInt8(sizes.count)] + sizes.flatMap { [0, 0, UInt8($0 >> 8), UInt8($0 & 255)] }
        }
        var pixels: [UInt8] = []
        var labels: [UInt8] = []
        for index in 0..<count {
            let label = index % 3
            labels.append(UInt8(label))
            for y in 0..<side {
                for x in 0..<side {
                    pixels.append(y % 3 == label ? UInt8(180 + (x * 7 + index * 13) % 70) : UInt8((x + y) % 5))
                }
            }
        }
        try write("pictures/train-images-idx3-ubyte", header([count, side, side]) + pixels)
        try write("pictures/train-labels-idx1-ubyte", header([count]) + labels)
        return folder
    }
}

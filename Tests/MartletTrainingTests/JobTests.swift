import Foundation
import MartletData
import MartletModels
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Testing

/// What a training job does besides training: it stops early, tells divergence, weighs classes, folds, refuses and
/// explains.
@Suite struct JobTests {
    static let line = """
        name: line
        data:
          source: line.csv
          split: {train: 0.5, validation: 0.25, test: 0.25, seed: 1}
        inputs: {x: {type: number, normalize: none}}
        outputs: {y: {type: number, normalize: none}}
        training: {epochs: 5, batch_size: 8, optimizer: {type: sgd, learning_rate: 0.01}}
        """

    static func lineTable(rows: Int = 64, scale: Double = 1) -> String {
        "x,y\n"
            + (0..<rows).map { index in
                let x = Double(index) / Double(rows) - 0.5
                return "\(scale * x),\(scale * (3 * x + 1 + (index % 3 == 0 ? 0.01 : 0)))\n"
            }.joined()
    }

    @Test func `without rows nothing is measured`() throws {
        let job = try Job(
            Self.line, ["data.split={train: 1, validation: 0, test: 0}"], data: ["line.csv": Self.lineTable()])
        let recipe = try recipe(Self.line, ["data.split={train: 1, validation: 0, test: 0}"])
        let data = try job.scratch.prepare(recipe, [try #require(job.data["line.csv"])])
        try onCompute {
            let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
            let evaluator = try Evaluator(
                network: network, outputs: recipe.outputs, preprocessing: data.preprocessing, device: .cpu)
            expectFault(.invalidData, ["no rows to measure on"]) {
                _ = try evaluator.evaluate(data.validation, device: .cpu)
            }
        }
    }

    @Test func `a truth value is measured as it is answered`() throws {
        let table = "x,warm\n" + (0..<60).map { "\($0 - 30),\($0 % 10 < 8 ? $0 >= 30 : $0 < 30)\n" }.joined()
        let card = try Job(
            """
            name: warm
            data: {source: warm.csv, split: {train: 0.5, validation: 0, test: 0.5, seed: 3}}
            inputs: {x: number}
            outputs: {warm: boolean}
            training: {epochs: 20, batch_size: 8, optimizer: {type: adam, learning_rate: 0.1}}
            evaluation: {require: {accuracy: ">= 0.6", roc_auc: ">= 0.5"}}
            """, data: ["warm.csv": table]
        ).finish()
        #expect(card.unmetRequirements == [], "\(card.metrics)")
        #expect(card.confusion["warm.test"]?.labels == ["false", "true"])
        #expect(card.confusion["warm.test"]?.counts.flatMap { $0 }.reduce(0, +) == 30)
    }

    @Test func `checkpoints of another recipe are told and replaced`() throws {
        let table = ["line.csv": Self.lineTable()]
        let job = try Job(Self.line, data: table)
        _ = try job.finish()
        let other = try Job(Self.line, ["training.epochs=3"], data: table)
        _ = try other.finish()
        let weights = try other.weights
        try FileManager.default.removeItem(atPath: other.directory)
        try FileManager.default.copyItem(atPath: job.directory, toPath: other.directory)
        try FileManager.default.removeItem(atPath: other.bundle)
        let told = Told()
        _ = try other.finish(told)
        #expect(told.event("other-recipe")?.type == "warning")
        #expect(try other.weights == weights)
    }

    @Test func `balanced class weights count every class the same`() throws {
        let text = """
            name: rare
            data: {source: rare.csv, split: {train: 1, validation: 0, test: 0, order: sequential}}
            inputs: {x: {type: number, normalize: none}}
            outputs: {label: {type: category, loss: {type: cross_entropy, class_weights: WEIGHTS}}}
            training: {steps: 1, batch_size: 100}
            """
        let scratch = try Scratch()
        let table = "x,label\n" + (0..<100).map { "\($0),\($0 < 90 ? "common" : "rare")\n" }.joined()
        let file = try scratch.write("rare.csv", table)
        var losses: [Double] = []
        for weights in ["none", "balanced"] {
            let recipe = try recipe(text.replacingOccurrences(of: "WEIGHTS", with: weights))
            let data = try scratch.prepare(recipe, [file])
            losses.append(
                try onCompute {
                    let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
                    // Logits of 1 and 0 whatever the row.
                    try network.load([
                        ("decoders.label.weight", Tensor.zeros([2, 1])),
                        ("decoders.label.bias", Tensor([Float(1), 0], shape: [2])),
                    ])
                    return try TrainingSession(recipe, network: network, rows: data.train).step().loss
                })
        }
        let (likely, unlikely) = (log(1 + exp(-1.0)), log(1 + exp(1.0)))
        #expect(isClose(losses[0], 0.9 * likely + 0.1 * unlikely, atol: 0))
        #expect(isClose(losses[1], 0.5 * likely + 0.5 * unlikely, atol: 0))
    }

    @Test func `micro-batches of unequal size give the whole batch's gradient`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("line.csv", Self.lineTable(rows: 26))
        var weights: [[Double]] = []
        for settings in [["training.batch_size=26"], ["training.batch_size=10", "training.accumulate=3"]] {
            let recipe = try recipe(
                Self.line,
                settings + [
                    "data.split={train: 1, validation: 0, test: 0}", "training.shuffle=false", "training.steps=5",
                ])
            let data = try scratch.prepare(recipe, [file])
            weights.append(
                try onCompute {
                    let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
                    try network.initialize(seed: 1)
                    let session = try TrainingSession(recipe, network: network, rows: data.train)
                    #expect(session.stepsPerEpoch == 1)
                    while !session.isDone { #expect(try session.step().rows == 26) }
                    return try session.weights.flatMap { try $0.1.array(of: Double.self) }
                })
        }
        for (whole, parts) in zip(weights[0], weights[1]) { #expect(isClose(whole, parts, atol: 1e-6)) }
    }

    @Test func `each fold is told once, then one model is trained on all rows`() throws {
        let settings = [
            "data.split={folds: 3, seed: 2}", "training.early_stopping={patience: 3}", "training.epochs=6",
            "training.early_stopping.metric=validation.loss",
        ]
        let job = try Job(Self.overfit, settings, data: ["mixed.csv": mixedTable(rows: 60)])
        let told = Told()
        let card = try job.finish(told)
        let folds = told.events.filter { $0.key.hasPrefix("fold-") && $0.data["fold"] != nil }
        #expect(folds.map(\.key) == ["fold-1", "fold-2", "fold-3"])
        let scores = folds.compactMap { $0.data["validation"]?["r2"]?.double }
        #expect(scores.count == 3 && Set(scores).count == 3)
        // The final model has no held-out rows: what the folds measured speaks for it.
        let mean = try #require(card.metrics["folds"]?["r2"])
        #expect(isClose(mean, scores.reduce(0, +) / 3, rtol: 1e-12, atol: 0))
        #expect(card.unmetRequirements == [])
        #expect(told.event("data")?.data["splits"]?["train"]?.int == 60)

        // The same job again does not train the folds again.
        let weights = try job.weights
        try FileManager.default.removeItem(atPath: job.bundle)
        let again = Told()
        let second = try job.finish(again)
        #expect(again.keys("fold-").filter { $0.contains("epoch") }.isEmpty)
        #expect(second.metrics == card.metrics)
        #expect(try job.weights == weights)
    }

    @Test func `a requirement that is missed keeps the model and marks it`() throws {
        let told = Told()
        let job = try Job(
            Self.line,
            ["evaluation.require={mse: \"<= 1e-12\", r2: \">= -1e9\", accuracy: \">= 0.5\"}"],
            data: ["line.csv": Self.lineTable()])
        let card = try job.finish(told)
        #expect(card.unmetRequirements.count == 2)
        #expect(card.unmetRequirements.contains { $0.contains("mse <= 1e-12: it is") })
        #expect(card.unmetRequirements.contains { $0.contains("accuracy") && $0.contains("no metric") })
        #expect(told.events.filter { $0.type == "warning" && $0.message.contains("not deployed") }.count == 2)
        for file in [
            BundleFile.weights, BundleFile.config, BundleFile.preprocessing, BundleFile.signature, BundleFile.card,
        ] {
            #expect(FileManager.default.fileExists(atPath: "\(job.bundle)/\(file)"), "\(file)")
        }
    }

    @Test func `a bundle's model measures the same again`() throws {
        let table = mixedTable(rows: 90)
        let job = try Job(
            """
            name: mixed
            data: {source: mixed.csv, split: {train: 0.7, validation: 0, test: 0.3, order: sequential}}
            inputs: {a: number, b: number, color: category, note: {type: text, max_length: 5}}
            outputs: {label: {type: category}, y: {type: number}}
            training: {epochs: 4, batch_size: 8}
            """, data: ["mixed.csv": table])
        let card = try job.finish()
        let lines = table.split(separator: "\n")
        let held = try job.scratch.write("held.csv", ([lines[0]] + lines[64...]).joined(separator: "\n") + "\n")
        let task = EvaluateTask(
            jobID: "job-2", bundle: job.bundle,
            dataset: DatasetMount(reference: "held.csv", resolved: "held@1", contentHash: "", path: held),
            directory: job.scratch.path + "/evaluate", share: MachineShare(threads: 1))
        let outcome = try onCompute { try EvaluateJob(task, link: Told().link()).run() }
        guard case .finished(let result) = outcome else {
            Issue.record("the evaluation did not finish")
            return
        }
        #expect(result.report["rows"]?.int == 27)
        let wanted = try #require(card.metrics["test"])
        #expect(wanted.count > 10)
        for (name, value) in wanted { #expect(result.report["metrics"]?[name]?.double == value, "\(name)") }
    }

    @Test func `an unknown dataset and device are named`() throws {
        let job = try Job(Self.line, data: [:])
        expectFault(.notFound, ["line.csv", "martlet data add"]) { _ = try job.finish() }
        let task = TrainTask(
            jobID: "1", recipe: job.recipe, datasets: [], directory: job.directory,
            share: MachineShare(threads: 1, device: "toaster"))
        expectFault(.invalidRequest, ["toaster", "cpu"]) { _ = try TrainJob(task, link: Told().link()) }
    }

    @Test func `settings as large as numbers go do not end the process`() throws {
        let table = ["line.csv": Self.lineTable()]
        let largest = "\(Int.max)"
        for settings in [
            ["training.batch_size=\(largest)", "training.accumulate=\(largest)", "training.epochs=2"],
            ["training.schedule={type: cosine, warmup_steps: \(largest)}", "training.epochs=1"],
            [
                "training.checkpoint={every: 1 epoch, keep: \(largest)}",
                "training.early_stopping={patience: \(largest)}",
            ],
        ] {
            _ = try Job(Self.line, settings, data: table).finish()
        }
        for endless in ["training.steps=\(largest)", "training.epochs=\(largest)"] {
            let outcome = try Job(Self.line, [endless], data: table).run(Told()) { $0 == 2 ? .cancel : nil }
            guard case .cancelled = outcome else {
                Issue.record("\(endless) came to an end")
                continue
            }
        }
    }

    @Test func `a model larger than memory is refused, not tried`() throws {
        let job = try Job(
            Self.line, ["combiner.layers=[1000000, 1000000, 1000000]"], data: ["line.csv": Self.lineTable()])
        #expect(throws: (any Error).self) { _ = try job.finish() }
    }

    @Test func `a label that the training rows do not have is named with its row`() throws {
        let text = """
            name: labels
            data: {source: labels.csv, split: {train: 0.5, validation: 0.5, test: 0, order: sequential}}
            inputs: {x: number}
            outputs: {label: category}
            training: {epochs: 1}
            """
        let table = "x,label\n1,a\n2,b\n3,a\n4,b\n5,a\n6,鸟\n7,b\n8,a\n"
        let error = expectFault(.invalidData, ["'label'", "'鸟'"]) {
            _ = try Job(text, data: ["labels.csv": table]).finish()
        }
        #expect(try #require(error).message.contains("labels.csv"))
        #expect(try #require(error).message.contains("line 7"))
    }

    @Test func `a plan tells layers, rows and steps, and changes nothing`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("mixed.csv", mixedTable(rows: 120))
        let recipe = try recipe(Self.overfit, ["data.split={train: 0.5, validation: 0.25, test: 0.25}"])
        let data = try scratch.prepare(recipe, [file])
        let summary = try onCompute { try TrainingPlan(PlannedTraining(recipe, data)).summary }
        #expect(summary.parameters == 2 * 64 + 64 + 64 * 64 + 64 + 64 + 1)
        #expect(summary.parameters == summary.layers.reduce(0) { $0 + $1.parameterCount })
        #expect(summary.layers.map(\.output) == [[-1, 1], [-1, 1], [-1, 64], [-1, 64], [-1, 1]])
        #expect((summary.trainRows, summary.validationRows, summary.testRows) == (60, 30, 30))
        #expect(summary.stepsPerEpoch == 15 && summary.totalSteps == 6000)
        #expect(summary.rowsPerSecond > 0 && summary.estimatedSeconds > 0)
    }

    @Test func `perplexity counts every token once and no padding`() throws {
        // Sequences of very different lengths, more than one batch of them.
        var table = "text,next\n"
        for row in 0..<400 {
            let length = row % 7 == 0 ? 12 : 1 + row % 2
            let walk = (0...length).map { "w\((row * 5 + $0 * $0) % 6)" }
            table += walk.dropLast().joined(separator: " ") + "," + walk.dropFirst().joined(separator: " ") + "\n"
        }
        let scratch = try Scratch()
        let file = try scratch.write("walks.csv", table)
        let recipe = try recipe(
            """
            name: walks
            data: {source: walks.csv, split: {train: 1, validation: 0, test: 0, order: sequential}}
            inputs: {text: {type: sequence, max_length: 12, encoder: {type: gru, embedding_size: 5, hidden: 6, reduce: none}}}
            outputs: {next: {type: sequence, loss: {type: cross_entropy, label_smoothing: 0.2}}}
            training: {epochs: 1}
            """)
        let data = try scratch.prepare(recipe, [file])
        try onCompute {
            let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
            try network.initialize(seed: 3)
            let result = try Evaluator(
                network: network, outputs: recipe.outputs, preprocessing: data.preprocessing, device: .cpu
            ).evaluate(data.train, device: .cpu)
            let all = try data.train.all()
            guard case .ints(let tokens) = all.features[0].values, case .ints(let targets) = all.features[1].values
            else {
                throw MartletError(.internal, "the sequences are no numbers")
            }
            let logits = try network([Tensor(tokens, shape: [400, 12])], .inference())[0].logProbabilities()
            let classes = logits.count / (400 * 12)
            var sum = 0.0
            var count = 0
            for (place, target) in targets.enumerated() where target >= 0 {
                sum -= logits[place * classes + Int(target)]
                count += 1
            }
            let perplexity = try #require(result.metrics["perplexity"])
            #expect(count < 400 * 12)
            #expect(isClose(perplexity, exp(sum / Double(count)), atol: 0))
            #expect(isClose(try #require(result.metrics["loss"]), sum / Double(count), atol: 0))
        }
    }
}

extension Tensor {
    /// log softmax over the last axis.
    fileprivate func logProbabilities() throws -> [Double] {
        try softmax(-1).array(of: Double.self).map { Foundation.log($0) }
    }
}

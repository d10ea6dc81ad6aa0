import Foundation
import MartletData
import MartletModels
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Testing

/// A step in parts is the step in one, whatever the lengths of what is in the parts.
@Suite struct AccumulationTests {
    private static func text(_ more: String) -> String {
        """
        name: tags
        data: {source: tags.csv, split: {train: 1, validation: 0, test: 0, order: sequential}}
        inputs: {text: {type: sequence, max_length: 12, encoder: {type: gru, embedding_size: 5, hidden: 6, reduce: none}}}
        outputs:
          tags: {type: sequence, loss: {type: cross_entropy, class_weights: WEIGHTS, label_smoothing: 0.1}}
        training: {shuffle: false, seed: 4, optimizer: {type: sgd, learning_rate: 0.5}\(more)}
        """
    }

    /// Rows of 0 to 12 labels, the long ones last, so that parts of four rows have very different counts of them.
    private static func table(_ lengths: [Int]) -> String {
        "text,tags\n"
            + lengths.enumerated().map { row, length in
                let words = (0..<length).map { "w\((row * 3 + $0) % 7)" }.joined(separator: " ")
                let tags = (0..<length).map { ($0 * $0 + row) % 5 == 0 ? "rare" : "usual" }.joined(separator: " ")
                return words.isEmpty ? "\" \",\" \"\n" : "\(words),\(tags)\n"
            }.joined()
    }

    /// The losses of the steps and the weights after them.
    private static func train(_ recipe: Recipe, _ data: PreparedData) throws -> (losses: [Double], weights: [Double]) {
        try onCompute {
            let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
            try network.initialize(seed: 1)
            let session = try TrainingSession(recipe, network: network, rows: data.train)
            var losses: [Double] = []
            while !session.isDone { losses.append(try session.step().loss) }
            return (losses, try session.weights.flatMap { try $0.1.array(of: Double.self) })
        }
    }

    @Test(arguments: ["none", "balanced"])
    func `labels weigh the same in a small part and a large one`(_ weights: String) throws {
        let scratch = try Scratch()
        let file = try scratch.write("tags.csv", Self.table([1, 1, 2, 1, 3, 2, 1, 12, 12, 11, 12, 12]))
        func end(_ more: String) throws -> (losses: [Double], weights: [Double]) {
            let text = Self.text(", steps: 4" + more).replacingOccurrences(of: "WEIGHTS", with: weights)
            let recipe = try recipe(text)
            return try Self.train(recipe, try scratch.prepare(recipe, [file]))
        }
        let whole = try end(", batch_size: 12"), parts = try end(", batch_size: 4, accumulate: 3")
        #expect(whole.losses.count == 4 && parts.losses.count == 4)
        for (left, right) in zip(whole.losses + whole.weights, parts.losses + parts.weights) {
            #expect(isClose(left, right, atol: 1e-6))
        }
    }

    @Test func `a step without a label changes nothing, and one that has some in a part learns from these`() throws {
        let scratch = try Scratch()
        func end(_ lengths: [Int], _ more: String) throws -> (losses: [Double], weights: [Double]) {
            let recipe = try recipe(
                Self.text(more).replacingOccurrences(of: "WEIGHTS", with: "none"))
            let file = try scratch.write("tags.csv", Self.table(lengths))
            return try Self.train(recipe, try scratch.prepare(recipe, [file]))
        }
        // The second step's rows are empty.
        let first = try end([3, 2, 0, 0, 4, 5], ", batch_size: 2, steps: 1")
        let second = try end([3, 2, 0, 0, 4, 5], ", batch_size: 2, steps: 2")
        #expect(second.losses == first.losses + [0] && second.weights == first.weights)
        #expect(try end([3, 2, 0, 0, 4, 5], ", batch_size: 2, steps: 3").weights != first.weights)
        // Parts without labels beside one that has some.
        let parts = try end([0, 0, 3, 2, 0, 0], ", batch_size: 2, accumulate: 3, steps: 2")
        let whole = try end([0, 0, 3, 2, 0, 0], ", batch_size: 6, steps: 2")
        for (left, right) in zip(whole.losses + whole.weights, parts.losses + parts.weights) {
            #expect(isClose(left, right, atol: 1e-6))
        }
    }

    @Test func `a step without a label is told, and data without any is refused`() throws {
        func job(_ lengths: [Int]) throws -> Job {
            let text = Self.text(", batch_size: 2, epochs: 2").replacingOccurrences(of: "WEIGHTS", with: "none")
            return try Job(text, data: ["tags.csv": Self.table(lengths)])
        }
        let told = Told()
        _ = try job([3, 2, 0, 0, 4, 5]).finish(told)
        let warnings = told.events.filter { $0.type == "warning" }
        #expect(warnings.count == 1 && warnings[0].message.contains("step 2 have no label"), "\(warnings)")
        expectFault(.invalidData, ["'tags'", "no label in any training row"]) { _ = try job([0, 0, 0, 0]).finish() }
    }

    /// A job over rows of these lengths, with parts of their own.
    private static func job(train: [Int], validation: [Int], test: [Int] = [1, 2]) throws -> Job {
        let text = Self.text(", batch_size: 2, epochs: 3, early_stopping: {metric: validation.loss, patience: 2}")
            .replacingOccurrences(of: "WEIGHTS", with: "none")
            .replacingOccurrences(
                of: "{source: tags.csv, split: {train: 1, validation: 0, test: 0, order: sequential}}",
                with: "{source: {train: [train.csv], validation: [validation.csv], test: [test.csv]}}")
        return try Job(
            text,
            data: ["train.csv": table(train), "validation.csv": table(validation), "test.csv": table(test)])
    }

    @Test func `held-out rows without a label count in no mean, and without any there is nothing to measure`() throws {
        func curve(_ validation: [Int]) throws -> [JSON] {
            let told = Told()
            let card = try Self.job(train: [3, 2, 4, 5], validation: validation).finish(told)
            let epochs = told.events.filter { $0.key.hasPrefix("epoch-") }.compactMap { $0.data["validation"] }
            #expect(!epochs.isEmpty && card.metrics["validation"]?["loss"] ?? 0 > 0)
            return epochs
        }
        let (some, all) = (try curve([3, 1, 0, 0]), try curve([3, 1]))
        #expect(some == all)
        expectFault(.invalidData, ["the validation rows", "'tags'", "rows with labels"]) {
            _ = try Self.job(train: [3, 2, 4, 5], validation: [0, 0]).finish()
        }
        let told = Told()
        expectFault(.invalidData, ["the test rows", "'tags'"]) {
            _ = try Self.job(train: [3, 2, 4, 5], validation: [2, 1], test: [0]).finish(told)
        }
        #expect(told.keys("epoch-").isEmpty, "it is refused before the training, and not after it")
    }

    @Test func `a model is not measured on rows that have no label`() throws {
        let scratch = try Scratch()
        let recipe = try recipe(Self.text(", batch_size: 2").replacingOccurrences(of: "WEIGHTS", with: "none"))
        let data = try scratch.prepare(recipe, [scratch.write("tags.csv", Self.table([3, 2, 0, 0]))])
        let other = try scratch.write("other.csv", Self.table([0, 0]))
        let rows = try DataPipeline.encode(
            paths: [other], csv: recipe.data.csv, preprocessing: data.preprocessing,
            cacheDirectory: scratch.path + "/other"
        ).rows
        expectFault(.invalidData, ["'tags'", "nothing can be measured"]) {
            try onCompute {
                let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
                try network.initialize(seed: 1)
                _ = try Evaluator(
                    network: network, outputs: recipe.outputs, preprocessing: data.preprocessing, device: .cpu
                ).evaluate(rows, device: .cpu)
            }
        }
    }

    @Test func `a batch's accuracy is that of its labels`() throws {
        let scratch = try Scratch()
        func accuracy(_ lengths: [Int]) throws -> Double? {
            let recipe = try recipe(Self.text(", batch_size: 8").replacingOccurrences(of: "WEIGHTS", with: "none"))
            let data = try scratch.prepare(recipe, [scratch.write("tags.csv", Self.table(lengths))])
            return try onCompute {
                let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
                try network.initialize(seed: 1)
                let session = try TrainingSession(recipe, network: network, rows: data.train)
                _ = try session.step()
                return session.objective.batchAccuracy
            }
        }
        let full = try #require(try accuracy([5, 4]))
        #expect(full > 0 && full * 9 == (full * 9).rounded())
        #expect(try accuracy([5, 4, 0, 0, 0]) == full)
    }

    @Test func `an adapter's step in parts has the loss of all its tokens`() throws {
        func curve(_ more: String) throws -> [Double] {
            let lines = [1, 2, 30, 3, 25, 1, 18, 2].map { count in
                let answer = (0..<count).map { "w\($0 % 9)" }.joined(separator: " ")
                return
                    #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "\#(answer)"}]}"#
            }
            let test = try TuningTest(
                """
                name: t
                base: tiny
                adapter: {type: lora, rank: 4}
                tuning: supervised
                data: {source: {train: [lines.jsonl]}}
                training: {seed: 3, epochs: 4, shuffle: false, optimizer: {type: sgd, learning_rate: 0.5}\(more)}
                """, ["lines.jsonl": lines.joined(separator: "\n")])
            let told = Told()
            _ = try test.finish(told)
            return TuningTest.curve(told, "train_loss")
        }
        let whole = try curve(", batch_size: 8"), parts = try curve(", batch_size: 2, accumulate: 4")
        #expect(whole.count == 4 && parts.count == 4)
        for (left, right) in zip(whole, parts) { #expect(isClose(left, right, atol: 1e-5)) }
    }
}

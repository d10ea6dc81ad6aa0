import MartletTraining
import MartletWire
import Testing

/// Metrics against scikit-learn.
@Suite struct MetricsTests {
    struct Golden: Decodable {
        struct Classification: Decodable {
            var name: String
            var classes: Int
            var truth: [Int64]
            var scores: [Float]
            var confusion: [[Int]]
            var values: [String: Double]
        }
        struct Regression: Decodable {
            var name: String
            var width: Int
            var targets: [Double]
            var predictions: [Double]
            var values: [String: Double]
        }
        var classification: [Classification]
        var regression: [Regression]
    }

    @Test func `classification agrees with scikit-learn, with ties and absent classes`() throws {
        let cases = try golden("metrics.json", as: Golden.self).classification
        #expect(cases.count == 6)
        for item in cases {
            var metrics = ClassificationMetrics(labels: (0..<item.classes).map(String.init))
            // In three parts, as batches come.
            let cut = item.truth.count / 3
            for range in [0..<cut, cut..<2 * cut, 2 * cut..<item.truth.count] {
                metrics.add(
                    probabilities: Array(
                        item.scores[range.lowerBound * item.classes..<range.upperBound * item.classes]),
                    targets: Array(item.truth[range]))
            }
            #expect(metrics.confusion?.counts == item.confusion, "\(item.name)")
            #expect(Set(metrics.values.keys) == Set(item.values.keys), "\(item.name)")
            for (name, wanted) in item.values {
                let value = metrics.values[name] ?? .nan
                #expect(
                    isClose(value, wanted, rtol: 0, atol: 1e-12), "\(item.name): \(name) is \(value), not \(wanted)")
            }
        }
    }

    @Test(.timeLimit(.minutes(10))) func `scores that are no numbers have no ROC-AUC`() {
        var metrics = ClassificationMetrics(labels: ["a", "b", "c"])
        metrics.add(probabilities: [0.1, .nan, 0.9, .nan, .nan, .nan, 0.5, 0.2, 0.3], targets: [2, 1, 0])
        #expect(metrics.values["roc_auc"] == nil)
        #expect(metrics.values["accuracy"] != nil)
    }

    /// A matrix of them would take 80 GB.
    @Test func `a hundred thousand labels are measured without a matrix`() {
        let labels = (0..<100_000).map(String.init)
        var metrics = ClassificationMetrics(labels: labels)
        for target in [5, 99_999] {
            var scores = [Float](repeating: 0, count: labels.count)
            scores[5] = 1
            metrics.add(probabilities: scores, targets: [Int64(target)])
        }
        #expect(metrics.confusion == nil)
        #expect(metrics.values["accuracy"] == 0.5 && metrics.values["recall_macro"] == 0.5)
    }

    @Test func `a target below zero does not count`() {
        var metrics = ClassificationMetrics(labels: ["a", "b"])
        metrics.add(probabilities: [0.9, 0.1, 0.9, 0.1, 0.2, 0.8], targets: [0, -1, 1])
        #expect(metrics.confusion?.counts == [[1, 0], [0, 1]])
        #expect(metrics.values["accuracy"] == 1)
        #expect(ClassificationMetrics(labels: ["a", "b"]).values.isEmpty)
    }

    @Test func `regression agrees with scikit-learn, of numbers and of vectors`() throws {
        let cases = try golden("metrics.json", as: Golden.self).regression
        #expect(cases.map(\.width) == [1, 3])
        for item in cases {
            var metrics = RegressionMetrics(width: item.width)
            metrics.add(predictions: Array(item.predictions[..<30]), targets: Array(item.targets[..<30]))
            metrics.add(predictions: Array(item.predictions[30...]), targets: Array(item.targets[30...]))
            #expect(Set(metrics.values.keys) == Set(item.values.keys))
            for (name, wanted) in item.values {
                #expect(isClose(metrics.values[name] ?? .nan, wanted, rtol: 1e-12, atol: 0), "\(item.name): \(name)")
            }
        }
    }

    @Test func `R² of targets that are all equal is left out, not a division by zero`() {
        var metrics = RegressionMetrics()
        metrics.add(predictions: [1, 2], targets: [3, 3])
        #expect(metrics.values["r2"] == nil)
        #expect(metrics.values["mae"] == 1.5)
    }
}

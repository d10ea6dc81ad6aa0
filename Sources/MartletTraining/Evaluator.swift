import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// Measures a network on rows that it does not learn from.
public struct Evaluator {
    public struct Result: Sendable {
        /// Metric → value; with several outputs, `output.metric`. Always has `loss`.
        public var metrics: [String: Double]
        /// Output → confusion matrix.
        public var confusion: [String: ConfusionMatrix]
    }

    private let network: FeatureNetwork
    private let outputs: [OutputConfig]
    private let preprocessing: Preprocessing
    private let losses: [OutputLoss]
    private static let batchSize = 256

    public init(network: FeatureNetwork, outputs: [OutputConfig], preprocessing: Preprocessing, device: Device) throws {
        self.network = network
        self.outputs = outputs
        self.preprocessing = preprocessing
        // Class weights, smoothing and an output's weight steer training; what is reported of each output is plain.
        losses = try outputs.map { output in
            var plain = output
            plain.loss?.classWeights = .none
            plain.loss?.labelSmoothing = 0
            plain.weight = 1
            return try OutputLoss(plain, classCounts: [], device: device)
        }
    }

    /// Throws `invalidData` where some output has a label in no row, with the output's name: a mean over none is no measure.
    static func checkLabels(of outputs: [OutputConfig], in rows: EncodedRows, _ what: String) throws {
        guard rows.count > 0 else { return }
        // Other outputs have a value in each row.
        for output in outputs where output.type == .sequence {
            let hasLabel = try (0..<rows.count).contains { row in
                try rows.batch(rows: [row]).features.contains { layout, values in
                    guard layout.role == .target, layout.name == output.name, case .ints(let labels) = values else {
                        return false
                    }
                    return labels.contains { $0 >= 0 }
                }
            }
            guard hasLabel else { throw withoutLabels(output, what) }
        }
    }

    private static func withoutLabels(_ output: OutputConfig, _ what: String) -> MartletError {
        MartletError(
            .invalidData,
            "\(what) have no label of '\(output.name)', so nothing can be measured; give rows with labels",
            param: output.name)
    }

    /// Rows without a label count in no mean. Throws `invalidData` where there are no rows, or none has a label of some
    /// output.
    public func evaluate(_ encoded: EncodedRows, device: Device, progress: (Int) throws -> Void = { _ in }) throws
        -> Result
    {
        guard encoded.count > 0 else {
            throw MartletError(.invalidData, "there are no rows to measure on; give some")
        }
        let rows = try RowTensors(encoded, device: device)
        try rows.setOrder(nil)
        var classes: [Int: ClassificationMetrics] = [:]
        var numbers: [Int: RegressionMetrics] = [:]
        // Rows, or of a sequence its tokens without padding.
        var counts = [Int](repeating: 0, count: outputs.count)
        var lossSums = [Double](repeating: 0, count: outputs.count)
        for start in stride(from: 0, to: rows.count, by: Self.batchSize) {
            let range = start..<min(start + Self.batchSize, rows.count)
            try Tensor.inference {
                let batch = try rows.batch(range, step: 0)
                let results = try network(batch.inputs, .inference())
                for (index, output) in outputs.enumerated() {
                    let counted = try add(
                        output, results[index], batch.targets[index], &classes[index], &numbers[index])
                    guard counted > 0 else { continue }
                    let loss = try losses[index](results[index], batch.targets[index]).item()
                    counts[index] += counted
                    lossSums[index] += loss * Double(counted)
                }
            }
            try progress(range.upperBound)
        }
        for (output, count) in zip(outputs, counts) where count == 0 {
            throw Self.withoutLabels(output, "the rows to measure on")
        }
        let means = zip(lossSums, counts).map { $0 / Double($1) }
        var metrics = ["loss": zip(means, outputs).reduce(0) { $0 + $1.0 * $1.1.weight }]
        var confusion: [String: ConfusionMatrix] = [:]
        for (index, output) in outputs.enumerated() {
            var values = classes[index]?.values ?? numbers[index]?.values ?? [:]
            if output.type == .sequence { values["perplexity"] = exp(means[index]) }
            if outputs.count > 1 { values["loss"] = means[index] }
            for (name, value) in values {
                metrics[outputs.count > 1 ? "\(output.name).\(name)" : name] = value
            }
            confusion[output.name] = classes[index]?.confusion
        }
        return Result(metrics: metrics, confusion: confusion)
    }

    /// Counts a batch. Returns how many targets it has.
    private func add(
        _ output: OutputConfig, _ result: Tensor, _ target: Tensor, _ classes: inout ClassificationMetrics?,
        _ numbers: inout RegressionMetrics?
    ) throws -> Int {
        switch output.type {
        case .category, .sequence, .text:
            let labels = preprocessing.labels(of: output.name)
            if classes == nil { classes = ClassificationMetrics(labels: labels) }
            let targets = try target.array(of: Int64.self)
            classes?.add(probabilities: try result.softmax(-1).array(of: Float.self), targets: targets)
            return targets.count { $0 >= 0 }
        case .boolean:
            if classes == nil { classes = ClassificationMetrics(labels: ["false", "true"]) }
            let positive = try result.sigmoid().array(of: Float.self)
            classes?.add(
                // Answers say true from one half on.
                probabilities: positive.flatMap { [$0 < 0.5 ? 1 - $0 : min(1 - $0, $0.nextDown), $0] },
                targets: try target.array(of: Float.self).map { $0 > 0.5 ? 1 : 0 })
        case .number, .vector:
            if numbers == nil { numbers = RegressionMetrics(width: target.rank > 1 ? target.size(1) : 1) }
            numbers?.add(
                predictions: preprocessing.original(output.name, try result.array(of: Float.self)),
                targets: preprocessing.original(output.name, try target.array(of: Float.self)))
        }
        return target.size(0)
    }
}

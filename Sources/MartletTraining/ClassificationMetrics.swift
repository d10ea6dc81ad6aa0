import MartletWire

/// Counts true against predicted labels, and keeps the scores that ROC-AUC needs.
///
/// Definitions are scikit-learn's: a class that is never predicted has precision 0, macro averages run over the classes
/// that occur in the truth or the predictions, ROC-AUC of more than two classes is one-against-rest, macro.
public struct ClassificationMetrics {
    public let labels: [String]
    /// Row-major, true label by predicted label; empty where the labels are too many for a matrix.
    private var counts: [Int]
    /// By label: rows that were predicted right, that have it, and that were predicted to.
    private var hits: [Int]
    private var present: [Int]
    private var predicted: [Int]
    private var scores: [Float] = []
    private var truths: [Int32] = []
    private var keepsScores = true
    /// The most scores that are kept; beyond it ROC-AUC is left out.
    private static let scoreLimit = 40_000_000
    /// The most labels of a confusion matrix.
    private static let confusionLimit = 1_000

    public init(labels: [String]) {
        self.labels = labels
        let classCount = labels.count
        counts = [Int](repeating: 0, count: classCount <= Self.confusionLimit ? classCount * classCount : 0)
        hits = [Int](repeating: 0, count: classCount)
        present = hits
        predicted = hits
    }

    /// Adds rows: `probabilities` is [rows, classes] row-major, `targets` the true classes; negative targets are skipped.
    public mutating func add(probabilities: [Float], targets: [Int64]) {
        let classCount = labels.count
        if scores.count + probabilities.count > Self.scoreLimit {
            keepsScores = false
            scores = []
            truths = []
        }
        for (row, target) in targets.enumerated() where target >= 0 {
            let start = row * classCount
            var best = 0
            for index in 1..<max(classCount, 1) where probabilities[start + index] > probabilities[start + best] {
                best = index
            }
            if !counts.isEmpty { counts[Int(target) * classCount + best] += 1 }
            if best == Int(target) { hits[best] += 1 }
            present[Int(target)] += 1
            predicted[best] += 1
            if keepsScores {
                scores.append(contentsOf: probabilities[start..<start + classCount])
                truths.append(Int32(target))
            }
        }
    }

    /// nil where the labels are more than 1,000.
    public var confusion: ConfusionMatrix? {
        let classCount = labels.count
        guard !counts.isEmpty else { return nil }
        return ConfusionMatrix(
            labels: labels, counts: (0..<classCount).map { Array(counts[$0 * classCount..<($0 + 1) * classCount]) })
    }

    /// accuracy, precision, recall and F1 (macro, micro, weighted) and, where scores were kept, roc_auc.
    public var values: [String: Double] {
        let classCount = labels.count
        let total = present.reduce(0, +)
        guard total > 0 else { return [:] }
        let correct = hits.reduce(0, +)
        var sums = (precision: 0.0, recall: 0.0, f1: 0.0)
        var weighted = (precision: 0.0, recall: 0.0, f1: 0.0)
        var occurring = 0
        for index in 0..<classCount {
            let (hits, truths, predicted) = (hits[index], present[index], predicted[index])
            guard truths + predicted > 0 else { continue }
            occurring += 1
            let precision = predicted > 0 ? Double(hits) / Double(predicted) : 0
            let recall = truths > 0 ? Double(hits) / Double(truths) : 0
            let f1 = 2 * Double(hits) / Double(truths + predicted)
            sums = (sums.precision + precision, sums.recall + recall, sums.f1 + f1)
            let weight = Double(truths) / Double(total)
            weighted = (
                weighted.precision + weight * precision, weighted.recall + weight * recall, weighted.f1 + weight * f1
            )
        }
        let accuracy = Double(correct) / Double(total)
        let classes = Double(max(occurring, 1))
        var values = [
            "accuracy": accuracy,
            "precision_macro": sums.precision / classes, "recall_macro": sums.recall / classes,
            "f1_macro": sums.f1 / classes,
            // Each row has one label, so the micro averages are the accuracy.
            "precision_micro": accuracy, "recall_micro": accuracy, "f1_micro": accuracy,
            "precision_weighted": weighted.precision, "recall_weighted": weighted.recall, "f1_weighted": weighted.f1,
        ]
        if let area = rocAUC { values["roc_auc"] = area }
        return values
    }

    private var rocAUC: Double? {
        let classCount = labels.count
        guard keepsScores, !truths.isEmpty, classCount >= 2 else { return nil }
        let classes = classCount == 2 ? [1] : Array(0..<classCount)
        var sum = 0.0
        var used = 0
        for index in classes {
            guard let area = areaUnderCurve(of: index) else { continue }
            sum += area
            used += 1
        }
        return used == classes.count ? sum / Double(used) : nil
    }

    /// The Mann–Whitney statistic with average ranks for ties; nil where the class is absent or the only one, or a score is
    /// no number and so has no rank.
    private func areaUnderCurve(of label: Int) -> Double? {
        let classCount = labels.count
        guard truths.indices.allSatisfy({ !scores[$0 * classCount + label].isNaN }) else { return nil }
        let order = truths.indices.sorted { scores[$0 * classCount + label] < scores[$1 * classCount + label] }
        var rankSum = 0.0
        var positives = 0
        var start = 0
        while start < order.count {
            var end = start
            let score = scores[order[start] * classCount + label]
            while end < order.count, scores[order[end] * classCount + label] == score { end += 1 }
            let rank = Double(start + 1 + end) / 2
            for position in start..<end where truths[order[position]] == label {
                rankSum += rank
                positives += 1
            }
            start = end
        }
        let negatives = order.count - positives
        guard positives > 0, negatives > 0 else { return nil }
        return (rankSum - Double(positives) * Double(positives + 1) / 2) / (Double(positives) * Double(negatives))
    }
}

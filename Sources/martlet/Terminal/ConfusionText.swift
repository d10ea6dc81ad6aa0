import MartletWire

/// A confusion matrix as text: true labels down, predicted labels across.
enum ConfusionText {
    static let columnLimit = 20

    static func of(_ matrix: ConfusionMatrix) -> String {
        let shown = matrix.labels.prefix(columnLimit)
        var table = Table(["true \\ predicted"] + shown.map { ">" + clipped($0) } + [">recall"])
        for (row, label) in shown.enumerated() where row < matrix.counts.count {
            let counts = matrix.counts[row]
            let total = counts.reduce(0, +)
            let hits = row < counts.count ? counts[row] : 0
            table.add(
                [clipped(label)] + counts.prefix(columnLimit).map { $0 == 0 ? "·" : String($0) }
                    + [total == 0 ? "" : Format.number(Double(hits) / Double(total))])
        }
        let rest = matrix.labels.count - shown.count
        return table.text + (rest > 0 ? "\n… and \(rest) more labels" : "")
    }

    private static func clipped(_ label: String) -> String {
        label.count > 14 ? label.prefix(13) + "…" : label
    }
}

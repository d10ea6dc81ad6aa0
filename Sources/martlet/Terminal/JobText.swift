import Foundation
import MartletWire

/// Jobs, their events and their results as text.
enum JobText {
    static func whole(_ job: JobInfo) -> String {
        var table = Table(["", ""])
        table.add(["id", job.id])
        table.add(["kind", job.kind.rawValue])
        table.add(["name", job.name])
        table.add(["state", job.state.rawValue])
        table.add(["made", Format.time(job.createdAt)])
        if let time = job.startedAt { table.add(["started", Format.time(time)]) }
        if let time = job.finishedAt { table.add(["ended", Format.time(time)]) }
        table.add(["attempts", String(job.attempts)])
        if let model = job.model { table.add(["model", model]) }
        if let name = job.deployment { table.add(["deployment", name]) }
        if let error = job.error { table.add(["error", error.message]) }
        if job.state == .paused { table.add(["go on", "martlet jobs resume \(job.id)"]) }
        var text = table.text
        if let progress = job.progress, !job.state.isFinal {
            text += "\n" + ProgressBar.line(progress, width: 200, hasBar: false)
        }
        if let result = job.result {
            let report = report(result)
            if !report.isEmpty { text += "\n\n" + report }
        }
        return text
    }

    static func progress(_ job: JobInfo) -> String {
        guard !job.state.isFinal, let progress = job.progress else { return "" }
        guard progress.totalSteps > 0 else { return progress.phase }
        return "\(progress.phase) \(100 * progress.step / progress.totalSteps) %"
    }

    static func event(_ info: JobEventInfo) -> String {
        let mark = info.event.level == "info" ? "" : info.event.level + ": "
        return Format.time(info.createdAt) + "  " + mark + info.event.message
    }

    /// An evaluation's metrics and confusion matrices.
    static func report(_ report: JSON) -> String {
        let metrics = try? report["metrics"]?.decode([String: [String: Double]].self)
        let flat = try? report["metrics"]?.decode([String: Double].self)
        let confusion = try? report["confusion"]?.decode([String: ConfusionMatrix].self)
        let table = Self.metrics(metrics ?? flat.map { ["": $0] } ?? [:], confusion ?? [:])
        guard let tokens = report["tokens"]?.int, let texts = report["texts"]?.int else { return table }
        let precision = report["precision"]?.string.map { ", in \($0)" } ?? ""
        return table + "\n\n\(Format.count(tokens, "token")) of \(Format.count(texts, "text"))\(precision)"
    }

    /// Splits across, metrics down, then each confusion matrix.
    static func metrics(_ metrics: [String: [String: Double]], _ confusion: [String: ConfusionMatrix]) -> String {
        var parts: [String] = []
        let order = ["train", "validation", "test"]
        let splits = metrics.keys.sorted {
            (order.firstIndex(of: $0) ?? order.count, $0) < (order.firstIndex(of: $1) ?? order.count, $1)
        }
        let names = Set(metrics.values.flatMap(\.keys)).sorted()
        if !names.isEmpty {
            var table = Table(["METRIC"] + splits.map { ">" + $0.uppercased() })
            for name in names {
                table.add([name] + splits.map { metrics[$0]?[name].map(Format.number) ?? "" })
            }
            parts.append(table.text)
        }
        for (name, matrix) in confusion.sorted(by: { $0.key < $1.key }) {
            parts.append("confusion of \(name)\n" + ConfusionText.of(matrix))
        }
        return parts.joined(separator: "\n\n")
    }
}

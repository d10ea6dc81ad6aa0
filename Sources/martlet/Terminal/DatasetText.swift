import MartletWire

/// A dataset as text: what is in it, and for each column its range or categories with a small histogram.
enum DatasetText {
    static func summary(_ info: DatasetInfo) -> String {
        var line =
            "\(info.name)@\(info.version)  \(Format.count(info.files.count, "file")), \(Format.bytes(info.byteCount))"
        if let rows = info.profile?["rows"]?.int { line += ", \(Format.count(rows)) rows" }
        return line + "  hash \(Format.short(hash: info.contentHash))"
    }

    /// What was added, and what a person should know of it.
    static func added(_ info: DatasetInfo) -> String {
        ([summary(info)] + warnings(info.profile ?? .null)).joined(separator: "\n")
    }

    private static func warnings(_ profile: JSON) -> [String] {
        (profile["warnings"]?.array ?? []).map { "warning: \(Format.cell($0["message"] ?? $0))" }
    }

    static func whole(_ info: DatasetInfo) -> String {
        var parts = [summary(info)]
        guard let profile = info.profile else {
            return parts[0] + "\nnot described yet" + (info.profileJob.map { " (job \($0))" } ?? "")
        }
        let facts = (profile.object ?? [:]).filter { !["columns", "rows"].contains($0.key) }
        parts += facts.filter { $0.value.array == nil && $0.value.object == nil }
            .map { "\($0.key): \(Format.cell($0.value))" }
        for (key, value) in facts {
            guard let nested = value.object, nested.count > 0 else { continue }
            parts.append(key + ": " + nested.map { "\($0.key) \(Format.cell($0.value))" }.joined(separator: ", "))
        }
        for source in profile["sources"]?.array ?? [] { parts.append(Self.source(source)) }
        parts += warnings(profile)
        if let columns = profile["columns"]?.array, !columns.isEmpty { parts.append(Self.columns(columns)) }
        return parts.joined(separator: "\n")
    }

    /// `train.csv: csv, 150 rows, encoding utf-8, delimiter ,`.
    private static func source(_ source: JSON) -> String {
        var facts = [Format.cell(source["format"]), "\(Format.cell(source["rows"])) rows"]
        if let split = source["split"], !split.isNull { facts.append("split \(Format.cell(split))") }
        for key in ["encoding", "delimiter", "decimal", "thousands", "header", "missing"] {
            guard let value = source["dialect"]?[key], !value.isNull else { continue }
            facts.append(
                "\(key) \(value.array.map { $0.map { Format.cell($0) }.joined(separator: " ") } ?? Format.cell(value))")
        }
        return "\(Format.cell(source["name"])): " + facts.joined(separator: ", ")
    }

    private static func columns(_ columns: [JSON]) -> String {
        var table = Table(["COLUMN", "TYPE", ">MISSING", ">DISTINCT", ">MIN", ">MEAN", ">MAX", "VALUES"])
        for column in columns {
            table.add(
                ["name", "type", "missing", "distinct", "min", "mean", "max"].map { Format.cell(column[$0]) }
                    + [bars(column["histogram"]) ?? categories(column["values"]) ?? Format.cell(column["image_size"])])
        }
        return table.text
    }

    /// A histogram's counts as blocks: `▁▂▅█▃`.
    static func bars(_ histogram: JSON?) -> String? {
        let list = histogram?["counts"]?.array ?? histogram?.array
        guard let counts = list?.map({ $0.double ?? $0["count"]?.double ?? 0 }), let most = counts.max(), most > 0
        else {
            return nil
        }
        let blocks = Array("▁▂▃▄▅▆▇█")
        return String(counts.map { $0 == 0 ? " " : blocks[min(7, max(0, Int(($0 / most * 8).rounded(.up)) - 1))] })
    }

    /// The most frequent values with their counts; nil where there are none.
    private static func categories(_ value: JSON?) -> String? {
        guard let list = value?.array, !list.isEmpty else { return nil }
        let shown = list.prefix(5).map { "\(Format.cell($0["value"])) \(Format.cell($0["count"]))" }
        return shown.joined(separator: ", ") + (list.count > 5 ? ", … (\(list.count))" : "")
    }
}

import Foundation
import MartletWire

/// Gathers the profile of every column in one pass with bounded memory.
struct Profiler {
    private struct Column {
        var count = 0
        var missing = 0
        var numbers = Moments()
        var booleans = 0
        var dates = 0
        var lists = 0
        var images = 0
        var characters = 0
        var sample: Reservoir
        var table = ByteTable()
        var counts: [Int] = []
        var overflows = false
        var imageSize: String?
    }

    /// Different values that are counted before a column is called free text.
    private static let maxDistinct = 1000
    /// Different numbers that are counted before a column is called continuous.
    private static let maxNumbers = 100

    private let names: [String]
    /// A column's share of the memory for different values.
    private let tableBytes: Int
    private var columns: [Column]
    private(set) var rows = 0

    init(_ names: [String]) {
        self.names = names
        tableBytes = min(4 << 20, (256 << 20) / max(1, names.count))
        let capacity = max(100, min(100_000, 2_000_000 / max(1, names.count)))
        columns = names.map { _ in Column(sample: Reservoir(capacity: capacity)) }
    }

    mutating func add(_ row: Row) {
        rows += 1
        for index in columns.indices { Self.add(row.cells[index], row, to: &columns[index], tableBytes: tableBytes) }
    }

    private static func add(_ cell: Cell, _ row: Row, to column: inout Column, tableBytes: Int) {
        column.count += 1
        switch cell.kind {
        case .missing:
            column.missing += 1
            return
        case .pixels, .encodedImage, .file:
            column.images += 1
            if column.imageSize == nil, let size = try? ImageEncoder.size(row, cell, "image") {
                column.imageSize = "\(size.height)×\(size.width)×\(size.channels)"
            }
            return
        case .json:
            column.lists += 1
            return
        case .text, .plainNumber: break
        }
        if let value = cell.number(row.numbers) {
            column.numbers.add(value)
            column.sample.add(value)
        } else if column.dates + column.booleans + column.lists == column.count - column.missing - 1
            - column.numbers.count
        {
            // Only while every text so far was one: free text need not be tried.
            if BooleanWords.parse(cell.bytes) != nil {
                column.booleans += 1
            } else if DateParts(cell.bytes) != nil {
                column.dates += 1
            } else if cell.bytes.first == UInt8(ascii: "["), cell.bytes.last == UInt8(ascii: "]") {
                column.lists += 1
            }
        }
        column.characters += cell.count
        guard !column.overflows else { return }
        let found = column.table.insert(cell.bytes)
        if found == column.counts.count { column.counts.append(1) } else { column.counts[found] += 1 }
        let isNumeric = column.numbers.count == column.count - column.missing
        if column.table.count > (isNumeric ? maxNumbers : maxDistinct) || column.table.byteCount > tableBytes {
            column.overflows = true
            column.table = ByteTable()
            column.counts = []
        }
    }

    func report() -> [DataReport.Column] {
        // A report of very many columns is still one message.
        let shown = max(5, min(100, 200_000 / max(1, names.count)))
        return zip(names, columns).map { name, column in
            var out = DataReport.Column(name: name, type: Self.type(column))
            out.count = column.count
            out.missing = column.missing
            out.imageSize = column.imageSize
            let present = column.count - column.missing
            if column.images == 0, present > 0 {
                if !column.overflows { out.distinct = column.table.count }
                if column.numbers.count == present {
                    out.min = column.numbers.low
                    out.max = column.numbers.high
                    out.mean = column.numbers.mean
                    if column.numbers.deviation.isFinite { out.standardDeviation = column.numbers.deviation }
                    out.histogram = Self.histogram(column)
                }
                if !column.overflows, out.type != "text", out.type != "number" || column.table.count <= 20 {
                    let order = column.counts.indices.sorted {
                        (column.counts[$1], column.table[$0]) < (column.counts[$0], column.table[$1])
                    }
                    out.values = order.prefix(shown).map {
                        DataReport.ValueCount(value: column.table[$0], count: column.counts[$0])
                    }
                }
            }
            return out
        }
    }

    private static func type(_ column: Column) -> String {
        let present = column.count - column.missing
        if present == 0 { return "text" }
        if column.images > 0 { return "image" }
        if column.numbers.count == present {
            let isBit = column.table.count == 2 && column.numbers.low == 0 && column.numbers.high == 1
            return isBit && !column.overflows ? "boolean" : "number"
        }
        if column.booleans == present { return "boolean" }
        if column.dates == present { return "datetime" }
        if column.lists == present { return "vector" }
        let isShort = column.characters <= 40 * present
        let repeats = column.table.count * 2 <= present || column.table.count <= 20
        return !column.overflows && isShort && repeats ? "category" : "text"
    }

    private static func histogram(_ column: Column) -> DataReport.Histogram {
        let (low, high) = (column.numbers.low, column.numbers.high)
        var counts = [Int](repeating: 0, count: 10)
        // Of all numbers an eighth, where the distance of two is past the range of a double.
        let scale = (high - low).isFinite ? 1 : 0.125
        let width = (high * scale - low * scale) / 10
        for value in column.sample.values {
            counts[width > 0 ? max(0, min(9, Int((value * scale - low * scale) / width))) : 0] += 1
        }
        return DataReport.Histogram(low: low, high: high, counts: counts, isSampled: column.sample.isSampled)
    }
}

/// Looks at data without a recipe.
public enum DataProfile {
    /// What these files and folders hold. Throws `invalidData` with file, line and remedy for what cannot be read.
    public static func profile(
        paths: [String], csv: CSVConfig = CSVConfig(), watch: ReadingWatch = ReadingWatch()
    ) throws -> DataReport {
        try watch.read { try report(SourceCatalog.table(ResolvedSources(all: paths), csv: csv, watch: watch)) }
    }

    /// Sources, row counts and columns of a table.
    static func report(_ table: Table) throws -> DataReport {
        var report = DataReport()
        var profiler = Profiler(table.columns)
        var rows = [Int](repeating: 0, count: table.parts.count)
        try table.forEach { row, _, part in
            rows[part] += 1
            profiler.add(row)
        }
        report.rows = profiler.rows
        guard report.rows > 0 else {
            throw MartletError(
                .invalidData, "\(table.parts[0].name) has no rows; give a file with a header and rows")
        }
        report.columns = profiler.report()
        report.warnings += table.remarks
        report.sources = table.parts.enumerated().map { index, part in
            var source = DataReport.Source(name: part.name, format: part.format)
            source.rows = rows[index]
            source.split = part.split
            source.dialect = part.dialect.map { dialect in
                DataReport.Dialect(
                    encoding: dialect.encoding.rawValue, delimiter: String(UnicodeScalar(dialect.delimiter)),
                    decimal: String(UnicodeScalar(dialect.numbers.decimal)),
                    thousands: dialect.numbers.thousands.map { String(UnicodeScalar($0)) }, header: dialect.header,
                    missing: dialect.missing)
            }
            return source
        }
        return report
    }
}

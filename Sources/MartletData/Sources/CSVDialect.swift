import Foundation
import MartletWire

/// How one CSV file is written: what the recipe says, and for the rest what the file shows.
package struct CSVDialect: Codable, Sendable, Equatable {
    package var encoding: TextEncoding = .utf8
    package var delimiter: UInt8 = UInt8(ascii: ",")
    package var numbers = NumberFormat()
    package var header = true
    /// Words that mean "no value"; an empty cell always does.
    package var missing: [String] = []

    /// Words that mean "no value" wherever they stand, as in pandas and R.
    static let usualMissing = ["NA", "N/A", "#N/A", "<NA>", "n/a", "na", "NaN", "nan", "NULL", "null"]
    /// Words that mean "no value" where they stand among numbers.
    private static let possibleMissing = ["?", "-", "--", ".", "None", "none", "missing", "unknown", "无", "缺失", "空"]

    /// Throws `invalidRecipe` for a setting that cannot be, `invalidData` for a file without rows.
    package static func infer(path: String, config: CSVConfig) throws -> CSVDialect {
        var dialect = CSVDialect()
        let raw = try ByteStream(path: path).read(upTo: sampleSize)
        let isWhole = raw.count < sampleSize
        dialect.encoding =
            if let name = config.encoding { try TextEncoding.named(name, sample: raw) } else {
                TextEncoding.infer(raw, isWhole: isWhole)
            }
        let stream = try TextStream(path: path, encoding: dialect.encoding)
        var failure: (any Error)?
        let sample = [UInt8](unsafeUninitializedCapacity: sampleSize) { buffer, count in
            do { count = try stream.read(into: UnsafeMutableRawBufferPointer(buffer)) } catch { failure = error }
        }
        if let failure { throw failure }
        let name = (path as NSString).lastPathComponent
        guard sample.contains(where: { $0 > 0x20 }) else {
            throw MartletError(.invalidData, "the file '\(name)' is empty; give a file with a header and rows")
        }
        let candidates = try delimiters(config, fileName: name)
        var best: (score: Double, rows: [[Substring]])?
        for candidate in candidates {
            let rows = split(sample, delimiter: candidate, isWhole: isWhole)
            let score = score(rows)
            if best.map({ score > $0.score }) ?? true {
                best = (score, rows)
                dialect.delimiter = candidate
            }
        }
        let rows = best?.rows ?? []
        dialect.numbers = try numberFormat(rows, delimiter: dialect.delimiter, config: config)
        dialect.header = config.header ?? !(rows.first ?? []).contains { dialect.numbers.parse(String($0)) != nil }
        dialect.missing = config.missing ?? usualMissing + inferredMissing(rows, numbers: dialect.numbers)
        return dialect
    }

    private static let sampleSize = 1 << 18

    private static func delimiters(_ config: CSVConfig, fileName: String) throws -> [UInt8] {
        guard let text = config.delimiter else {
            let tab = UInt8(ascii: "\t")
            let usual: [UInt8] = [UInt8(ascii: ","), UInt8(ascii: ";"), tab, UInt8(ascii: "|")]
            return fileName.lowercased().hasSuffix(".tsv") ? [tab] : usual
        }
        let bytes = Array((text == "\\t" || text == "tab" ? "\t" : text).utf8)
        guard bytes.count == 1, bytes[0] < 0x80, bytes[0] != 0x22, bytes[0] != 0x0A, bytes[0] != 0x0D else {
            throw MartletError(
                .invalidRecipe,
                "the delimiter '\(text)' is not one ASCII character; data.csv.delimiter is for example \",\" or \"\\t\"",
                param: "data.csv.delimiter")
        }
        return bytes
    }

    /// Rows of the sample, at most 1,000, without the last one where the sample cuts it.
    private static func split(_ sample: [UInt8], delimiter: UInt8, isWhole: Bool) -> [[Substring]] {
        var rows: [[Substring]] = []
        var row: [Substring] = []
        var cell: [UInt8] = []
        var quoted = false
        func endCell() {
            row.append(Substring(String(decoding: cell, as: UTF8.self).trimmingCharacters(in: .whitespaces)))
            cell = []
        }
        func endRow() {
            endCell()
            if row.count > 1 || row[0] != "" { rows.append(row) }
            row = []
        }
        for byte in sample {
            if byte == 0x22 {
                quoted.toggle()
            } else if quoted {
                cell.append(byte)
            } else if byte == delimiter {
                endCell()
            } else if byte == 0x0A {
                endRow()
                if rows.count == 1000 { return rows }
            } else if byte != 0x0D {
                cell.append(byte)
            }
        }
        if isWhole || rows.isEmpty, !row.isEmpty || !cell.isEmpty { endRow() }
        return rows
    }

    /// More columns and more rows that agree are better.
    private static func score(_ rows: [[Substring]]) -> Double {
        guard !rows.isEmpty else { return -1 }
        var counts: [Int: Int] = [:]
        for row in rows { counts[row.count, default: 0] += 1 }
        guard let mode = counts.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }), mode.key > 1 else { return 0 }
        let agreement = Double(mode.value) / Double(rows.count)
        return agreement * agreement * (1 + log(Double(mode.key)))
    }

    private static func numberFormat(
        _ rows: [[Substring]], delimiter: UInt8, config: CSVConfig
    ) throws -> NumberFormat {
        let comma = UInt8(ascii: ",")
        let point = UInt8(ascii: ".")
        let space = UInt8(ascii: " ")
        var candidates = [
            NumberFormat(), NumberFormat(decimal: point, thousands: comma), NumberFormat(decimal: comma),
            NumberFormat(decimal: comma, thousands: point), NumberFormat(decimal: comma, thousands: space),
        ]
        // Where the comma does not separate cells, `1,234` is a fraction rather than a thousand.
        if delimiter != comma { candidates.swapAt(1, 2) }
        switch config.decimal {
        case nil: break
        case ".": candidates = candidates.filter { $0.decimal == point }
        case ",": candidates = candidates.filter { $0.decimal == comma }
        case .some(let other):
            throw MartletError(
                .invalidRecipe, "the decimal mark '\(other)' is not one; data.csv.decimal is \".\" or \",\"",
                param: "data.csv.decimal")
        }
        var best = (format: candidates[0], count: -1)
        for format in candidates {
            let count = rows.dropFirst().reduce(0) { $0 + $1.count { format.parse(String($0)) != nil } }
            if count > best.count { best = (format, count) }
        }
        return best.format
    }

    /// The possible words that stand in a column whose other cells are numbers.
    private static func inferredMissing(_ rows: [[Substring]], numbers: NumberFormat) -> [String] {
        var found: [String] = []
        for column in 0..<(rows.map(\.count).max() ?? 0) {
            let cells = rows.dropFirst().compactMap { column < $0.count ? String($0[column]) : nil }
                .filter { !$0.isEmpty && !usualMissing.contains($0) }
            let others = Set(cells.filter { numbers.parse($0) == nil })
            guard !others.isEmpty, others.count <= 2, cells.contains(where: { numbers.parse($0) != nil }) else {
                continue
            }
            for word in others.sorted() where possibleMissing.contains(word) && !found.contains(word) {
                found.append(word)
            }
        }
        return found
    }
}

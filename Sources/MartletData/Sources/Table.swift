import Foundation
import MartletWire

/// Reads one part of a source from its start to its end.
protocol RowReader: AnyObject {
    /// Fills `row`, whose cells live until the next call; false at the end.
    func next(_ row: Row) throws -> Bool
    /// Passes over the row at which `next` threw; false where nothing can be read after it.
    func skip() throws -> Bool
}

extension RowReader {
    func skip() throws -> Bool { false }
}

/// The splits of the data.
public enum Split: String, Codable, Sendable, CaseIterable {
    case train, validation, test

    /// A split by the names that people give it.
    static func named(_ word: String) -> Split? {
        switch word.lowercased() {
        case "train", "training", "训练", "训练集": .train
        case "validation", "valid", "val", "dev", "验证", "验证集": .validation
        case "test", "testing", "测试", "测试集": .test
        default: nil
        }
    }
}

/// One file or folder of rows.
struct TablePart {
    var name: String
    /// The split that these rows were published in; nil where the recipe divides them.
    var split: Split? = nil
    var columns: [String]
    /// Names the format in the report: `csv`, `jsonl`, `idx`, `images`, `text`.
    var format: String
    var dialect: CSVDialect? = nil
    /// The file and its encoding, where it can be read as a whole text.
    var text: (path: String, encoding: TextEncoding)? = nil
    /// Whether it is a text file without a byte: others are read without it.
    var isEmpty = false
    /// Starts at the first row, with cells in the order of the given columns.
    var open: ([String]) throws -> any RowReader
}

/// All rows of a recipe's sources, in a fixed order; each pass reads the files again.
struct Table {
    let parts: [TablePart]
    let columns: [String]
    let watch: ReadingWatch
    /// Files without a byte, which are no parts.
    private let emptyNames: [String]
    /// Folders beside the parts, which are not read.
    let leftFolders: LeftFolders
    private let places: [String: Int]

    /// - Parameter mixesTexts: whether texts may stand among rows with other columns.
    init(
        parts: [TablePart], emptyNames: [String] = [], leftFolders: LeftFolders = LeftFolders(),
        mixesTexts: Bool = false, watch: ReadingWatch = ReadingWatch()
    ) throws {
        self.watch = watch
        self.emptyNames = emptyNames
        self.leftFolders = leftFolders
        let rows = parts.filter { !mixesTexts || $0.text == nil }
        guard let first = rows.first ?? parts.first else {
            throw MartletError(
                .invalidData, "there is no data to read; give files or folders in data.source", param: "data.source")
        }
        self.parts = parts
        // JSON lines may leave keys out, so the table has every column of every such part.
        var columns = first.columns
        if first.format == "jsonl" {
            for part in rows.dropFirst() where part.format == "jsonl" {
                columns += part.columns.filter { !columns.contains($0) }
            }
        }
        for part in rows where part.format != "jsonl" || first.format != "jsonl" {
            guard Set(part.columns) == Set(columns) else {
                throw MartletError(
                    .invalidData,
                    "\(part.name) has the columns \(part.columns.prefix(8).joined(separator: ", ")) where \(first.name) has "
                        + "\(columns.prefix(8).joined(separator: ", ")); give sources with the same columns",
                    param: "data.source")
            }
        }
        self.columns = columns
        places = Dictionary(columns.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// What a person should hear of files and folders that are not read.
    var remarks: [String] { [emptyRemark, leftFolders.remark].compactMap { $0 } }

    private var emptyRemark: String? {
        guard !emptyNames.isEmpty else { return nil }
        let shown = emptyNames.prefix(5).joined(separator: ", ") + (emptyNames.count > 5 ? ", …" : "")
        let counted = emptyNames.count == 1 ? "1 file is empty and is" : "\(emptyNames.count) files are empty and are"
        return "\(counted) left out: \(shown)"
    }

    /// The place of a column. Throws `invalidRecipe` that names the nearest column.
    func place(of column: String, for purpose: String) throws -> Int {
        if let place = places[column.precomposedStringWithCanonicalMapping] ?? places[column] { return place }
        let nearest = NearestName.of(column, among: columns).map { "; did you mean '\($0)'?" } ?? "."
        throw MartletError(
            .invalidRecipe,
            "\(purpose) needs the column '\(column)', which the data does not have\(nearest) It has: "
                + columns.prefix(20).joined(separator: ", ") + (columns.count > 20 ? ", …" : ""),
            param: column)
    }

    /// Every row that can be read, with its number, counted from 0 over all parts, and the number of its part.
    ///
    /// Where bad rows are collected, the pass goes on after one.
    func forEach(_ body: (Row, Int, Int) throws -> Void) throws {
        var index = 0
        for number in parts.indices {
            var rows = 0
            try forEach(ofPart: number) { row in
                do {
                    try body(row, index, number)
                } catch let error as MartletError where error.code == .invalidData {
                    guard let badRows = watch.badRows else { throw error }
                    let place = error.param.flatMap { places[$0] }
                    try badRows.add(
                        error, file: row.file, line: row.line, part: number, row: row.line > 0 ? row.line : rows,
                        column: place.map { columns[$0] }, value: place.map { row.cells[$0].string })
                }
                rows += 1
                index += 1
            }
        }
    }

    /// Every row of a part that can be read.
    func forEach(ofPart number: Int, _ body: (Row) throws -> Void) throws {
        try watch.goOn()
        let reader = try parts[number].open(columns)
        let row = Row()
        var sinceLook = 0
        while try next(row, reader, number) {
            try body(row)
            sinceLook += 1
            if sinceLook == 256 {
                sinceLook = 0
                try watch.goOn()
            }
        }
    }

    private func next(_ row: Row, _ reader: any RowReader, _ part: Int) throws -> Bool {
        while true {
            row.excerpt = nil
            do {
                return try reader.next(row)
            } catch let error as MartletError where error.code == .invalidData || error.code == .tooLarge {
                guard let badRows = watch.badRows else { throw error }
                try badRows.add(
                    error, file: row.file, line: row.line, part: part, row: row.line, column: row.excerpt?.column,
                    value: row.excerpt?.value)
                try watch.goOn()
                guard try reader.skip() else { return false }
            }
        }
    }
}

/// The nearest of the names that exist, for messages.
enum NearestName {
    /// By edit distance (Levenshtein), where it is at most a third of the name's length.
    static func of(_ name: String, among names: [String]) -> String? {
        let wanted = Array(name.lowercased())
        let best = names.prefix(1000).map { ($0, distance(wanted, Array($0.lowercased()))) }.min { $0.1 < $1.1 }
        guard let best, best.1 <= max(1, wanted.count / 3) else { return nil }
        return best.0
    }

    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var row = Array(0...b.count)
        for (i, left) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, right) in b.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (left == right ? 0 : 1))
                diagonal = above
            }
        }
        return row[b.count]
    }
}

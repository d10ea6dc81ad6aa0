import Foundation
import MartletWire

extension DataPipeline {
    /// Encodes other data for a saved preprocessing, targets included: for measuring a model after training.
    ///
    /// Data that comes split gives its test part. Cleaning runs as in training, with what was learnt then. Throws
    /// `invalidData` for rows that do not fit the model.
    public static func encode(
        paths: [String], csv: CSVConfig, preprocessing: Preprocessing, cacheDirectory: String,
        watch: ReadingWatch = ReadingWatch()
    ) throws -> (rows: EncodedRows, report: DataReport) {
        try watch.read {
            var table = try SourceCatalog.table(ResolvedSources(all: paths), csv: csv, watch: watch)
            let test = table.parts.filter { $0.split == .test }
            if !test.isEmpty { table = try Table(parts: test, leftFolders: table.leftFolders, watch: watch) }
            return try encode(table, preprocessing, cacheDirectory)
        }
    }

    private static func encode(
        _ table: Table, _ preprocessing: Preprocessing, _ cacheDirectory: String
    ) throws -> (rows: EncodedRows, report: DataReport) {
        var report = try DataProfile.report(table)
        var cleaner = try cleaner(preprocessing.cleaning, table)
        let writer = try RowWriter(preprocessing, table, folder: cacheDirectory, names: ["rows"])
        try table.forEach { row, _, _ in
            if try cleaner.apply(to: row) { try writer.write(row, to: 0) }
        }
        report.cleaning = zip(preprocessing.cleaning, cleaner.effects).map {
            DataReport.Cleaning(step: $0.title, rowsRemoved: $1.rows, cellsChanged: $1.cells)
        }
        report.truncated = writer.truncated
        guard let rows = try writer.finish().first, rows.count > 0 else {
            throw MartletError(.invalidData, "no row is left to measure on; check the data")
        }
        report.splits = [Split.test.rawValue: rows.count]
        return (rows, report)
    }
}

/// Encodes rows into one file for each split.
final class RowWriter {
    private let encoders: [FeatureEncoder]
    private let texts: [FeatureEncoder]
    private let writers: [EncodedRowsWriter]
    /// Input → rows that were cut to its length.
    private(set) var truncated: [String: Int] = [:]

    init(_ preprocessing: Preprocessing, _ table: Table, folder: String, names: [String]) throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw MartletError(.storageFull, "the folder for encoded rows cannot be made; check space and rights")
        }
        encoders = try preprocessing.encoders { try table.place(of: $0, for: "the model") }
        texts = encoders.filter { $0.feature.tokenizer != nil }
        // A label may be unknown only because rows that have it are bad and were not learnt from.
        if table.watch.badRows?.isEmpty == false { for encoder in encoders { encoder.allowsUnseenLabels = true } }
        let stride = encoders.reduce(0) { $0 + $1.layout.byteCount }
        writers = try names.map { try EncodedRowsWriter(path: "\(folder)/\($0).rows", stride: stride) }
    }

    func write(_ row: Row, to writer: Int) throws {
        try writers[writer].append { out in
            var offset = 0
            for encoder in encoders {
                try encoder.encode(row, into: out + offset)
                offset += encoder.layout.byteCount
            }
        }
        for encoder in texts where encoder.isCut(row) { truncated[encoder.feature.name, default: 0] += 1 }
    }

    func finish() throws -> [EncodedRows] {
        let layouts = encoders.map(\.layout)
        return try writers.map { try $0.finish(layouts: layouts) }
    }
}

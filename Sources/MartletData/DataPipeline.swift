import Foundation
import MartletWire

/// Data that is ready for training, and what serving needs to treat a request the same way.
public struct PreparedData: Sendable {
    public let preprocessing: Preprocessing
    public let report: DataReport
    public let train: EncodedRows
    public let validation: EncodedRows
    public let test: EncodedRows
}

/// From a recipe's sources to encoded rows, in passes over the files that keep memory bounded: profile, choose, learn
/// what cleaning fills in, learn the features, encode. Everything that is learnt comes from the training split alone.
public enum DataPipeline {
    /// `cacheDirectory` receives the encoded rows and must outlive the result. `fold` picks one of
    /// `data.split.folds` for validation; nil trains on all of them. Throws `invalidData` and `invalidRecipe`: where `watch`
    /// collects bad rows, the first one's fault after all of them were found.
    public static func prepare(
        _ recipe: Recipe, sources: ResolvedSources, cacheDirectory: String, fold: Int? = nil,
        watch: ReadingWatch = ReadingWatch(), progress: (String) -> Void = { _ in }
    ) throws -> PreparedData {
        try watch.read {
            let table = try SourceCatalog.table(sources, csv: recipe.data.csv, watch: watch)
            return try prepare(recipe, table, cacheDirectory, fold, progress)
        }
    }

    private static func prepare(
        _ recipe: Recipe, _ table: Table, _ cacheDirectory: String, _ fold: Int?, _ progress: (String) -> Void
    ) throws -> PreparedData {
        let plan = try FeaturePlan(recipe, table: table)
        progress("reading \(table.parts.count == 1 ? "the data" : "the data of \(table.parts.count) files")")
        var report = try DataProfile.report(table)
        var steps = recipe.data.clean.map { FittedStep(step: $0) }

        let (split, effects) = try choose(recipe.data, table, steps, plan, fold, &report)
        report.cleaning = zip(steps, effects).map {
            DataReport.Cleaning(step: $0.title, rowsRemoved: $1.rows, cellsChanged: $1.cells)
        }

        let rows = RowPass(table: table, codes: split)
        var cleaning = try CleanFitter(steps, columns: table.columns) { try table.place(of: $0, for: "data.clean") }
        if !cleaning.isEmpty {
            progress("learning what to fill in")
            var cleaner = try cleaner(steps, table)
            try rows.forEachCleaned(
                &cleaner,
                observe: { step, row, code in if code == Splitter.train { try cleaning.add(row, before: step) } },
                body: { _, _ in })
            let (fitted, remarks) = try cleaning.finish(steps)
            steps = fitted
            report.warnings += remarks
        }

        progress("learning the features from \(report.splits[Split.train.rawValue] ?? 0) training rows")
        var cleaner = try cleaner(steps, table)
        let fitters = try plan.fitters(table)
        try rows.forEachCleaned(&cleaner) { row, code in
            guard code == Splitter.train else { return }
            var fault: MartletError?
            // Every feature learns from the row, so that one bad cell does not make others look bad.
            for fitter in fitters {
                do { try fitter.add(row) } catch let error as MartletError { fault = fault ?? error }
            }
            if let fault { throw fault }
        }
        let features = try fitters.map { try $0.finish() }
        plan.warn(features, &report)

        progress("encoding \(split.count { $0 != Splitter.dropped }) rows")
        let dialect = table.parts.first { $0.dialect != nil }?.dialect
        let preprocessing = Preprocessing(
            features: features, cleaning: steps, numbers: dialect?.numbers ?? .plain,
            missing: dialect?.missing ?? CSVDialect.usualMissing)
        let encoded = try encode(preprocessing, table, rows, cacheDirectory, &report)
        return PreparedData(
            preprocessing: preprocessing, report: report, train: encoded[0], validation: encoded[1], test: encoded[2])
    }

    static func cleaner(_ steps: [FittedStep], _ table: Table) throws -> Cleaner {
        try Cleaner(steps, columns: table.columns, isServing: false) { try table.place(of: $0, for: "data.clean") }
    }

    /// Which rows stay and where they go.
    private static func choose(
        _ config: DataConfig, _ table: Table, _ steps: [FittedStep], _ plan: FeaturePlan, _ fold: Int?,
        _ report: inout DataReport
    ) throws -> ([UInt8], [Cleaner.Effect]) {
        let given = table.parts.map(\.split)
        var splitter = try Splitter(
            config.split, hasValidation: given.contains(.validation), hasTest: given.contains(.test), fold: fold)
        let label = try (config.split.by ?? config.split.stratify).map {
            try table.place(of: $0, for: "data.split")
        }
        var effects: [Cleaner.Effect] = []
        if steps.isEmpty, label == nil {
            let empty = Row()
            for source in report.sources {
                for _ in 0..<source.rows { try splitter.add(empty, given: source.split, label: nil) }
            }
        } else {
            var cleaner = try cleaner(steps, table)
            try table.forEach { row, _, part in
                do {
                    if try cleaner.apply(to: row) {
                        try splitter.add(row, given: given[part], label: label.map { row.cells[$0] })
                    } else {
                        splitter.drop()
                    }
                } catch {
                    splitter.drop()
                    throw error
                }
            }
            effects = cleaner.effects
        }
        let counts = try splitter.assign()
        for split in Split.allCases { report.splits[split.rawValue] = counts[split] ?? 0 }
        return (splitter.codes, effects)
    }

    private static func encode(
        _ preprocessing: Preprocessing, _ table: Table, _ rows: RowPass, _ folder: String, _ report: inout DataReport
    ) throws -> [EncodedRows] {
        let writer = try RowWriter(preprocessing, table, folder: folder, names: Split.allCases.map(\.rawValue))
        var cleaner = try cleaner(preprocessing.cleaning, table)
        try rows.forEachCleaned(&cleaner) { row, code in try writer.write(row, to: Int(code)) }
        report.truncated = writer.truncated
        return try writer.finish()
    }
}

/// A pass over the rows that stay, cleaned, with the split of each.
struct RowPass {
    let table: Table
    let codes: [UInt8]

    func forEachCleaned(
        _ cleaner: inout Cleaner, observe: ((Int, Row, UInt8) throws -> Void)? = nil,
        body: (Row, UInt8) throws -> Void
    ) throws {
        let looksBack = cleaner.looksBack
        try table.forEach { row, index, _ in
            guard index < codes.count else {
                throw MartletError(.invalidData, "\(row.file) grew while it was read; start again")
            }
            let code = codes[index]
            if code == Splitter.dropped, !looksBack { return }
            let stays = try cleaner.apply(
                to: row, keepsDuplicates: !looksBack,
                observe: observe.map { observe in { step, row in try observe(step, row, code) } })
            if stays, code != Splitter.dropped { try body(row, code) }
        }
    }
}

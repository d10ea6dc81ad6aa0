import MartletWire

extension DataPipeline {
    /// Rows to measure a trained model on, encoded as training did it: the test part where the data comes split, else all.
    /// Throws `invalidData` where a row does not fit the model.
    public static func encode(
        paths: [String], csv: CSVConfig, preprocessing: Preprocessing, cacheDirectory: String
    ) throws -> (rows: EncodedRows, report: DataReport) {
        let table = try SourceCatalog.table(ResolvedSources(all: paths, train: [], validation: [], test: []), csv: csv)
        var report = try DataProfile.report(table)
        let given = table.parts.map(\.split)
        let comesSplit = given.contains(.test)
        guard let place = Split.allCases.firstIndex(of: .test) else {
            throw MartletError(.internal, "there is no test split")
        }
        var codes: [UInt8] = []
        var cleaner = try cleaner(preprocessing.cleaning, table)
        try table.forEach { row, _, part in
            let isWanted = !comesSplit || given[part] == .test
            let stays = try cleaner.apply(to: row)
            codes.append(isWanted && stays ? UInt8(place) : Splitter.dropped)
        }
        let encoded = try encode(
            preprocessing, table, RowPass(table: table, codes: codes), cacheDirectory, &report)
        return (encoded[place], report)
    }
}

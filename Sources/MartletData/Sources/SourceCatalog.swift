import Foundation
import MartletWire

/// Local files and folders by the split that they feed.
public struct ResolvedSources: Codable, Sendable, Equatable {
    /// Rows that the recipe's `split` divides.
    public var all: [String]
    public var train: [String]
    public var validation: [String]
    public var test: [String]

    public init(all: [String] = [], train: [String] = [], validation: [String] = [], test: [String] = []) {
        self.all = all
        self.train = train
        self.validation = validation
        self.test = test
    }
}

/// Finds out what files and folders hold.
enum SourceCatalog {
    static func table(_ sources: ResolvedSources, csv: CSVConfig) throws -> Table {
        var parts: [TablePart] = []
        let groups: [(Split?, [String])] = [
            (nil, sources.all), (.train, sources.train), (.validation, sources.validation), (.test, sources.test),
        ]
        for (split, paths) in groups {
            for path in paths { parts += try self.parts(path, split: split, csv: csv) }
        }
        return try Table(parts: parts)
    }

    private static func parts(_ path: String, split: Split?, csv: CSVConfig) throws -> [TablePart] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw MartletError(
                .notFound, "there is no file or folder '\(path)'; check data.source", param: "data.source")
        }
        let found = isFolder.boolValue ? try folder(path, csv: csv) : [try file(path, csv: csv)]
        guard let split else { return found }
        // A folder that comes split gives only the part that was asked for.
        let matching = found.filter { $0.split == split }
        return (matching.isEmpty ? found : matching).map {
            var part = $0
            part.split = split
            return part
        }
    }

    private static func file(_ path: String, csv: CSVConfig) throws -> TablePart {
        let name = (path as NSString).lastPathComponent
        switch try FileFormat.of(path) {
        case .csv:
            let dialect = try CSVDialect.infer(path: path, config: csv)
            let reader = try CSVReader(path: path, dialect: dialect)
            return TablePart(name: name, split: nil, columns: reader.columns, format: "csv", dialect: dialect) {
                let reader = try CSVReader(path: path, dialect: dialect)
                try reader.align(to: $0)
                return reader
            }
        case .lines, .text, .idx, .image:
            throw MartletError(.unsupportedFormat, "'\(name)' is not a table; give CSV")
        }
    }

    private static func folder(_ path: String, csv: CSVConfig) throws -> [TablePart] {
        let names = try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }.sorted()
        return try names.map { try file(path + "/" + $0, csv: csv) }
    }
}

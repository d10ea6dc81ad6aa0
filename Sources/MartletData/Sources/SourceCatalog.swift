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
    /// What the rows are for.
    enum Purpose {
        /// Rows of one kind; documents that lie beside tables are left alone.
        case rows
        /// Texts, from tables and documents alike.
        case texts
    }

    static func table(
        _ sources: ResolvedSources, csv: CSVConfig, for purpose: Purpose = .rows, watch: ReadingWatch = ReadingWatch()
    ) throws -> Table {
        var parts: [TablePart] = []
        var left = LeftFolders()
        let groups: [(Split?, [String])] = [
            (nil, sources.all), (.train, sources.train), (.validation, sources.validation), (.test, sources.test),
        ]
        for (split, paths) in groups {
            for path in paths { parts += try self.parts(path, split: split, csv: csv, for: purpose, &left) }
        }
        let empty = parts.filter(\.isEmpty)
        if let first = empty.first, empty.count == parts.count {
            throw MartletError(.invalidData, "the file '\(first.name)' is empty; give one row a line")
        }
        return try Table(
            parts: parts.filter { !$0.isEmpty }, emptyNames: empty.map(\.name), leftFolders: left,
            mixesTexts: purpose == .texts, watch: watch)
    }

    private static func parts(
        _ path: String, split: Split?, csv: CSVConfig, for purpose: Purpose, _ left: inout LeftFolders
    ) throws -> [TablePart] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw MartletError(
                .notFound, "there is no file or folder '\(path)'; check data.source", param: "data.source")
        }
        let found = isFolder.boolValue ? try folder(path, csv: csv, for: purpose, &left) : [try file(path, csv: csv)]
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
            return TablePart(name: name, columns: reader.columns, format: "csv", dialect: dialect) {
                let reader = try CSVReader(path: path, dialect: dialect)
                try reader.align(to: $0)
                return reader
            }
        case .lines:
            let columns = try JSONLinesReader.columns(path: path)
            return TablePart(name: name, columns: columns, format: "jsonl") {
                try JSONLinesReader(path: path, table: $0)
            }
        case .text:
            let sample = try ByteStream(path: path).read(upTo: 1 << 16)
            let encoding = try textEncoding(sample, csv)
            var part = TablePart(
                name: name, columns: [TextReader.column], format: "text", text: (path, encoding)
            ) { _ in
                try TextReader(path: path, encoding: encoding)
            }
            part.isEmpty = sample.isEmpty
            return part
        case .idx: return try idx(path)
        case .image:
            throw MartletError(
                .unsupportedFormat, "'\(name)' is one image; give a folder of images, one subfolder for each label")
        }
    }

    private static func textEncoding(_ sample: [UInt8], _ csv: CSVConfig) throws -> TextEncoding {
        if let name = csv.encoding { return try TextEncoding.named(name, sample: sample) }
        return TextEncoding.infer(sample, isWhole: sample.count < 1 << 16)
    }

    /// An IDX file: images with the labels that lie beside them, or labels alone.
    private static func idx(_ path: String) throws -> TablePart {
        let name = (path as NSString).lastPathComponent
        let folder = (path as NSString).deletingLastPathComponent
        let isImages = try IDXFile(path: path).dimensions.count >= 3
        var labels: String?
        if isImages {
            let partner = name.replacingOccurrences(of: "images", with: "labels")
                .replacingOccurrences(of: "idx3", with: "idx1")
            let bare = partner.hasSuffix(".gz") ? String(partner.dropLast(3)) : partner
            labels = [bare, bare + ".gz"].map { folder + "/" + $0 }
                .first { $0 != path && FileManager.default.fileExists(atPath: $0) }
        }
        let words = try labelNames(folder + "/labels.txt")
        let columns = (isImages ? ["image"] : []) + (labels != nil || !isImages ? ["label"] : [])
        var part = TablePart(name: name, columns: columns, format: "idx") { table in
            try IDXReader(
                images: isImages ? path : nil, labels: isImages ? labels : path, labelNames: words, columns: columns,
                table: table)
        }
        let first = name.lowercased()
        part.split = first.hasPrefix("t10k") ? .test : Split.named(String(first.prefix { $0.isLetter }))
        return part
    }

    private static func labelNames(_ path: String) throws -> [String] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        let lines = try LineReader(path: path, encoding: .utf8)
        var words: [String] = []
        while words.count < 256, let line = try lines.next() {
            words.append(String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespaces))
        }
        return words
    }

    /// - Parameter split: the name of the folder where it is one of those that a folder comes split in.
    private static func folder(
        _ path: String, csv: CSVConfig, for purpose: Purpose, split: String? = nil, _ left: inout LeftFolders
    ) throws -> [TablePart] {
        let name = (path as NSString).lastPathComponent
        let contents = try FolderContents(path)
        let (files, folders) = (contents.files, contents.folders)
        if !folders.isEmpty, split == nil, folders.allSatisfy({ Split.named($0) != nil }) {
            var parts: [TablePart] = []
            for sub in folders {
                for var part in try folder(path + "/" + sub, csv: csv, for: purpose, split: sub, &left) {
                    part.name = sub + "/" + part.name
                    part.split = Split.named(sub)
                    parts.append(part)
                }
            }
            return parts
        }
        let tables = try self.tables(path, files, csv, for: purpose)
        guard tables.isEmpty else {
            left.add(folders, in: path, prefix: split.map { $0 + "/" } ?? "")
            return tables
        }
        if let images = try ImageFolder(path: path, folders: folders, files: files) {
            return [
                TablePart(name: name, columns: images.partColumns, format: "images") {
                    ImageFolder.Reader(images, table: $0)
                }
            ]
        }
        let inside =
            folders.isEmpty
            ? ""
            : ". Its folders (\(folders.prefix(5).joined(separator: ", "))\(folders.count > 5 ? ", …" : "")) are read where "
                + "each is called train, validation or test, or holds images"
        throw MartletError(
            .invalidData,
            "the folder '\(name)' holds no data that can be read; give CSV, JSON lines, IDX, text, or one subfolder of PNG "
                + "or JPEG files for each label" + inside, param: "data.source")
    }

    /// The files of a folder that are tables of one kind, and, where texts are wanted, the documents beside them.
    private static func tables(
        _ path: String, _ files: [String], _ csv: CSVConfig, for purpose: Purpose
    ) throws -> [TablePart] {
        var byFormat: [FileFormat: [String]] = [:]
        for file in files { byFormat[try FileFormat.of(path + "/" + file), default: []].append(file) }
        if let idx = byFormat[.idx] {
            let images = idx.filter { $0.contains("images") || $0.contains("idx3") }
            return try (images.isEmpty ? idx : images).map { try file(path + "/" + $0, csv: csv) }
        }
        let texts = byFormat[.image] == nil ? byFormat[.text] ?? [] : []
        guard let found = byFormat[.csv] ?? byFormat[.lines] ?? (texts.isEmpty ? nil : texts) else { return [] }
        let splits = found.map { Split.named(($0 as NSString).deletingPathExtension) }
        let isSplit = found.count > 1 && !splits.contains(nil)
        // What describes the data is no part of it.
        let beside = Set(purpose == .texts && !isSplit ? texts.filter { !isDescription($0) } : []).subtracting(found)
        return try (found + beside.sorted()).enumerated().map { index, name in
            var part = try file(path + "/" + name, csv: csv)
            if isSplit { part.split = splits[index] }
            return part
        }
    }

    private static func isDescription(_ name: String) -> Bool {
        ["readme", "license", "licence", "notice"].contains { name.lowercased().hasPrefix($0) }
    }
}

import Foundation
import MartletWire

/// The lines of JSON-lines files, one after another, as often as they are asked for; memory is one line.
public struct ExampleFiles: Sendable {
    private let paths: [String]
    /// What a person should hear of folders that are not read.
    public let remarks: [String]

    /// - Parameter sources: files, or folders whose own files are all read, in the order of their names.
    /// - Throws: `notFound` and `invalidData` where there is nothing to read.
    public init(_ sources: [String]) throws {
        var paths: [String] = []
        var left = LeftFolders()
        for source in sources {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: source, isDirectory: &isFolder) else {
                throw MartletError(
                    .notFound, "the data '\((source as NSString).lastPathComponent)' is not there; check data.source",
                    param: "data.source")
            }
            guard isFolder.boolValue else {
                paths.append(source)
                continue
            }
            let contents = try FolderContents(source)
            guard !contents.files.isEmpty else {
                let what = contents.folders.isEmpty ? "is empty" : "holds folders and no file of its own"
                throw MartletError(
                    .invalidData, "the dataset \(what); give a file of JSON lines", param: "data.source")
            }
            paths += contents.files.map { "\(source)/\($0)" }
            left.add(contents.folders, in: source)
        }
        self.paths = paths
        remarks = [left.remark].compactMap { $0 }
    }

    public var names: [String] { paths.map { ($0 as NSString).lastPathComponent } }

    /// A line that is not blank, with the name of its file and its number there, counted from 1. The bytes live until the
    /// closure returns, which says whether to go on.
    /// - Parameter tooLong: takes a line that is too long to be read, and how it begins, and says whether to go on; without
    ///   it such a line is thrown.
    public func forEach(
        tooLong: ((_ error: MartletError, _ start: String, _ file: String, _ line: Int) throws -> Bool)? = nil,
        _ body: (_ bytes: UnsafeBufferPointer<UInt8>, _ file: String, _ line: Int) throws -> Bool
    ) throws {
        for path in paths {
            let reader = try LineReader(path: path, encoding: .utf8)
            while true {
                let next: UnsafeBufferPointer<UInt8>?
                do {
                    next = try reader.next()
                } catch let error as MartletError where reader.isInLongLine {
                    guard let tooLong else { throw error }
                    guard try tooLong(error, reader.longLineStart, reader.file, reader.line + 1) else { return }
                    _ = try reader.skip()
                    continue
                }
                guard let line = next else { break }
                guard line.contains(where: { $0 > 0x20 }) else { continue }
                guard try body(line, reader.file, reader.line) else { return }
            }
        }
    }
}

/// Which lines train and which are held out.
public enum ExampleSplit {
    /// The split of each line that is not blank, by its number over all files.
    public static func codes(_ files: ExampleFiles, _ config: SplitConfig) throws -> [Split] {
        var splitter = try Splitter(config, hasValidation: false, hasTest: false, fold: nil)
        let row = Row()
        try files.forEach(tooLong: { _, _, _, _ in true }) { _, _, _ in
            try splitter.add(row, given: nil, label: nil)
            return true
        }
        _ = try splitter.assign()
        return splitter.codes.map { [.train, .validation, .test][Int($0)] }
    }
}

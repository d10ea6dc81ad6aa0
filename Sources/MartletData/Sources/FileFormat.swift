import Foundation
import MartletWire

/// What a file holds, by its name and its first bytes.
enum FileFormat {
    case csv, lines, text, idx, image

    private static let refused: [String: String] = [
        "pkl": "a pickle, which can run code when it is read", "pickle": "a pickle, which can run code when it is read",
        "joblib": "a pickle, which can run code when it is read", "pt": "a pickle, which can run code when it is read",
        "pth": "a pickle, which can run code when it is read", "npy": "a NumPy array", "npz": "NumPy arrays",
        "parquet": "Parquet", "feather": "Feather", "arrow": "Arrow", "h5": "HDF5", "hdf5": "HDF5",
        "mat": "a MATLAB file",
        "xls": "an Excel workbook", "xlsx": "an Excel workbook", "ods": "a spreadsheet", "zip": "an archive",
        "tar": "an archive", "tgz": "an archive", "7z": "an archive", "rar": "an archive",
        "bz2": "compressed with bzip2",
        "xz": "compressed with xz", "zst": "compressed with zstd", "sqlite": "a database", "db": "a database",
        "bin": "in no format that can be recognised",
    ]

    static let imageSuffixes: Set<String> = ["png", "jpg", "jpeg"]
    static let otherImageSuffixes: Set<String> = ["gif", "webp", "bmp", "tif", "tiff"]

    /// The last suffix, lower-cased, without `.gz`.
    static func suffix(_ path: String) -> String {
        var name = (path as NSString).lastPathComponent.lowercased()
        if name.hasSuffix(".gz") { name.removeLast(3) }
        return (name as NSString).pathExtension
    }

    /// Throws `unsupportedFormat` with the way out.
    static func of(_ path: String) throws -> FileFormat {
        let name = (path as NSString).lastPathComponent
        let suffix = suffix(path)
        if let what = refused[suffix] { throw unsupported(name, what) }
        if imageSuffixes.contains(suffix) || otherImageSuffixes.contains(suffix) { return .image }
        let start = try ByteStream(path: path).read(upTo: 512)
        if start.first == 0x80, start.count > 1, (2...5).contains(start[1]) { throw unsupported(name, "a pickle") }
        if start.starts(with: Array("\u{93}NUMPY".unicodeScalars.map { UInt8($0.value) })) {
            throw unsupported(name, "a NumPy array")
        }
        if start.starts(with: Array("PK\u{3}\u{4}".utf8)) { throw unsupported(name, "an archive") }
        if start.starts(with: Array("PAR1".utf8)) { throw unsupported(name, "Parquet") }
        if start.count >= 4, start[0] == 0, start[1] == 0, (8...14).contains(start[2]), (1...4).contains(start[3]) {
            return .idx
        }
        switch suffix {
        case "csv", "tsv", "tab", "data": return .csv
        case "jsonl", "ndjson", "json": return .lines
        case "txt", "text", "md": return .text
        default: break
        }
        let first = start.first { $0 > 0x20 && $0 != 0xEF && $0 != 0xBB && $0 != 0xBF }
        if first == UInt8(ascii: "{") { return .lines }
        let isUTF16 = start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF])
        guard isUTF16 || !start.contains(0) else { throw unsupported(name, "in no format that can be recognised") }
        return .csv
    }

    static func unsupported(_ name: String, _ what: String) -> MartletError {
        MartletError(
            .unsupportedFormat,
            "'\(name)' is \(what); save the data as CSV, JSON lines, IDX, or folders of PNG or JPEG files", param: name)
    }
}

import Foundation
import MartletWire

/// JSON lines: every line is an object, whose keys are columns; a `.json` file may also hold one list of objects.
final class JSONLinesReader: RowReader {
    private let lines: LineReader?
    private let file: String
    private let folder: String
    private var rows: ArraySlice<JSON> = []
    private var places: [String: Int] = [:]
    private var scanner: JSONLineScanner
    private let width: Int
    private let missing = Set(CSVDialect.usualMissing)
    private var arena = Arena()
    private var number = 0

    init(path: String, table: [String]) throws {
        file = (path as NSString).lastPathComponent
        folder = (path as NSString).deletingLastPathComponent
        for (index, name) in table.enumerated() { places[name] = index }
        width = table.count
        scanner = JSONLineScanner(columns: table, missing: CSVDialect.usualMissing)
        if let whole = try Self.list(path, file) {
            rows = whole[...]
            lines = nil
        } else {
            lines = try LineReader(path: path, encoding: .utf8)
        }
    }

    /// The items of a file that is one JSON list; nil for JSON lines.
    private static func list(_ path: String, _ file: String) throws -> [JSON]? {
        let start = try ByteStream(path: path).read(upTo: 4096)
        guard start.first(where: { $0 > 0x20 && ![0xEF, 0xBB, 0xBF].contains($0) }) == UInt8(ascii: "[") else {
            return nil
        }
        var bytes = try ByteStream(path: path).read(upTo: TextLimits.rowBytes + 1)
        guard bytes.count <= TextLimits.rowBytes else {
            throw MartletError(.tooLarge, "\(file) is one JSON list of more than 64 MiB; save it as JSON lines")
        }
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
        return try bytes.withUnsafeBytes { try parse($0, place: file, "the list", "save it as JSON lines") }.array
    }

    /// `what` stands at `place`; `remedy` is for one with too many values.
    private static func parse(
        _ bytes: UnsafeRawBufferPointer, place: String, _ what: String, _ remedy: String
    ) throws -> JSON {
        do {
            return try JSONParser.parse(bytes)
        } catch let error as MartletError where error.code == .tooLarge {
            throw MartletError(.tooLarge, "\(place): \(what) has more than 4,000,000 values; \(remedy)")
        } catch let error as MartletError {
            throw MartletError(.invalidData, "\(place): \(error.message)")
        }
    }

    /// The keys of the first 1,000 objects, in the order of their first appearance.
    static func columns(path: String) throws -> [String] {
        let reader = try JSONLinesReader(path: path, table: [])
        var columns: [String] = []
        var seen: Set<String> = []
        var fault: MartletError?
        for _ in 0..<1000 {
            let object: JSONObject?
            do {
                object = try reader.object()
            } catch let error as MartletError where error.code == .invalidData || error.code == .tooLarge {
                // The pass over the rows tells of it with its place.
                fault = fault ?? error
                guard try reader.skip() else { break }
                continue
            }
            guard let object else { break }
            for key in object.keys where seen.insert(key).inserted { columns.append(key) }
            guard columns.count <= TextLimits.columns else {
                throw MartletError(
                    .tooLarge,
                    "\(reader.file), line \(reader.number): with this line there are more than 100,000 columns; put lists "
                        + "into one key")
            }
        }
        if columns.isEmpty, let fault { throw fault }
        guard !columns.isEmpty else {
            throw MartletError(.invalidData, "the file '\(reader.file)' is empty; give one JSON object a line")
        }
        return columns
    }

    func skip() throws -> Bool {
        try lines?.skip() ?? true
    }

    /// The next line that is not blank.
    private func line() throws -> UnsafeBufferPointer<UInt8>? {
        while let line = try lines?.next() {
            guard line.contains(where: { $0 > 0x20 }) else { continue }
            number = lines?.line ?? 0
            return line
        }
        return nil
    }

    private func parse(_ line: UnsafeBufferPointer<UInt8>) throws -> JSON {
        try Self.parse(
            UnsafeRawBufferPointer(line), place: "\(file), line \(number)", "the line", "cut it into rows")
    }

    private func object() throws -> JSONObject? {
        if lines != nil { return try line().map { try object(try parse($0)) } }
        number += 1
        return try rows.popFirst().map { try object($0) }
    }

    private func object(_ value: JSON) throws -> JSONObject {
        guard let object = value.object else {
            throw MartletError(
                .invalidData,
                "\(file), line \(number): \(value.kind) stands where an object must be; write {\"column\": value}")
        }
        guard object.count <= TextLimits.columns else {
            throw MartletError(
                .tooLarge,
                "\(file), line \(number): the object has more than 100,000 columns; put lists into one key")
        }
        return object
    }

    func next(_ row: Row) throws -> Bool {
        arena = Arena()
        row.file = file
        row.folder = folder
        row.numbers = .plain
        row.cells = Array(repeating: .missing, count: width)
        if let lines {
            while let line = try lines.next(row) {
                guard line.contains(where: { $0 > 0x20 }) else { continue }
                number = lines.line
                row.line = number
                if scanner.scan(line, into: &row.cells, arena: arena) { return true }
                row.cells = Array(repeating: .missing, count: width)
                row.excerpt = (nil, String(decoding: line.prefix(81), as: UTF8.self))
                fill(row, try object(try parse(line)))
                return true
            }
            return false
        }
        row.line = number + 1
        guard let object = try object() else { return false }
        fill(row, object)
        return true
    }

    private func fill(_ row: Row, _ object: JSONObject) {
        for (key, value) in object {
            if let place = places[key] { row.cells[place] = JSONCell.cell(value, missing: missing, arena) }
        }
    }
}

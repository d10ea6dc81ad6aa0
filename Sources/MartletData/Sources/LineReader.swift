import Foundation
import MartletWire

/// Cuts a text into lines; memory is one line and a buffer.
package final class LineReader {
    private let stream: TextStream
    package let file: String
    private var buffer: UnsafeMutableBufferPointer<UInt8>
    private var position = 0
    private var limit = 0
    private var atEnd = false
    private(set) var isInLongLine = false
    private var isBroken = false
    /// The number of the last line given, counted from 1.
    package private(set) var line = 0

    package init(path: String, encoding: TextEncoding) throws {
        stream = try TextStream(path: path, encoding: encoding)
        file = (path as NSString).lastPathComponent
        buffer = .allocate(capacity: 1 << 20)
    }

    deinit { buffer.deallocate() }

    /// The next line without its end, which lives until the next call; nil at the end.
    package func next() throws -> UnsafeBufferPointer<UInt8>? {
        var searched = position
        while true {
            guard let base = buffer.baseAddress else { return nil }
            if let found = memchr(base + searched, 0x0A, limit - searched) {
                let end = base.distance(to: found.assumingMemoryBound(to: UInt8.self))
                return take(to: end, skipping: 1)
            }
            if atEnd { return position < limit ? take(to: limit, skipping: 0) : nil }
            searched = limit - position
            if position > 0 {
                memmove(base, base + position, limit - position)
                limit -= position
                position = 0
            }
            if limit == buffer.count { try grow() }
            let count = try read(into: limit)
            limit += count
        }
    }

    private func take(to end: Int, skipping: Int) -> UnsafeBufferPointer<UInt8> {
        line += 1
        var last = end
        if last > position, buffer[last - 1] == 0x0D { last -= 1 }
        defer { position = end + skipping }
        return UnsafeBufferPointer(rebasing: buffer[position..<last])
    }

    /// Passes over the rest of a line at which `next` threw because it is too long.
    /// - Returns: false where the file itself cannot be read on.
    package func skip() throws -> Bool {
        guard !isBroken else { return false }
        guard isInLongLine else { return true }
        isInLongLine = false
        line += 1
        while let base = buffer.baseAddress {
            (position, limit) = (0, 0)
            limit = try read(into: 0)
            if limit == 0 { return true }
            if let found = memchr(base, 0x0A, limit) {
                position = base.distance(to: found.assumingMemoryBound(to: UInt8.self)) + 1
                return true
            }
        }
        return false
    }

    /// Fills the buffer from a place on; 0 means the end.
    private func read(into place: Int) throws -> Int {
        isBroken = true
        let count = try stream.read(
            into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[place...]))
        isBroken = false
        atEnd = count == 0
        return count
    }

    /// How the line begins that is too long.
    package var longLineStart: String {
        String(decoding: UnsafeBufferPointer(rebasing: buffer[position..<min(limit, position + 81)]), as: UTF8.self)
    }

    private func grow() throws {
        guard buffer.count < TextLimits.rowBytes else {
            isInLongLine = true
            throw MartletError(.tooLarge, "\(file), line \(line + 1): the line has more than 64 MiB; cut it into rows")
        }
        let larger = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: buffer.count * 2)
        if let from = buffer.baseAddress, let to = larger.baseAddress { memcpy(to, from, limit) }
        buffer.deallocate()
        buffer = larger
    }
}

extension LineReader {
    /// As `next`; where it throws, `row` says of which line and how it begins.
    func next(_ row: Row) throws -> UnsafeBufferPointer<UInt8>? {
        do {
            return try next()
        } catch {
            row.line = line + 1
            row.excerpt = isInLongLine ? (nil, longLineStart) : nil
            throw error
        }
    }
}

/// Plain text: every line that is not blank is a row with the column `text`.
final class TextReader: RowReader {
    static let column = "text"
    private let lines: LineReader
    private let isUTF8: Bool

    init(path: String, encoding: TextEncoding) throws {
        lines = try LineReader(path: path, encoding: encoding)
        isUTF8 = encoding == .utf8
    }

    func skip() throws -> Bool {
        try lines.skip()
    }

    func next(_ row: Row) throws -> Bool {
        row.file = lines.file
        while let line = try lines.next(row) {
            guard line.contains(where: { $0 > 0x20 }), let start = line.baseAddress else { continue }
            row.line = lines.line
            if isUTF8, UTF8Check.firstFault(line) != nil {
                row.excerpt = (Self.column, String(decoding: line.prefix(81), as: UTF8.self))
                throw MartletError(
                    .invalidData,
                    "\(row.place): the bytes are not UTF-8; set data.csv.encoding, or save the file as UTF-8")
            }
            row.cells = [Cell(.text, start, line.count)]
            return true
        }
        return false
    }
}

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

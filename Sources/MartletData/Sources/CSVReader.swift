import Foundation
import MartletWire

/// Reads a CSV row by row (RFC 4180, with any delimiter and line end); memory is one row and a buffer.
///
/// Cells point into the buffer and live until the next row.
final class CSVReader: RowReader {
    private let stream: TextStream
    private let file: String
    private let folder: String
    private let dialect: CSVDialect
    private var buffer: UnsafeMutableBufferPointer<UInt8>
    private var position = 0
    private var limit = 0
    private var atEnd = false
    private var line = 1
    private var escaped: [Int] = []
    private var columnCount: Int?
    private let missing: [[UInt8]]
    private var missingStarts = [Bool](repeating: false, count: 256)
    /// Where the row's cells go: position in the file → position in the table.
    private var order: [Int]?
    /// The first row, where it is data and was read to count the columns.
    private var held: [Cell]?
    /// Where in the buffer a row at which `next` threw is left, unless it was read to its end.
    private var faultAt: Int?
    private var isBroken = false
    private(set) var columns: [String] = []

    init(path: String, dialect: CSVDialect) throws {
        stream = try TextStream(path: path, encoding: dialect.encoding)
        file = (path as NSString).lastPathComponent
        folder = (path as NSString).deletingLastPathComponent
        self.dialect = dialect
        buffer = .allocate(capacity: 1 << 20)
        missing = dialect.missing.map { Array($0.utf8) }.filter { !$0.isEmpty }
        for word in missing { missingStarts[Int(word[0])] = true }
        try readHeader()
    }

    deinit { buffer.deallocate() }

    private func readHeader() throws {
        let row = Row()
        guard try next(row) else {
            throw MartletError(.invalidData, "the file '\(file)' is empty; give a file with a header and rows")
        }
        columnCount = row.cells.count
        if dialect.header {
            columns = row.cells.enumerated().map { index, cell in
                let name = cell.string.precomposedStringWithCanonicalMapping
                return name.isEmpty ? "column_\(index + 1)" : name
            }
        } else {
            columns = (1...row.cells.count).map { "column_\($0)" }
            held = row.cells
        }
        var seen: Set<String> = []
        for name in columns where !seen.insert(name).inserted {
            throw MartletError(
                .invalidData,
                "\(file), line 1: two columns have the name '\(name)'; rename one, or set data.csv.header",
                param: name)
        }
    }

    /// Gives the cells in the order of `table`, which names the same columns.
    func align(to table: [String]) throws {
        guard columns != table else { return }
        var places: [String: Int] = [:]
        for (index, name) in table.enumerated() { places[name] = index }
        order = try columns.map { name in
            guard let place = places[name], columns.count == table.count else {
                throw MartletError(
                    .invalidData,
                    "\(file) has the columns \(columns.prefix(8).joined(separator: ", ")) where the first file of the "
                        + "table has \(table.prefix(8).joined(separator: ", ")); give files with the same header",
                    param: name)
            }
            return place
        }
    }

    func next(_ row: Row) throws -> Bool {
        row.file = file
        row.folder = folder
        row.numbers = dialect.numbers
        if let cells = held {
            held = nil
            row.cells = cells
            row.line = 1
            return true
        }
        while true {
            let step: Step
            do {
                step = try scan(row)
                if case .more = step { try refill() }
            } catch {
                if let faultAt, let base = buffer.baseAddress {
                    row.line = line
                    row.excerpt = (nil, Self.start(base, position, max(faultAt, min(limit, position + 81))))
                }
                throw error
            }
            switch step {
            case .row:
                if let order {
                    let cells = row.cells
                    for (index, cell) in cells.enumerated() { row.cells[order[index]] = cell }
                }
                return true
            case .blank: continue
            case .end: return false
            case .more: continue
            }
        }
    }

    private func refill() throws {
        if position > 0, let base = buffer.baseAddress {
            memmove(base, base + position, limit - position)
            limit -= position
            position = 0
        }
        if limit == buffer.count {
            guard buffer.count < TextLimits.rowBytes else {
                faultAt = position
                throw MartletError(
                    .tooLarge,
                    "\(file), line \(line): a row has more than 64 MiB; a quotation mark that is never closed is the "
                        + "usual cause: mend it, or set data.csv.delimiter")
            }
            let larger = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: buffer.count * 2)
            if let from = buffer.baseAddress, let to = larger.baseAddress { memcpy(to, from, limit) }
            buffer.deallocate()
            buffer = larger
        }
        isBroken = true
        let count = try stream.read(
            into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[limit...]))
        isBroken = false
        if count == 0 { atEnd = true }
        limit += count
    }

    private enum Step { case row, blank, end, more }

    private func scan(_ row: Row) throws -> Step {
        guard let base = buffer.baseAddress else { return .end }
        if position == limit { return atEnd ? .end : .more }
        let delimiter = dialect.delimiter
        let limit = limit
        var p = position
        var lines = 0
        var seen: UInt8 = 0
        row.cells.removeAll(keepingCapacity: true)
        escaped.removeAll(keepingCapacity: true)
        while true {
            while p < limit, base[p] == 0x20 || (base[p] == 0x09 && delimiter != 0x09) { p += 1 }
            if p < limit, base[p] == 0x22 {
                p += 1
                let start = p
                while true {
                    guard p < limit else {
                        guard atEnd else { return .more }
                        faultAt = position
                        throw MartletError(
                            .invalidData,
                            "\(file), line \(line): a quotation mark opens a cell and none closes it; add it or double it"
                        )
                    }
                    let byte = base[p]
                    seen |= byte
                    if byte == 0x22 {
                        guard p + 1 < limit else {
                            if atEnd { break }
                            return .more
                        }
                        guard base[p + 1] == 0x22 else { break }
                        if escaped.last != row.cells.count { escaped.append(row.cells.count) }
                        p += 1
                    } else if byte == 0x0A {
                        lines += 1
                    }
                    p += 1
                }
                append(base + start, p - start, to: row)
                p += 1
                while p < limit, base[p] == 0x20 { p += 1 }
                if p < limit, base[p] != delimiter, base[p] != 0x0A, base[p] != 0x0D {
                    faultAt = p
                    throw MartletError(
                        .invalidData,
                        "\(file), line \(line): text follows the closing quotation mark of cell \(row.cells.count); "
                            + "double the marks inside a cell")
                }
            } else {
                let start = p
                while p < limit {
                    let byte = base[p]
                    if byte == delimiter || byte == 0x0A || byte == 0x0D { break }
                    seen |= byte
                    p += 1
                }
                var end = p
                while end > start, base[end - 1] == 0x20 { end -= 1 }
                append(base + start, end - start, to: row)
            }
            if p == limit {
                guard atEnd else { return .more }
                break
            }
            let byte = base[p]
            if byte == 0x0D {
                if p + 1 == limit, !atEnd { return .more }
                p += p + 1 < limit && base[p + 1] == 0x0A ? 2 : 1
                lines += 1
                break
            }
            p += 1
            if byte == 0x0A {
                lines += 1
                break
            }
            if row.cells.count > TextLimits.columns {
                faultAt = p
                throw MartletError(
                    .tooLarge,
                    "\(file), line \(line): the row has more than 100,000 columns; set data.csv.delimiter, or transpose the table"
                )
            }
        }
        return try finish(row, base, end: p, lines: lines, isASCII: seen < 0x80)
    }

    /// Takes the cells of a row that was read to its end.
    private func finish(
        _ row: Row, _ base: UnsafeMutablePointer<UInt8>, end: Int, lines: Int, isASCII: Bool
    ) throws -> Step {
        row.line = line
        let start = position
        position = end
        line += lines
        if !isASCII, dialect.encoding == .utf8 { try validate(row, base, from: start, to: end) }
        for index in escaped { unescape(&row.cells[index]) }
        if row.cells.count == 1, row.cells[0].count == 0 { return .blank }
        if let columnCount, row.cells.count != columnCount {
            row.excerpt = (nil, Self.start(base, start, end))
            throw MartletError(
                .invalidData,
                "\(file), line \(row.line): the row has \(row.cells.count) cells where the header has \(columnCount) "
                    + "columns; mend the row, or quote cells that hold the delimiter "
                    + "'\(String(decoding: [dialect.delimiter], as: UTF8.self))'")
        }
        return .row
    }

    /// How the row begins that lies from `start` on.
    private static func start(_ base: UnsafeMutablePointer<UInt8>, _ start: Int, _ end: Int) -> String {
        let bytes = UnsafeBufferPointer(start: base + start, count: min(81, end - start))
        return String(decoding: bytes.prefix { $0 != 0x0A && $0 != 0x0D }, as: UTF8.self)
    }

    /// After a row that was not read to its end, reading goes on with the line after the fault.
    func skip() throws -> Bool {
        guard !isBroken else { return false }
        guard var from = faultAt else { return true }
        faultAt = nil
        while let base = buffer.baseAddress {
            if let found = memchr(base + from, 0x0A, limit - from) {
                let end = base.distance(to: found.assumingMemoryBound(to: UInt8.self)) + 1
                line += UnsafeBufferPointer(start: base + position, count: end - position).count { $0 == 0x0A }
                position = end
                return true
            }
            line += UnsafeBufferPointer(start: base + position, count: limit - position).count { $0 == 0x0A }
            position = limit
            if atEnd { return true }
            try refill()
            from = position
        }
        return false
    }

    @inline(__always)
    private func append(_ start: UnsafeMutablePointer<UInt8>, _ count: Int, to row: Row) {
        guard count > 0 else {
            row.cells.append(Cell(.missing, start, 0))
            return
        }
        if missingStarts[Int(start[0])] {
            for word in missing where word.count == count && memcmp(word, start, count) == 0 {
                row.cells.append(Cell(.missing, start, count))
                return
            }
        }
        row.cells.append(Cell(.text, start, count))
    }

    private func unescape(_ cell: inout Cell) {
        let bytes = UnsafeMutablePointer(mutating: cell.start)
        var write = 0
        var read = 0
        while read < cell.count {
            bytes[write] = bytes[read]
            read += bytes[read] == 0x22 ? 2 : 1
            write += 1
        }
        cell.count = write
    }

    private func validate(_ row: Row, _ base: UnsafeMutablePointer<UInt8>, from start: Int, to end: Int) throws {
        guard let fault = UTF8Check.firstFault(UnsafeBufferPointer(start: base + start, count: end - start)) else {
            return
        }
        let place = UnsafePointer(base + start + fault)
        let cell = row.cells.firstIndex { $0.start <= place && place < $0.start + $0.count }
        row.excerpt =
            cell.map { ($0 < columns.count ? columns[$0] : nil, row.cells[$0].string) }
            ?? (nil, Self.start(base, start, end))
        let bytes = (fault..<min(fault + 4, end - start)).map { String(base[start + $0], radix: 16, uppercase: true) }
        throw MartletError(
            .invalidData,
            "\(file), line \(row.line): the bytes \(bytes.joined(separator: " ")) are not UTF-8; set data.csv.encoding "
                + "(gb18030, utf-16, latin1), or save the file as UTF-8", param: "data.csv.encoding")
    }
}

import MartletWire

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

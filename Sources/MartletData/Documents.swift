import Foundation
import MartletWire

/// The texts that a language model learns from, one after another, as often as they are asked for.
///
/// A text file is one document, unless it is empty; a table and JSON lines have one in each row's `column`.
public struct Documents {
    /// A text, or a part of a long one that ends where a line does.
    public struct Part {
        /// Counted from 0 over all sources.
        public var document: Int
        /// The split that the document was published in.
        public var split: Split?
        public var text: String
        public var isLast: Bool
    }

    private let table: Table
    private let column: String

    /// - Throws: `invalidData` and `invalidRecipe` where there are no texts or no such column.
    public init(
        _ sources: ResolvedSources, column: String, csv: CSVConfig, watch: ReadingWatch = ReadingWatch()
    ) throws {
        table = try SourceCatalog.table(sources, csv: csv, for: .texts, watch: watch)
        self.column = column
        if let part = table.parts.first(where: { $0.text == nil }) {
            guard part.format != "images", part.format != "idx" else {
                throw MartletError(
                    .invalidData, "\(part.name) holds images; a language model learns from texts",
                    param: "data.source")
            }
            _ = try table.place(of: column, for: "data.column")
        }
    }

    /// The splits that some of the sources were published in.
    public var givenSplits: Set<Split> { Set(table.parts.compactMap(\.split)) }

    public var sourceNames: [String] { table.parts.map(\.name) }

    /// What a person should hear of files and folders that are not read.
    public var remarks: [String] { table.remarks }

    /// Rows without a text are left out. Where bad rows are collected, the pass goes on after one and throws the first at
    /// its end.
    public func forEach(_ body: (Part) throws -> Void) throws {
        var document = 0
        for (number, source) in table.parts.enumerated() {
            if source.text != nil {
                try TextParts(source, number, table.watch).forEach { text, isLast in
                    try body(Part(document: document, split: source.split, text: text, isLast: isLast))
                }
                document += 1
                continue
            }
            let place = try table.place(of: column, for: "data.column")
            try table.forEach(ofPart: number) { row in
                let cell = row.cells[place]
                guard !cell.isMissing, cell.count > 0 else { return }
                try body(Part(document: document, split: source.split, text: cell.string, isLast: true))
                document += 1
            }
        }
        try table.watch.badRows?.check()
    }
}

/// A text file cut into parts that end where a line does.
private struct TextParts {
    private let source: TablePart
    /// The source's number in its table.
    private let number: Int
    private let watch: ReadingWatch

    /// Longer texts come in parts of about this size, so that memory stays bounded.
    private static let partByteCount = 8 << 20
    private static let newline = UInt8(ascii: "\n")

    init(_ source: TablePart, _ number: Int, _ watch: ReadingWatch) {
        self.source = source
        self.number = number
        self.watch = watch
    }

    func forEach(_ body: (_ text: String, _ isLast: Bool) throws -> Void) throws {
        guard let (path, encoding) = source.text else { return }
        let stream = try TextStream(path: path, encoding: encoding)
        var pending: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 18)
        // Bytes of `pending` up to the end of its last line.
        var whole = 0
        var lines = 0
        while true {
            try watch.goOn()
            let count: Int
            do {
                count = try chunk.withUnsafeMutableBytes { try stream.read(into: $0) }
            } catch let error as MartletError where error.code == .invalidData {
                // Nothing can be read after it.
                let line = stream.faultLine ?? lines + pending.count { $0 == Self.newline } + 1
                return try collect(error, line, [])
            }
            if count == 0 { break }
            if let last = chunk[..<count].lastIndex(of: Self.newline) { whole = pending.count + last + 1 }
            pending += chunk[..<count]
            guard pending.count >= Self.partByteCount else { continue }
            if whole > 0 {
                try body(try text(pending[..<whole], &lines), false)
                pending.removeFirst(whole)
                whole = 0
            } else if pending.count >= 64 * Self.partByteCount {
                let error = MartletError(
                    .invalidData,
                    "\(source.name), line \(lines + 1): the line has more than \(pending.count >> 20) MiB; cut it into lines"
                )
                return try collect(error, lines + 1, pending[...])
            }
        }
        try body(try text(pending[...], &lines), true)
    }

    /// The text of some lines, counted in `lines`; those that are not UTF-8 are collected and left out.
    private func text(_ bytes: ArraySlice<UInt8>, _ lines: inout Int) throws -> String {
        if let text = String(validating: bytes, as: UTF8.self) {
            lines += bytes.count { $0 == Self.newline }
            return text
        }
        var good: [UInt8] = []
        var rest = bytes
        while !rest.isEmpty {
            let end = rest.firstIndex(of: Self.newline).map { $0 + 1 } ?? rest.endIndex
            let line = rest[..<end]
            rest = rest[end...]
            if let fault = line.withUnsafeBufferPointer({ UTF8Check.firstFault($0) }) {
                let shown = line[(line.startIndex + fault)...].prefix(4).filter { $0 != Self.newline }
                let hex = shown.map { String($0, radix: 16, uppercase: true) }.joined(separator: " ")
                let error = MartletError(
                    .invalidData,
                    "\(source.name), line \(lines + 1): the bytes \(hex) are not UTF-8; set data.csv.encoding (gb18030, "
                        + "utf-16, latin1), or save the file as UTF-8", param: "data.csv.encoding")
                try collect(error, lines + 1, line)
            } else {
                good += line
            }
            lines += line.last == Self.newline ? 1 : 0
        }
        return String(decoding: good, as: UTF8.self)
    }

    /// Keeps a line that cannot be used, or throws where none are kept.
    private func collect(_ error: MartletError, _ line: Int, _ bytes: ArraySlice<UInt8>) throws {
        guard let badRows = watch.badRows else { throw error }
        let start = String(decoding: bytes.prefix(81).prefix { $0 != Self.newline }, as: UTF8.self)
        try badRows.add(
            error, file: source.name, line: line, part: number, row: line, value: bytes.isEmpty ? nil : start)
    }
}

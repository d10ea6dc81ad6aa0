import Foundation
import MartletWire

/// The texts that a language model learns from, one after another, as often as they are asked for.
///
/// A text file is one document; a table and JSON lines have one in each row's `column`.
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

    /// Longer texts come in parts of about this size, so that memory stays bounded.
    private static let partByteCount = 8 << 20

    /// - Throws: `invalidData` and `invalidRecipe` where there are no texts or no such column.
    public init(
        _ sources: ResolvedSources, column: String, csv: CSVConfig, watch: ReadingWatch = ReadingWatch()
    ) throws {
        table = try SourceCatalog.table(sources, csv: csv, watch: watch)
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

    /// Rows without a text are left out.
    public func forEach(_ body: (Part) throws -> Void) throws {
        var document = 0
        for (number, source) in table.parts.enumerated() {
            if let (path, encoding) = source.text {
                try read(path, encoding, source.name) { text, isLast in
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
    }

    private func read(
        _ path: String, _ encoding: TextEncoding, _ name: String, _ body: (String, Bool) throws -> Void
    ) throws {
        let stream = try TextStream(path: path, encoding: encoding)
        var pending: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 18)
        var lines = 0
        func text(_ bytes: some Collection<UInt8>) throws -> String {
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw MartletError(
                    .invalidData,
                    "\(name), after line \(lines): the bytes are not UTF-8; set data.csv.encoding, or save the file as "
                        + "UTF-8")
            }
            return text
        }
        while true {
            try table.watch.goOn()
            let count = try chunk.withUnsafeMutableBytes { try stream.read(into: $0) }
            if count == 0 { break }
            pending += chunk[..<count]
            guard pending.count >= Self.partByteCount, let end = pending.lastIndex(of: UInt8(ascii: "\n")) else {
                guard pending.count < 64 * Self.partByteCount else {
                    throw MartletError(
                        .invalidData, "\(name), after line \(lines): a line of more than \(pending.count) bytes")
                }
                continue
            }
            try body(try text(pending[...end]), false)
            lines += pending[...end].count { $0 == UInt8(ascii: "\n") }
            pending.removeSubrange(...end)
        }
        try body(try text(pending), true)
    }
}

import Foundation
import MartletWire

/// One cell of a row: bytes that live until the reader moves on.
package struct Cell {
    package enum Kind: UInt8 {
        /// No value.
        case missing
        /// UTF-8 text as the source had it.
        case text
        /// A number written with a decimal point, whatever the source's format is.
        case plainNumber
        /// Decoded pixels, rows of `width` pixels of `channels` bytes.
        case pixels
        /// The path of an image file, in UTF-8.
        case file
        /// The bytes of a PNG or JPEG file.
        case encodedImage
        /// A list or object as JSON text.
        case json
    }
    package var kind: Kind
    package var start: UnsafePointer<UInt8>
    package var count: Int
    package var height: Int32 = 0
    package var width: Int32 = 0
    package var channels: Int32 = 0

    package init(_ kind: Kind, _ start: UnsafePointer<UInt8>, _ count: Int) {
        self.kind = kind
        self.start = start
        self.count = count
    }

    static var missing: Cell { Cell(.missing, StaticBytes.empty.start, 0) }

    package var bytes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: start, count: count) }
    package var string: String { String(decoding: bytes, as: UTF8.self) }
    package var isMissing: Bool { kind == .missing }

    /// The number that this cell spells, or nil.
    @inline(__always)
    func number(_ format: NumberFormat) -> Double? {
        kind == .plainNumber ? NumberFormat.plain.parse(bytes) : kind == .text ? format.parse(bytes) : nil
    }
}

/// Bytes that stay where they are for as long as this object lives.
///
/// Unchecked because the bytes never change after `init`.
final class StaticBytes: @unchecked Sendable {
    let start: UnsafePointer<UInt8>
    let count: Int

    init(_ bytes: some Collection<UInt8>) {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        memory.pointee = 0
        var index = 0
        for byte in bytes {
            memory[index] = byte
            index += 1
        }
        start = UnsafePointer(memory)
        count = bytes.count
    }

    convenience init(_ text: String) { self.init(Array(text.utf8)) }

    deinit { start.deallocate() }

    static let empty = StaticBytes([])

    var cell: Cell { Cell(.text, start, count) }
}

/// A row on its way through the pipeline, reused from row to row.
package final class Row {
    package var cells: [Cell] = []
    /// The file's name, without its folder.
    package var file = ""
    /// Counted from 1; 0 where the source has no lines.
    package var line = 0
    /// The folder of the file, where cells may name files beside it.
    var folder = ""
    /// How text cells write numbers.
    package var numbers = NumberFormat.plain
    /// Of a row that could not be read: the column at fault, where one is, and how the cell or the row begins.
    var excerpt: (column: String?, value: String)?

    package init() {}

    /// `people.csv, line 17` or `request, row 3`.
    var place: String { line > 0 ? "\(file), line \(line)" : file }

    /// An error about one cell: where it is, what it holds, and the remedy.
    func fault(_ column: String, _ cell: Cell, _ problem: String, remedy: String) -> MartletError {
        var value = String(decoding: cell.bytes.prefix(80), as: UTF8.self)
        if cell.count > 80 { value += "…" }
        return MartletError(
            .invalidData, "\(place), column '\(column)': '\(value)' \(problem); \(remedy)", param: column)
    }

    func missing(_ column: String, remedy: String) -> MartletError {
        MartletError(.invalidData, "\(place), column '\(column)': there is no value; \(remedy)", param: column)
    }
}

/// Keeps the bytes of rows that were built in memory.
final class Arena {
    private var blocks: [StaticBytes] = []

    func number(_ value: Double) -> Cell { cell(.plainNumber, Array(NumberFormat.plain.text(value).utf8)) }

    func cell(_ kind: Cell.Kind, _ bytes: some Collection<UInt8>) -> Cell {
        let block = StaticBytes(bytes)
        blocks.append(block)
        return Cell(kind, block.start, block.count)
    }
}

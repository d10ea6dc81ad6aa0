import Foundation
import MartletWire

/// An IDX file of bytes (LeCun's MNIST format): a magic number, big-endian dimensions, then the values.
final class IDXFile {
    let name: String
    /// Rows, then the shape of one.
    let dimensions: [Int]
    let rowBytes: Int
    private let stream: ByteStream
    private let buffer: UnsafeMutableRawBufferPointer
    private var filled = 0
    private var position = 0
    private var row = 0

    init(path: String) throws {
        stream = try ByteStream(path: path)
        name = stream.name
        let start = try stream.read(upTo: 4)
        guard start.count == 4, start[0] == 0, start[1] == 0, (1...4).contains(start[3]) else {
            throw MartletError(.invalidData, "'\(name)' is not an IDX file; its first bytes are wrong")
        }
        guard start[2] == 8 else {
            throw MartletError(
                .unsupportedFormat, "'\(name)' is IDX of type \(start[2]); only unsigned bytes (8) are read")
        }
        let sizes = try stream.read(upTo: 4 * Int(start[3]))
        guard sizes.count == 4 * Int(start[3]) else { throw Self.cut(name, 0) }
        dimensions = (0..<Int(start[3])).map { place in
            sizes[(4 * place)..<(4 * place + 4)].reduce(0) { $0 << 8 | Int($1) }
        }
        var bytes = 1
        for size in dimensions.dropFirst() {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
            guard size > 0, !overflow, product <= 3 * ImageCodec.maxPixels else {
                throw MartletError(
                    .tooLarge,
                    "'\(name)' claims rows of \(dimensions.dropFirst().map(String.init).joined(separator: "×")) bytes; "
                        + "at most 64 million pixels are read")
            }
            bytes = product
        }
        rowBytes = bytes
        buffer = .allocate(byteCount: max(1, (1 << 20) / bytes) * bytes, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// The next row's bytes, which live until the next call; nil at the end.
    func next() throws -> UnsafePointer<UInt8>? {
        guard row < dimensions[0] else { return nil }
        if position == filled {
            filled = try stream.read(into: buffer)
            position = 0
            guard filled >= rowBytes else { throw Self.cut(name, row) }
            filled -= filled % rowBytes
        }
        guard let base = buffer.baseAddress else { return nil }
        let start = base + position
        position += rowBytes
        row += 1
        return UnsafePointer(start.assumingMemoryBound(to: UInt8.self))
    }

    private static func cut(_ name: String, _ row: Int) -> MartletError {
        MartletError(.invalidData, "'\(name)' is cut short after row \(row); copy it again")
    }
}

/// Reads images and their labels from a pair of IDX files, or one alone.
final class IDXReader: RowReader {
    private let images: IDXFile?
    private let labels: IDXFile?
    private let names: [StaticBytes]
    private let order: [Int]
    private let columnCount: Int
    private var height: Int32 = 0
    private var width: Int32 = 0
    private var channels: Int32 = 1
    private var line = 0

    /// `labelNames` are the words for labels 0, 1, …; without them a label is its number.
    init(images: String?, labels: String?, labelNames: [String], columns: [String], table: [String]) throws {
        self.images = try images.map { try IDXFile(path: $0) }
        self.labels = try labels.map { try IDXFile(path: $0) }
        names = (0...255).map { StaticBytes($0 < labelNames.count ? labelNames[$0] : String($0)) }
        columnCount = table.count
        order = columns.compactMap { table.firstIndex(of: $0) }
        guard order.count == columns.count else {
            throw MartletError(.invalidData, "the sources have different columns; give sources of one kind")
        }
        if let file = self.images {
            let shape = file.dimensions
            guard shape.count == 3 || (shape.count == 4 && (shape[3] == 1 || shape[3] == 3)) else {
                throw MartletError(
                    .unsupportedFormat,
                    "'\(file.name)' has \(shape.count) dimensions; images have 3 (or 4 with 1 or 3 channels)")
            }
            guard shape[1] <= ImageCodec.maxSide, shape[2] <= ImageCodec.maxSide else {
                throw MartletError(
                    .tooLarge, "'\(file.name)' claims images of \(shape[2]) × \(shape[1]) pixels; at most 16,384 a side"
                )
            }
            height = Int32(shape[1])
            width = Int32(shape[2])
            channels = shape.count == 4 ? Int32(shape[3]) : 1
        }
        if let file = self.labels, file.dimensions.count != 1 {
            throw MartletError(
                .unsupportedFormat,
                "'\(file.name)' has \(file.dimensions.count) dimensions; labels have 1, images 3 or 4")
        }
        if let images = self.images, let labels = self.labels, images.dimensions[0] != labels.dimensions[0] {
            throw MartletError(
                .invalidData,
                "'\(images.name)' has \(images.dimensions[0]) images and '\(labels.name)' \(labels.dimensions[0]) labels; "
                    + "give the pair that belongs together")
        }
    }

    func next(_ row: Row) throws -> Bool {
        if row.cells.count != columnCount { row.cells = Array(repeating: .missing, count: columnCount) }
        var place = 0
        line += 1
        row.line = line
        if let images {
            guard let start = try images.next() else { return false }
            var cell = Cell(.pixels, start, images.rowBytes)
            (cell.height, cell.width, cell.channels) = (height, width, channels)
            row.cells[order[place]] = cell
            row.file = images.name
            place += 1
        }
        if let labels {
            guard let start = try labels.next() else { return false }
            row.cells[order[place]] = names[Int(start.pointee)].cell
            if images == nil { row.file = labels.name }
        }
        return true
    }
}

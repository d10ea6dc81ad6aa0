import Foundation
import MartletWire

/// Encoded rows in a file that is mapped into memory: a file larger than memory trains, and shuffling is a permutation
/// of row numbers.
public final class EncodedRows: Sendable {
    public let count: Int
    public let layouts: [FeatureLayout]
    /// Bytes of the file.
    public let byteCount: Int
    private let file: MappedFile
    private let offsets: [Int]
    private let stride: Int

    /// Of a file that `EncodedRowsWriter` wrote.
    init(_ file: MappedFile, layouts: [FeatureLayout], count: Int) {
        self.file = file
        self.layouts = layouts
        self.count = count
        var offset = 0
        offsets = layouts.map { layout in
            defer { offset += layout.byteCount }
            return offset
        }
        stride = offset
        byteCount = stride * count
    }

    /// The rows with these numbers, in this order. Throws `internal` for a number that is not a row's.
    public func batch(rows: [Int]) throws -> FeatureBatch {
        for row in rows where row < 0 || row >= count {
            throw MartletError(.internal, "row \(row) was asked for of \(count) rows")
        }
        return gather(rows.count) { rows[$0] }
    }

    /// Every row, in order.
    public func all() throws -> FeatureBatch { gather(count) { $0 } }

    private func gather(_ rows: Int, _ row: (Int) -> Int) -> FeatureBatch {
        FeatureBatch(
            count: rows,
            features: zip(layouts, offsets).map { layout, offset in
                let length = layout.byteCount
                func fill<Value>(_ buffer: UnsafeMutableBufferPointer<Value>) {
                    guard let base = file.base, length > 0,
                        let target = UnsafeMutableRawBufferPointer(buffer).baseAddress
                    else {
                        return
                    }
                    for index in 0..<rows {
                        memcpy(target + index * length, base + row(index) * stride + offset, length)
                    }
                }
                let elements = rows * layout.elementCount
                let values: FeatureValues =
                    switch layout.storage {
                    case .float32:
                        .floats(
                            [Float](unsafeUninitializedCapacity: elements) {
                                fill($0); $1 = elements
                            })
                    case .int64:
                        .ints(
                            [Int64](unsafeUninitializedCapacity: elements) {
                                fill($0); $1 = elements
                            })
                    case .uint8:
                        .bytes(
                            [UInt8](unsafeUninitializedCapacity: elements) {
                                fill($0); $1 = elements
                            })
                    }
                return (layout, values)
            })
    }
}

/// Writes encoded rows of a fixed length one after the other.
final class EncodedRowsWriter {
    private let file: CacheFileWriter
    private let stride: Int
    private(set) var count = 0

    init(path: String, stride: Int) throws {
        self.stride = stride
        file = try CacheFileWriter(path: path, unit: stride)
    }

    /// Gives `fill` the room of one row.
    func append(_ fill: (UnsafeMutableRawPointer) throws -> Void) throws {
        try file.append(stride, fill)
        count += 1
    }

    func finish(layouts: [FeatureLayout]) throws -> EncodedRows {
        EncodedRows(try file.finish(), layouts: layouts, count: count)
    }
}

import Foundation
import MartletWire

/// Encoded rows in a file that is mapped into memory: a file larger than memory trains, and shuffling is a permutation
/// of row numbers.
///
/// Unchecked because the mapping is read-only for as long as the object lives.
public final class EncodedRows: @unchecked Sendable {
    public let count: Int
    public let layouts: [FeatureLayout]
    /// Bytes of the file.
    public let byteCount: Int
    private let base: UnsafeRawPointer?
    private let offsets: [Int]
    private let stride: Int

    /// Maps a file that `EncodedRowsWriter` wrote.
    init(path: String, layouts: [FeatureLayout], count: Int) throws {
        self.layouts = layouts
        self.count = count
        var offset = 0
        offsets = layouts.map { layout in
            defer { offset += layout.byteCount }
            return offset
        }
        stride = offset
        byteCount = stride * count
        guard byteCount > 0 else {
            base = nil
            return
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw MartletError(.internal, "the cache of encoded rows cannot be opened; start the job again")
        }
        defer { close(descriptor) }
        let mapped = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0)
        guard let mapped, mapped != MAP_FAILED else {
            throw MartletError(
                .outOfMemory, "the cache of encoded rows (\(byteCount) bytes) cannot be mapped; free memory")
        }
        base = UnsafeRawPointer(mapped)
    }

    deinit {
        if let base { munmap(UnsafeMutableRawPointer(mutating: base), byteCount) }
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
                    guard let base, length > 0, let target = UnsafeMutableRawBufferPointer(buffer).baseAddress else {
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
    private let descriptor: Int32
    private let path: String
    private let stride: Int
    private var buffer: UnsafeMutableRawBufferPointer
    private var filled = 0
    private(set) var count = 0

    init(path: String, stride: Int) throws {
        self.path = path
        self.stride = stride
        buffer = .allocate(byteCount: max(1, max(stride, (1 << 20) / max(1, stride) * stride)), alignment: 16)
        // Rows of an earlier pass may still be mapped: they keep their own file.
        unlink(path)
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            buffer.deallocate()
            throw MartletError(
                .storageFull,
                "the cache of encoded rows cannot be created; check the space and rights of the home folder")
        }
    }

    deinit {
        close(descriptor)
        buffer.deallocate()
    }

    /// Gives `fill` the room of one row.
    func append(_ fill: (UnsafeMutableRawPointer) throws -> Void) throws {
        if filled + stride > buffer.count { try flush() }
        if let base = buffer.baseAddress { try fill(base + filled) }
        filled += stride
        count += 1
    }

    func finish(layouts: [FeatureLayout]) throws -> EncodedRows {
        try flush()
        return try EncodedRows(path: path, layouts: layouts, count: count)
    }

    private func flush() throws {
        var written = 0
        while written < filled, let base = buffer.baseAddress {
            let result = write(descriptor, base + written, filled - written)
            if result < 0 {
                if errno == EINTR { continue }
                throw MartletError(
                    .storageFull,
                    "the disk is full while rows are encoded (\(count) rows done); free space and try again")
            }
            written += result
        }
        filled = 0
    }
}

import MartletData
import MartletModels
import MartletNN
import MartletTensor

/// Encoded rows as tensors, a batch at a time.
///
/// Rows that fit in memory are held as tensors, and small ones are put in an epoch's order once so that a batch is a
/// view; larger ones are read from their mapped file as they are needed.
final class RowTensors {
    let count: Int
    private let rows: EncodedRows
    private let device: Device
    private let augmenter: Augmenter?
    private let inputCount: Int
    private var held: [Tensor]?
    private var ordered: [Tensor]?
    private var order: [Int] = []
    private var orderTensor: Tensor?

    /// A batch: the inputs in the recipe's order, then the targets.
    struct Batch {
        let count: Int
        let inputs: [Tensor]
        let targets: [Tensor]
    }

    private static let holdLimit = 2 << 30
    private static let reorderLimit = 64 << 20

    init(_ rows: EncodedRows, device: Device, augmenter: Augmenter? = nil) throws {
        self.rows = rows
        self.device = device
        self.augmenter = augmenter
        count = rows.count
        inputCount = rows.layouts.filter { $0.role == .input }.count
        if augmenter == nil, rows.byteCount <= Self.holdLimit {
            held = try rows.all().features.map { try tensor($0.layout, $0.values, rows: rows.count) }
        }
    }

    /// The order in which the next batches take the rows; nil is as they lie.
    func setOrder(_ permutation: [Int64]?) throws {
        ordered = nil
        orderTensor = nil
        order = []
        guard let permutation else {
            ordered = held
            if held == nil { order = Array(0..<count) }
            return
        }
        guard let held else {
            order = permutation.map { Int($0) }
            return
        }
        let index = try Tensor(permutation, shape: [permutation.count], device: device)
        if rows.byteCount <= Self.reorderLimit {
            ordered = try held.map { try $0.indexSelect(0, index) }
        } else {
            orderTensor = index
        }
    }

    /// The rows at places `range` of the order. `step` keys the augmentation.
    func batch(_ range: Range<Int>, step: Int) throws -> Batch {
        if let ordered {
            return split(try ordered.map { try $0.narrow(0, from: range.lowerBound, length: range.count) }, range.count)
        }
        if let held, let orderTensor {
            let index = try orderTensor.narrow(0, from: range.lowerBound, length: range.count)
            return split(try held.map { try $0.indexSelect(0, index) }, range.count)
        }
        let numbers = Array(order[range])
        var batch = try rows.batch(rows: numbers)
        if let augmenter { batch = augmenter.apply(batch, step: UInt64(step), rows: numbers) }
        return split(try batch.features.map { try tensor($0.layout, $0.values, rows: batch.count) }, range.count)
    }

    /// The targets of `batch` alone.
    func targets(_ range: Range<Int>) throws -> [Tensor] {
        if let ordered {
            return try ordered[inputCount...].map { try $0.narrow(0, from: range.lowerBound, length: range.count) }
        }
        if let held, let orderTensor {
            let index = try orderTensor.narrow(0, from: range.lowerBound, length: range.count)
            return try held[inputCount...].map { try $0.indexSelect(0, index) }
        }
        let batch = try rows.batch(rows: Array(order[range]))
        return try batch.features[inputCount...].map { try tensor($0.layout, $0.values, rows: batch.count) }
    }

    private func split(_ tensors: [Tensor], _ count: Int) -> Batch {
        Batch(count: count, inputs: Array(tensors[..<inputCount]), targets: Array(tensors[inputCount...]))
    }

    private func tensor(_ layout: FeatureLayout, _ values: FeatureValues, rows: Int) throws -> Tensor {
        try Tensor(values, layout: layout, rows: rows, device: device)
    }
}

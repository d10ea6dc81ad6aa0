import CKernels
import MartletNN
import MartletTensor

// N tokens of a pass

/// Which tokens of the pass that is being computed go through which adapter. Lives on the compute thread.
final class AdapterPass {
    private struct Segment {
        var adapter: AdapterWeights
        var row: Int
        var count: Int
    }
    private var segments: [Segment] = []
    private var tokenCount = 0

    /// Sets what the next products are of: parts of tokens, each with its adapter or none, in order.
    func begin(_ parts: [(adapter: AdapterWeights?, count: Int)]) {
        segments.removeAll(keepingCapacity: true)
        tokenCount = 0
        for part in parts {
            defer { tokenCount += part.count }
            guard let adapter = part.adapter else { continue }
            if let last = segments.last, last.adapter === adapter, last.row + last.count == tokenCount {
                segments[segments.count - 1].count += part.count
            } else {
                segments.append(Segment(adapter: adapter, row: tokenCount, count: part.count))
            }
        }
    }

    /// Adds to a group's result y [N, out] what the adapters of its rows make of x [N, in].
    func add(_ x: Tensor, to y: Tensor, group: Int) throws {
        guard !segments.isEmpty else { return }
        guard x.rank == 2, y.rank == 2, x.size(0) == tokenCount, y.size(0) == tokenCount, y.isContiguous else {
            throw TensorError(
                .value, "adapters of \(tokenCount) tokens do not fit a product of \(x.shape) to \(y.shape)")
        }
        var work = 0
        let parts = segments.compactMap { segment -> ck_segment? in
            let additions = segment.adapter.additions(to: group)
            guard !additions.isEmpty else { return nil }
            for addition in additions { work += segment.count * Int(addition.rank) * (x.size(1) + Int(addition.width)) }
            return ck_segment(
                row: Int64(segment.row), count: Int32(segment.count), addition_count: Int32(additions.count),
                additions: additions.baseAddress)
        }
        guard !parts.isEmpty else { return }
        let width = x.size(1)
        try x.withRows(of: Float.self) { x, stride in
            try y.withUnsafeMutableBytes { bytes in
                parts.withUnsafeBufferPointer { parts in
                    var adaptation = ck_adaptation()
                    adaptation.x = x
                    adaptation.y = bytes.bindMemory(to: Float.self).baseAddress
                    adaptation.x_stride = Int64(stride)
                    adaptation.y_stride = Int64(y.size(1))
                    adaptation.segments = parts.baseAddress
                    adaptation.segment_count = Int32(parts.count)
                    adaptation.inputs = Int32(width)
                    let items = Int(ck_adapt_items(&adaptation))
                    // Work of some 20 µs is done before a second thread has woken up.
                    Torch.parallel(items, grain: work < 200_000 ? items : 1, ck_adapt_run, &adaptation)
                }
            }
        }
    }
}

/// A weight whose product gets the additions of the adapters that the pass's tokens go through.
struct AdaptedWeight: LinearWeight {
    let base: any LinearWeight
    let group: Int
    let pass: AdapterPass

    func callAsFunction(_ x: Tensor) throws -> Tensor { try adapted(base(x), x) }
    func callAsFunction(_ x: Tensor, adding residual: Tensor) throws -> Tensor {
        try adapted(base(x, adding: residual), x)
    }

    private func adapted(_ y: Tensor, _ x: Tensor) throws -> Tensor {
        try pass.add(x, to: y, group: group)
        return y
    }
}

/// Layers that are computed one by one where no format packs them, as one result.
struct SeparateWeights: LinearWeight {
    let weights: [DenseWeight]

    func callAsFunction(_ x: Tensor) throws -> Tensor {
        let parts = try weights.map { try $0(x) }
        return parts.count == 1 ? parts[0] : try Tensor.cat(parts, axis: -1)
    }
}

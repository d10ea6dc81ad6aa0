import CKernels
import Foundation
import MartletModels
import MartletWire

/// An adapter in memory: its matrices in float32, one after another as the kernel reads them, and where they add.
final class AdapterWeights: @unchecked Sendable {
    // Unchecked: the memory is written in `init` and only read after it.
    private let numbers: UnsafeMutableBufferPointer<Float>
    private let additions: UnsafeMutableBufferPointer<ck_addition>
    /// The additions of each group of the base.
    private let ranges: [Range<Int>]

    /// Bytes of its matrices.
    static func byteCount(_ plan: [AdapterFolder.Addition]) -> Int {
        plan.reduce(0) { $0 + $1.count * MemoryLayout<Float>.size }
    }

    /// Reads what was planned. Needs no tensors; any thread will do.
    init(_ folder: AdapterFolder, _ plan: [AdapterFolder.Addition], groupCount: Int) throws {
        let plan = plan.sorted { ($0.site.group, $0.site.first) < ($1.site.group, $1.site.first) }
        numbers = .allocate(capacity: plan.reduce(0) { $0 + $1.count })
        additions = .allocate(capacity: plan.count)
        additions.initialize(repeating: ck_addition())
        var ranges = Array(repeating: 0..<0, count: groupCount)
        for (index, addition) in plan.enumerated() {
            let group = addition.site.group
            ranges[group] = (ranges[group].isEmpty ? index : ranges[group].lowerBound)..<index + 1
        }
        self.ranges = ranges
        var place = 0
        for (index, addition) in plan.enumerated() { try read(addition, folder, at: &place, index) }
    }

    private func read(
        _ addition: AdapterFolder.Addition, _ folder: AdapterFolder, at place: inout Int, _ index: Int
    ) throws {
        let (a, b) = try folder.matrices(addition)
        let (rank, width) = (addition.rank, addition.site.outputs)
        guard let base = numbers.baseAddress, a.count + b.count == addition.count else {
            throw MartletError(.internal, "an adapter's matrices changed while they were read")
        }
        let (first, second) = (base + place, base + place + a.count)
        first.initialize(from: a, count: a.count)
        let scale = Float(addition.scale)
        for r in 0..<rank {
            for column in 0..<width { second[r * width + column] = b[column * rank + r] * scale }
        }
        place += addition.count
        additions[index] = ck_addition(
            a: first, b: second, rank: Int32(rank), first: Int32(addition.site.first), width: Int32(width))
    }

    deinit {
        numbers.deallocate()
        additions.deallocate()
    }

    /// What it adds to a group's result.
    func additions(to group: Int) -> UnsafeBufferPointer<ck_addition> {
        UnsafeBufferPointer(rebasing: additions[ranges[group]])
    }
}

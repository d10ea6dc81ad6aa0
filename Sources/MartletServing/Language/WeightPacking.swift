import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// Packs a model's groups of linear layers from their files on several threads, while a first pass computes with the
/// numbers as they lie there.
///
/// A group is in memory as float32 only from when it is read until it is packed, and a few groups are at a time.
final class WeightPacking: @unchecked Sendable {
    // Unchecked: what changes is used under `condition`, and a group's tensors are one thread's at a time.
    private enum State { case unread, reading, read, packing, packed }
    private struct Item {
        var state = State.unread
        /// The numbers in float32, [out, in].
        var source: Tensor?
        /// Whether the first pass has used them, or never will.
        var isUsed = false
        var result: (any LinearWeight)?
    }
    private let groups: [LinearGroup]
    private let biases: [Tensor?]
    private let format: WeightFormat
    private let deferred: DeferredWeights
    private let memory: SourceMemory
    /// Groups in float32 at one time.
    private let limit: Int
    private let condition = NSCondition()
    private var items: [Item]
    private var failure: (any Error)?
    private var threadsLeft = 0

    /// - Parameters:
    ///   - model: its groups' weights are in the files, but for shared ones.
    ///   - threads: how many read and pack, the caller among them.
    static func pack(
        _ model: any LanguageModel, _ deferred: DeferredWeights, _ format: WeightFormat, threads: Int,
        firstPass: () throws -> Tensor?
    ) throws -> Tensor? {
        let groups = model.linearGroups.filter { !$0.layers.isEmpty }
        let packing = try WeightPacking(groups, deferred, format, threads: threads)
        do {
            let result = try packing.run(threads: threads, firstPass)
            for (group, item) in zip(groups, packing.items) { group.packed = item.result }
            return result
        } catch {
            for group in groups { group.packed = nil }
            throw error
        }
    }

    private init(
        _ groups: [LinearGroup], _ deferred: DeferredWeights, _ format: WeightFormat, threads: Int
    ) throws {
        self.groups = groups
        self.format = format
        self.deferred = deferred
        limit = threads + 1
        biases = try groups.map { try $0.bias() }
        items = groups.map { _ in Item() }
        memory = SourceMemory(
            byteCount: groups.map { group in 4 * group.layers.reduce(0) { $0 + $1.weight.value.count } }.max() ?? 0,
            // A dense weight stays what it was read into.
            isReused: format != .dense)
    }

    private func run(threads: Int, _ firstPass: () throws -> Tensor?) throws -> Tensor? {
        for (index, group) in groups.enumerated() {
            group.packed = FirstUse(packing: self, index: index)
            // A router may send nothing there.
            items[index].isUsed = group.isRouted
        }
        threadsLeft = threads - 1
        for _ in 1..<max(1, threads) {
            Thread.detachNewThread { [self] in
                work(isPatient: true)
                condition.withLock {
                    threadsLeft -= 1
                    condition.broadcast()
                }
            }
        }
        var result: Tensor?
        do { result = try firstPass() } catch { fail(error) }
        condition.withLock {
            for index in items.indices { items[index].isUsed = true }
            condition.broadcast()
        }
        work(isPatient: true)
        return try condition.withLock {
            while threadsLeft > 0 { condition.wait() }
            if let failure { throw failure }
            return result
        }
    }

    /// Reads and packs what there is; a patient caller until everything is packed, another until there is room again.
    private func work(isPatient: Bool) {
        while let index = next(isPatient: isPatient) {
            do {
                let (state, source) = condition.withLock { (items[index].state, items[index].source) }
                if state == .reading {
                    let source = try read(groups[index])
                    finish(index, .read) { $0.source = source }
                } else if let source {
                    condition.withLock { items[index].source = nil }
                    let result = try Tensor.inference { try format.weight(source, bias: biases[index]) }
                    finish(index, .packed) { $0.result = result }
                }
            } catch {
                fail(error)
            }
        }
    }

    private func next(isPatient: Bool) -> Int? {
        condition.withLock {
            while failure == nil {
                let inMemory = items.count { $0.state == .reading || $0.state == .read || $0.state == .packing }
                if !isPatient, inMemory < limit { return nil }
                if let index = items.firstIndex(where: { $0.state == .read && $0.isUsed }) {
                    items[index].state = .packing
                    return index
                }
                let isBusy = items.contains { $0.state == .packing || $0.state == .reading }
                if !isPatient {
                    guard isBusy else { return nil }
                } else if inMemory < limit, let index = items.firstIndex(where: { $0.state == .unread }) {
                    items[index].state = .reading
                    return index
                } else if items.allSatisfy({ $0.state == .packed }) {
                    return nil
                }
                condition.wait()
            }
            return nil
        }
    }

    private func finish(_ index: Int, _ state: State, _ change: (inout Item) -> Void) {
        condition.withLock {
            items[index].state = state
            change(&items[index])
            condition.broadcast()
        }
    }

    private func fail(_ error: any Error) {
        condition.withLock {
            failure = failure ?? error
            condition.broadcast()
        }
    }

    /// The layers' weights one after another.
    private func read(_ group: LinearGroup) throws -> Tensor {
        if group.layers.count == 1, !deferred.contains(group.layers[0].weight) {
            return try group.layers[0].weight.value.detach().to(.float32).contiguous()
        }
        let shape = [group.layers.reduce(0) { $0 + $1.weight.value.size(0) }, group.layers[0].weight.value.size(1)]
        let tensor = try memory.tensor(shape)
        try tensor.withUnsafeMutableBytes { bytes in
            let target = bytes.bindMemory(to: Float.self)
            var first = 0
            for layer in group.layers {
                let count = layer.weight.value.count
                let part = UnsafeMutableBufferPointer(rebasing: target[first..<first + count])
                if deferred.contains(layer.weight) {
                    try deferred.read(ObjectIdentifier(layer.weight), into: part)
                } else {
                    _ = part.update(from: try layer.weight.value.detach().array(of: Float.self))
                }
                first += count
            }
        }
        return tensor
    }

    /// The first pass's use of a group. On its thread.
    fileprivate func use(_ x: Tensor, _ index: Int) throws -> Tensor {
        enum Found { case mine, other(Tensor?) }
        let group = groups[index]
        let found: Found = condition.withLock {
            if items[index].state == .unread, !group.isRouted {
                items[index].state = .reading
                return .mine
            }
            while items[index].state == .reading, failure == nil, !group.isRouted { condition.wait() }
            return .other(items[index].state == .read ? items[index].source : nil)
        }
        let source: Tensor
        switch found {
        case .mine:
            source = try read(group)
            finish(index, .read) { $0.source = source }
        case .other(let read?): source = read
        case .other(nil):
            if let failure = condition.withLock({ failure }) { throw failure }
            source = try read(group)
        }
        let y = try x.linear(source, biases[index])
        condition.withLock {
            items[index].isUsed = true
            condition.broadcast()
        }
        work(isPatient: false)
        return y
    }
}

/// A group that is still to be packed.
private struct FirstUse: LinearWeight {
    let packing: WeightPacking
    let index: Int

    func callAsFunction(_ x: Tensor) throws -> Tensor { try packing.use(x, index) }
}

/// Memory that groups are read into, one after another in the same: fresh memory has to be cleared first each time.
private final class SourceMemory: @unchecked Sendable {
    // Unchecked: `free` is used under `lock`.
    private let byteCount: Int
    private let isReused: Bool
    private let lock = NSLock()
    private var free: [UnsafeMutableRawPointer] = []

    init(byteCount: Int, isReused: Bool) {
        self.byteCount = byteCount
        self.isReused = isReused
    }

    deinit { for pointer in free { munmap(pointer, byteCount) } }

    func tensor(_ shape: [Int]) throws -> Tensor {
        guard isReused, byteCount > 0 else { return try Tensor.empty(shape) }
        let pointer = try lock.withLock { free.popLast() } ?? Self.mapped(byteCount)
        let bytes = UnsafeMutableRawBufferPointer(start: pointer, count: 4 * shape.reduce(1, *))
        nonisolated(unsafe) let kept = pointer
        return try Tensor(wrapping: bytes, shape: shape, type: .float32) { [self] in
            lock.withLock { free.append(kept) }
        }
    }

    private static func mapped(_ byteCount: Int) throws -> UnsafeMutableRawPointer {
        let pointer = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let pointer, pointer != MAP_FAILED else {
            throw MartletError(.outOfMemory, "there is no memory for \(byteCount) bytes of weights")
        }
        LargePages.use(UnsafeMutableRawBufferPointer(start: pointer, count: byteCount))
        return pointer
    }
}

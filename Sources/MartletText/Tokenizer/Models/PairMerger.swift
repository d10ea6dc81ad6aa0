/// Joins neighbours by rank, lowest first and leftmost of equals, in O(n log n) for a word of n symbols.
struct PairMerger: Sendable {
    private(set) var ids: [Int32] = []
    /// Bytes of each symbol; 0 once it is joined to the one before.
    private(set) var lengths: [Int32] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var ranks: [Int32] = []
    private var heap: [UInt64] = []

    static let scanLimit = 48

    mutating func begin() {
        ids.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
    }

    @inline(__always)
    mutating func add(_ id: Int32, _ length: Int) {
        ids.append(id)
        lengths.append(Int32(length))
    }

    mutating func merge(_ pairs: PairTable) {
        guard ids.count > 1, pairs.count > 0 else { return }
        if ids.count <= Self.scanLimit { mergeShort(pairs) } else { mergeLong(pairs) }
    }

    /// Looks for the lowest rank again after each join: fastest for ordinary words.
    private mutating func mergeShort(_ pairs: PairTable) {
        var count = ids.count
        ranks.removeAll(keepingCapacity: true)
        for index in 0..<count - 1 { ranks.append(pairs.find(ids[index], ids[index + 1]).rank) }
        while true {
            var best: Int32 = .max
            var place = -1
            for index in 0..<count - 1 where ranks[index] >= 0 && ranks[index] < best {
                best = ranks[index]
                place = index
            }
            guard place >= 0 else { break }
            ids[place] = pairs.find(ids[place], ids[place + 1]).result
            lengths[place] += lengths[place + 1]
            count -= 1
            for index in place + 1..<max(count, place + 1) {
                ids[index] = ids[index + 1]
                lengths[index] = lengths[index + 1]
            }
            for index in place..<max(count - 1, place) { ranks[index] = ranks[index + 1] }
            if place > 0 { ranks[place - 1] = pairs.find(ids[place - 1], ids[place]).rank }
            if place < count - 1 { ranks[place] = pairs.find(ids[place], ids[place + 1]).rank }
            if count == 1 { break }
        }
        ids.removeLast(ids.count - count)
        lengths.removeLast(lengths.count - count)
    }

    private mutating func mergeLong(_ pairs: PairTable) {
        let count = ids.count
        next = (0..<count).map { Int32($0 + 1) }
        next[count - 1] = -1
        previous = (0..<count).map { Int32($0 - 1) }
        heap.removeAll(keepingCapacity: true)
        for index in 0..<count - 1 {
            let rank = pairs.find(ids[index], ids[index + 1]).rank
            if rank >= 0 { heap.append(UInt64(UInt32(rank)) << 32 | UInt64(index)) }
        }
        for index in stride(from: (heap.count - 2) / 4, through: 0, by: -1) where heap.count > 1 { sink(index) }
        while let top = heap.first {
            let last = heap.removeLast()
            if !heap.isEmpty {
                heap[0] = last
                sink(0)
            }
            let place = Int(top & 0xFFFF_FFFF)
            guard lengths[place] > 0, next[place] >= 0 else { continue }
            let right = Int(next[place])
            let found = pairs.find(ids[place], ids[right])
            guard found.rank >= 0, UInt64(found.rank) == top >> 32 else { continue }
            ids[place] = found.result
            lengths[place] += lengths[right]
            lengths[right] = 0
            next[place] = next[right]
            if next[right] >= 0 { previous[Int(next[right])] = Int32(place) }
            push(Int(previous[place]), place, pairs)
            push(place, Int(next[place]), pairs)
        }
        var kept = 0
        for index in 0..<count where lengths[index] > 0 {
            ids[kept] = ids[index]
            lengths[kept] = lengths[index]
            kept += 1
        }
        ids.removeLast(count - kept)
        lengths.removeLast(count - kept)
    }

    private mutating func push(_ left: Int, _ right: Int, _ pairs: PairTable) {
        guard left >= 0, right >= 0 else { return }
        let rank = pairs.find(ids[left], ids[right]).rank
        guard rank >= 0 else { return }
        var index = heap.count
        let entry = UInt64(UInt32(rank)) << 32 | UInt64(left)
        heap.append(entry)
        heap.withUnsafeMutableBufferPointer { heap in
            while index > 0, heap[(index - 1) / 4] > entry {
                heap[index] = heap[(index - 1) / 4]
                index = (index - 1) / 4
            }
            heap[index] = entry
        }
    }

    private mutating func sink(_ start: Int) {
        heap.withUnsafeMutableBufferPointer { heap in
            let entry = heap[start]
            var index = start
            while true {
                let first = index * 4 + 1
                guard first < heap.count else { break }
                var least = first
                var child = first + 1
                while child < min(first + 4, heap.count) {
                    if heap[child] < heap[least] { least = child }
                    child += 1
                }
                guard heap[least] < entry else { break }
                heap[index] = heap[least]
                index = least
            }
            heap[index] = entry
        }
    }
}

/// Joins neighbours by rank, lowest first and leftmost of equals.
///
/// A long word is gone through rank by rank: all the places of one rank in order, so that the time is linear but for the
/// sorting of places that come from several ranks.
struct PairMerger: Sendable {
    private(set) var ids: [Int32] = []
    /// Bytes of each symbol.
    private(set) var lengths: [Int32] = []
    private var ranks: [Int32] = []
    private var long = RankQueue()

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
        let kept = ids.count <= Self.scanLimit ? mergeShort(pairs) : mergeLong(pairs)
        ids.removeLast(ids.count - kept)
        lengths.removeLast(lengths.count - kept)
    }

    /// Looks for the lowest rank again after each join: fastest for ordinary words.
    private mutating func mergeShort(_ pairs: PairTable) -> Int {
        while ranks.count < ids.count { ranks.append(-1) }
        return ids.withUnsafeMutableBufferPointer { ids in
            lengths.withUnsafeMutableBufferPointer { lengths in
                ranks.withUnsafeMutableBufferPointer { ranks in
                    var count = ids.count
                    for index in 0..<count - 1 { ranks[index] = pairs.find(ids[index], ids[index + 1]).rank }
                    while count > 1 {
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
                        var index = place + 1
                        while index < count {
                            ids[index] = ids[index + 1]
                            lengths[index] = lengths[index + 1]
                            ranks[index - 1] = ranks[index]
                            index += 1
                        }
                        if place > 0 { ranks[place - 1] = pairs.find(ids[place - 1], ids[place]).rank }
                        if place < count - 1 { ranks[place] = pairs.find(ids[place], ids[place + 1]).rank }
                    }
                    return count
                }
            }
        }
    }

    private mutating func mergeLong(_ pairs: PairTable) -> Int {
        let count = ids.count
        var next = [Int32](unsafeUninitializedCapacity: count) { buffer, size in
            for index in 0..<count { buffer.initializeElement(at: index, to: Int32(index + 1)) }
            size = count
        }
        var previous = [Int32](unsafeUninitializedCapacity: count) { buffer, size in
            for index in 0..<count { buffer.initializeElement(at: index, to: Int32(index - 1)) }
            size = count
        }
        next[count - 1] = -1
        long.begin(rankCount: pairs.rankCount)
        return ids.withUnsafeMutableBufferPointer { ids in
            lengths.withUnsafeMutableBufferPointer { lengths in
                next.withUnsafeMutableBufferPointer { next in
                    previous.withUnsafeMutableBufferPointer { previous in
                        for index in 0..<count - 1 {
                            let rank = pairs.find(ids[index], ids[index + 1]).rank
                            if rank >= 0 { long.put(rank, index) }
                        }
                        while let (rank, places) = long.takeLowest() {
                            for (index, entry) in places.enumerated() {
                                let place = Int(entry)
                                guard lengths[place] > 0, next[place] >= 0 else { continue }
                                let right = Int(next[place])
                                let found = pairs.find(ids[place], ids[right])
                                guard found.rank == rank else { continue }
                                ids[place] = found.result
                                lengths[place] += lengths[right]
                                lengths[right] = 0
                                next[place] = next[right]
                                if next[right] >= 0 { previous[Int(next[right])] = entry }
                                var lowest: Int32 = .max
                                if previous[place] >= 0 {
                                    let left = Int(previous[place])
                                    let rank = pairs.find(ids[left], ids[place]).rank
                                    if rank >= 0 {
                                        long.put(rank, left)
                                        lowest = rank
                                    }
                                }
                                if next[place] >= 0 {
                                    let rank = pairs.find(ids[place], ids[Int(next[place])]).rank
                                    if rank >= 0 {
                                        long.put(rank, place)
                                        lowest = min(lowest, rank)
                                    }
                                }
                                if lowest < rank {
                                    long.putBack(rank, places[(index + 1)...])
                                    break
                                }
                            }
                        }
                        var kept = 0
                        for index in 0..<count where lengths[index] > 0 {
                            ids[kept] = ids[index]
                            lengths[kept] = lengths[index]
                            kept += 1
                        }
                        return kept
                    }
                }
            }
        }
    }
}

/// Places by rank: the lowest rank comes first, with its places in order.
private struct RankQueue: Sendable {
    /// For each rank its list in `lists`, or −1.
    private var listOf: [Int32] = []
    private var lists: [[Int32]] = []
    private var free: [Int32] = []
    /// A heap of the ranks that have a list.
    private var heap: [Int32] = []

    mutating func begin(rankCount: Int) {
        if listOf.count < rankCount { listOf = [Int32](repeating: -1, count: rankCount) }
    }

    mutating func put(_ rank: Int32, _ place: Int) {
        var list = listOf[Int(rank)]
        if list < 0 {
            list = add(rank)
        }
        lists[Int(list)].append(Int32(place))
    }

    mutating func putBack(_ rank: Int32, _ places: ArraySlice<Int32>) {
        guard !places.isEmpty else { return }
        let list = Int(listOf[Int(rank)] < 0 ? add(rank) : listOf[Int(rank)])
        lists[list] = Array(places) + lists[list]
    }

    private mutating func add(_ rank: Int32) -> Int32 {
        let list: Int32
        if let last = free.popLast() {
            list = last
        } else {
            list = Int32(lists.count)
            lists.append([])
        }
        listOf[Int(rank)] = list
        var index = heap.count
        heap.append(rank)
        while index > 0, heap[(index - 1) / 2] > rank {
            heap[index] = heap[(index - 1) / 2]
            index = (index - 1) / 2
        }
        heap[index] = rank
        return list
    }

    mutating func takeLowest() -> (rank: Int32, places: [Int32])? {
        guard let rank = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            var index = 0
            while true {
                var child = index * 2 + 1
                guard child < heap.count else { break }
                if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
                guard heap[child] < last else { break }
                heap[index] = heap[child]
                index = child
            }
            heap[index] = last
        }
        let list = Int(listOf[Int(rank)])
        listOf[Int(rank)] = -1
        var places: [Int32] = []
        swap(&places, &lists[list])
        free.append(Int32(list))
        var isSorted = true
        var before: Int32 = -1
        for place in places {
            if place < before {
                isSorted = false
                break
            }
            before = place
        }
        if !isSorted { places.sort() }
        return (rank, places)
    }
}

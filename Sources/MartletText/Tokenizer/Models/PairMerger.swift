/// Joins neighbours by rank, lowest first and leftmost of equals.
///
/// A long word is gone through rank by rank: all the places of one rank in order, so that the time is linear but for the
/// sorting of places that come from several ranks.
struct PairMerger: Sendable {
    private(set) var ids: [Int32] = []
    /// Bytes of each symbol.
    private(set) var lengths: [Int32] = []
    private var ranks: [Int32] = []
    /// Of a long word: where a symbol begins, how many of the first symbols it has become of; where it ends, the same with
    /// a minus; 0 between. Both neighbours are found so with little memory, as a long text does not fit the caches.
    private var spans: [Int32] = []
    private var long = RankQueue()

    static let scanLimit = 48
    /// Symbols of a word whose memory is kept for the next one.
    static let keptCount = 2 << 20

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
        spans.removeAll(keepingCapacity: true)
        spans.append(contentsOf: repeatElement(1, count: count))
        long.begin(rankCount: pairs.rankCount)
        ids.withUnsafeMutableBufferPointer { ids in
            spans.withUnsafeMutableBufferPointer { spans in
                for index in 0..<count - 1 {
                    let rank = pairs.find(ids[index], ids[index + 1]).rank
                    if rank >= 0 { long.put(rank, index) }
                }
                var places = long.takeSpare()
                defer { long.keep(&places) }
                while let rank = long.takeLowest(into: &places) {
                    for (index, entry) in places.enumerated() {
                        let lowest = Self.join(Int(entry), rank, ids, spans, pairs, &long)
                        if lowest < rank {
                            long.putBack(rank, places[(index + 1)...])
                            break
                        }
                    }
                }
            }
        }
        var kept = 0
        var place = 0
        while place < count {
            let next = place + Int(spans[place])
            ids[kept] = ids[place]
            lengths[kept] = lengths[place..<next].reduce(0, +)
            kept += 1
            place = next
        }
        // One long text must not hold its memory for all that come after it.
        if count > Self.keptCount {
            spans = []
            long = RankQueue()
        }
        return kept
    }

    /// Joins a symbol with the next where their pair still has this rank.
    /// - Returns: the lowest rank of the pairs that this made.
    @inline(__always)
    private static func join(
        _ place: Int, _ rank: Int32, _ ids: UnsafeMutableBufferPointer<Int32>,
        _ spans: UnsafeMutableBufferPointer<Int32>, _ pairs: PairTable, _ queue: inout RankQueue
    ) -> Int32 {
        let span = Int(spans[place])
        let right = place + span
        guard span > 0, right < ids.count else { return .max }
        let found = pairs.find(ids[place], ids[right])
        guard found.rank == rank else { return .max }
        let next = right + Int(spans[right])
        if span > 1 { spans[right - 1] = 0 }
        spans[right] = 0
        spans[place] = Int32(next - place)
        spans[next - 1] = Int32(place - next)
        ids[place] = found.result
        var lowest: Int32 = .max
        if place > 0 {
            let before = Int(spans[place - 1])
            let left = before < 0 ? place + before : place - 1
            let rank = pairs.find(ids[left], found.result).rank
            if rank >= 0 {
                queue.put(rank, left)
                lowest = rank
            }
        }
        if next < ids.count {
            let rank = pairs.find(found.result, ids[next]).rank
            if rank >= 0 {
                queue.put(rank, place)
                lowest = min(lowest, rank)
            }
        }
        return lowest
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
    /// The memory of the places that were taken last.
    private var spare: [Int32] = []

    mutating func takeSpare() -> [Int32] {
        var taken: [Int32] = []
        swap(&taken, &spare)
        return taken
    }

    mutating func keep(_ places: inout [Int32]) { swap(&places, &spare) }

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

    /// The lowest rank, with its places in order; the memory of those taken before is used again.
    mutating func takeLowest(into places: inout [Int32]) -> Int32? {
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
        places.removeAll(keepingCapacity: true)
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
        return rank
    }
}

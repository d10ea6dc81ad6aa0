/// Joins neighbours by rank, lowest first and leftmost of equals.
///
/// A long word is gone through rank by rank: all the places of one rank in order, so that the time is linear but for the
/// sorting of places that come from several ranks.
struct PairMerger: Sendable {
    private(set) var ids: [Int32] = []
    /// Bytes of each symbol.
    private(set) var lengths: [Int32] = []
    private var ranks: [Int32] = []
    /// The symbols of a long word: what a join reads of one lies side by side, as a long text does not fit the caches.
    private var symbols: [Symbol] = []
    private var long = RankQueue()

    /// A symbol with its neighbours' places, −1 for none; one that was joined to the left has no length.
    private struct Symbol: Sendable {
        var id: Int32
        var length: Int32
        var previous: Int32
        var next: Int32
    }

    static let scanLimit = 48
    /// Symbols of a word whose memory is kept for the next one.
    private static let keptCount = 2 << 20

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
        symbols.removeAll(keepingCapacity: true)
        symbols.reserveCapacity(count)
        for index in 0..<count {
            symbols.append(
                Symbol(
                    id: ids[index], length: lengths[index], previous: Int32(index - 1),
                    next: index == count - 1 ? -1 : Int32(index + 1)))
        }
        long.begin(rankCount: pairs.rankCount)
        symbols.withUnsafeMutableBufferPointer { symbols in
            for index in 0..<count - 1 {
                let rank = pairs.find(symbols[index].id, symbols[index + 1].id).rank
                if rank >= 0 { long.put(rank, index) }
            }
            var places: [Int32] = []
            while let rank = long.takeLowest(into: &places) {
                for (index, entry) in places.enumerated() {
                    let lowest = Self.join(Int(entry), rank, symbols, pairs, &long)
                    if lowest < rank {
                        long.putBack(rank, places[(index + 1)...])
                        break
                    }
                }
            }
        }
        var kept = 0
        for symbol in symbols where symbol.length > 0 {
            ids[kept] = symbol.id
            lengths[kept] = symbol.length
            kept += 1
        }
        // One long text must not hold its memory for all that come after it.
        if count > Self.keptCount {
            symbols = []
            long = RankQueue()
        }
        return kept
    }

    /// Joins a symbol with the next where their pair still has this rank.
    /// - Returns: the lowest rank of the pairs that this made.
    @inline(__always)
    private static func join(
        _ place: Int, _ rank: Int32, _ symbols: UnsafeMutableBufferPointer<Symbol>, _ pairs: PairTable,
        _ queue: inout RankQueue
    ) -> Int32 {
        var symbol = symbols[place]
        guard symbol.length > 0, symbol.next >= 0 else { return .max }
        let right = symbols[Int(symbol.next)]
        let found = pairs.find(symbol.id, right.id)
        guard found.rank == rank else { return .max }
        symbols[Int(symbol.next)].length = 0
        symbol.id = found.result
        symbol.length += right.length
        symbol.next = right.next
        symbols[place] = symbol
        var lowest: Int32 = .max
        if symbol.previous >= 0 {
            let left = Int(symbol.previous)
            let rank = pairs.find(symbols[left].id, symbol.id).rank
            if rank >= 0 {
                queue.put(rank, left)
                lowest = rank
            }
        }
        if symbol.next >= 0 {
            let next = Int(symbol.next)
            symbols[next].previous = Int32(place)
            let rank = pairs.find(symbol.id, symbols[next].id).rank
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

/// How often each pair of tokens stands side by side in a set of counted words, kept while pairs are joined.
struct PairCounter: Sendable {
    struct Pair: Hashable, Sendable {
        var left: Int32
        var right: Int32
    }

    private struct Entry: Sendable {
        var count: Int
        var pair: Pair

        /// More often first; of equals the pair with the lower identifiers.
        func isBefore(_ other: Entry) -> Bool {
            if count != other.count { return count > other.count }
            return (pair.left, pair.right) < (other.pair.left, other.pair.right)
        }
    }

    private var words: [[Int32]] = []
    private var wordCounts: [Int] = []
    private var counts: [Pair: Int] = [:]
    /// The words that hold, or held, a pair.
    private var places: [Pair: Set<Int32>] = [:]
    private var heap: [Entry] = []
    private var isHeaped = false

    mutating func add(_ word: [Int32], count: Int) {
        for index in word.indices.dropFirst() {
            let pair = Pair(left: word[index - 1], right: word[index])
            counts[pair, default: 0] += count
            places[pair, default: []].insert(Int32(words.count))
        }
        words.append(word)
        wordCounts.append(count)
    }

    /// The most frequent pair, which leaves the count.
    mutating func takeMostFrequent() -> (left: Int32, right: Int32, count: Int)? {
        if !isHeaped {
            isHeaped = true
            for (pair, count) in counts { push(Entry(count: count, pair: pair)) }
        }
        while let top = heap.first {
            pop()
            let count = counts[top.pair] ?? 0
            guard count > 0 else { continue }
            guard count == top.count else {
                push(Entry(count: count, pair: top.pair))
                continue
            }
            return (top.pair.left, top.pair.right, count)
        }
        return nil
    }

    /// Joins a pair in every word.
    mutating func join(_ left: Int32, _ right: Int32, into id: Int32) {
        let pair = Pair(left: left, right: right)
        let holders = places.removeValue(forKey: pair) ?? []
        counts[pair] = nil
        var grown: Set<Pair> = []
        for holder in holders {
            let count = wordCounts[Int(holder)]
            var old: [Int32] = []
            swap(&old, &words[Int(holder)])
            var new: [Int32] = []
            new.reserveCapacity(old.count)
            var index = 0
            func change(_ pair: Pair, _ amount: Int) {
                counts[pair, default: 0] += amount
                if amount > 0 {
                    places[pair, default: []].insert(holder)
                    grown.insert(pair)
                }
            }
            while index < old.count {
                guard old[index] == left, index + 1 < old.count, old[index + 1] == right else {
                    new.append(old[index])
                    index += 1
                    continue
                }
                if let before = new.last {
                    change(Pair(left: before, right: left), -count)
                    change(Pair(left: before, right: id), count)
                }
                if index + 2 < old.count {
                    change(Pair(left: right, right: old[index + 2]), -count)
                    change(Pair(left: id, right: old[index + 2]), count)
                }
                new.append(id)
                index += 2
            }
            words[Int(holder)] = new
        }
        counts[pair] = nil
        for pair in grown {
            if let count = counts[pair], count > 0 { push(Entry(count: count, pair: pair)) }
        }
    }

    private mutating func push(_ entry: Entry) {
        var index = heap.count
        heap.append(entry)
        while index > 0, entry.isBefore(heap[(index - 1) / 2]) {
            heap[index] = heap[(index - 1) / 2]
            index = (index - 1) / 2
        }
        heap[index] = entry
    }

    private mutating func pop() {
        let last = heap.removeLast()
        guard !heap.isEmpty else { return }
        var index = 0
        while true {
            var child = index * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(last) else { break }
            heap[index] = heap[child]
            index = child
        }
        heap[index] = last
    }
}

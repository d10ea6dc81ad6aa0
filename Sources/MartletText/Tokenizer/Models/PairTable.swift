/// Merges by the pair of tokens they join: a flat hash table from two identifiers to a rank and the joined token.
struct PairTable: Sendable {
    private struct Slot: Sendable {
        var key: UInt64 = .max
        var rank: Int32 = -1
        var result: Int32 = -1
    }

    private var slots: [Slot]
    private var mask: Int
    private(set) var count = 0
    /// One more than the highest rank.
    private(set) var rankCount = 0

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = [Slot](repeating: Slot(), count: size)
        mask = size - 1
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        var hash = key &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        var slot = Int(truncatingIfNeeded: hash) & mask
        return slots.withUnsafeBufferPointer { slots in
            while slots[slot].key != .max, slots[slot].key != key { slot = (slot + 1) & mask }
            return slot
        }
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The rank and the joined token, or a rank of −1.
    @inline(__always)
    func find(_ left: Int32, _ right: Int32) -> (rank: Int32, result: Int32) {
        let key = Self.key(left, right)
        return slots.withUnsafeBufferPointer { slots in
            let found = slots[slot(key)]
            return (found.rank, found.result)
        }
    }

    /// Puts a merge in; of two for the same pair the last stays. There must be room.
    mutating func set(_ left: Int32, _ right: Int32, rank: Int32, result: Int32) {
        let key = Self.key(left, right)
        let slot = slot(key)
        if slots[slot].key == .max { count += 1 }
        rankCount = max(rankCount, Int(rank) + 1)
        slots[slot] = Slot(key: key, rank: rank, result: result)
    }
}

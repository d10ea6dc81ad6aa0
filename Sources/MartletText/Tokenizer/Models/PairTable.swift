/// Merges by the pair of tokens they join: a flat hash table from two identifiers to a rank and the joined token.
struct PairTable: Sendable {
    private var keys: [UInt64]
    private var ranks: [Int32]
    private var results: [Int32]
    private var mask: Int
    private(set) var count = 0

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        keys = [UInt64](repeating: .max, count: size)
        ranks = [Int32](repeating: -1, count: size)
        results = [Int32](repeating: -1, count: size)
        mask = size - 1
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        var hash = key &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        var slot = Int(truncatingIfNeeded: hash) & mask
        keys.withUnsafeBufferPointer { keys in
            while keys[slot] != .max, keys[slot] != key { slot = (slot + 1) & mask }
        }
        return slot
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The rank and the joined token, or a rank of −1.
    @inline(__always)
    func find(_ left: Int32, _ right: Int32) -> (rank: Int32, result: Int32) {
        let slot = slot(Self.key(left, right))
        return (ranks[slot], results[slot])
    }

    /// Puts a merge in; of two for the same pair the last stays. There must be room.
    mutating func set(_ left: Int32, _ right: Int32, rank: Int32, result: Int32) {
        let key = Self.key(left, right)
        let slot = slot(key)
        if keys[slot] == .max { count += 1 }
        keys[slot] = key
        ranks[slot] = rank
        results[slot] = result
    }
}

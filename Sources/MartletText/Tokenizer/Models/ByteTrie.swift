/// A trie over bytes in flat arrays, its children found by hashing the pair of a node and a byte.
struct ByteTrie: Sendable {
    private var keys: [UInt64] = []
    private var children: [Int32] = []
    private var mask = 0
    private var nodeCount = 1
    /// The value at each node, or −1.
    private(set) var values: [Int32] = [-1]
    /// Children of the root by byte: the step that is taken most.
    private var first = [Int32](repeating: -1, count: 256)

    init(capacity: Int = 16) { rehash(capacity) }

    private mutating func rehash(_ capacity: Int) {
        var size = 64
        while size < capacity * 2 { size *= 2 }
        let old = zip(keys, children).filter { $0.0 != .max }
        keys = [UInt64](repeating: .max, count: size)
        children = [Int32](repeating: -1, count: size)
        mask = size - 1
        for (key, child) in old {
            let slot = slot(key)
            keys[slot] = key
            children[slot] = child
        }
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        var hash = key &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 29
        var slot = Int(truncatingIfNeeded: hash) & mask
        keys.withUnsafeBufferPointer { keys in
            while keys[slot] != .max, keys[slot] != key { slot = (slot + 1) & mask }
        }
        return slot
    }

    @inline(__always)
    func child(_ node: Int32, _ byte: UInt8) -> Int32 {
        if node == 0 { return first[Int(byte)] }
        return children[slot(UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte))]
    }

    mutating func insert(_ key: [UInt8], _ value: Int32) {
        var node: Int32 = 0
        for byte in key {
            var next = child(node, byte)
            if next < 0 {
                next = Int32(nodeCount)
                nodeCount += 1
                values.append(-1)
                if node == 0 {
                    first[Int(byte)] = next
                } else {
                    if nodeCount * 2 > keys.count { rehash(nodeCount * 2) }
                    let key = UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)
                    let slot = slot(key)
                    keys[slot] = key
                    children[slot] = next
                }
            }
            node = next
        }
        values[Int(node)] = value
    }
}

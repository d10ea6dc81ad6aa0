/// Byte strings to identifiers: a hash table over one flat arena, looked up without making a string.
struct ByteTable: Sendable {
    private var arena: [UInt8] = []
    /// Where each entry's key starts, with one end more.
    private var bounds: [Int] = [0]
    private var values: [Int32] = []
    private var slots: [Int32] = []
    private var mask = 0

    init(minimumCapacity: Int = 16) { rehash(to: minimumCapacity) }

    /// Entries, in the order in which they were put in.
    var count: Int { values.count }

    private mutating func rehash(to capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = [Int32](repeating: -1, count: size)
        mask = size - 1
        for entry in 0..<values.count {
            let hash = arena.withUnsafeBufferPointer { Self.hash($0.baseAddress, bounds[entry], bounds[entry + 1]) }
            var slot = hash & mask
            while slots[slot] >= 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(entry)
        }
    }

    /// FNV-1a with a final mix: short keys, no allocation.
    @inline(__always)
    private static func hash(_ bytes: UnsafePointer<UInt8>?, _ start: Int, _ end: Int) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        if let bytes {
            for index in start..<end { hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01B3 }
        }
        return Int(truncatingIfNeeded: (hash ^ (hash >> 29)) & 0x7FFF_FFFF_FFFF_FFFF)
    }

    @inline(__always)
    private func slot(of key: UnsafeBufferPointer<UInt8>) -> (slot: Int, entry: Int) {
        slots.withUnsafeBufferPointer { slots in
            bounds.withUnsafeBufferPointer { bounds in
                arena.withUnsafeBufferPointer { arena in
                    var slot = Self.hash(key.baseAddress, 0, key.count) & mask
                    while true {
                        let entry = Int(slots[slot])
                        if entry < 0 { return (slot, -1) }
                        let start = bounds[entry]
                        if bounds[entry + 1] - start == key.count {
                            var index = 0
                            while index < key.count, arena[start + index] == key[index] { index += 1 }
                            if index == key.count { return (slot, entry) }
                        }
                        slot = (slot + 1) & mask
                    }
                }
            }
        }
    }

    /// The value of a key, or −1.
    @inline(__always)
    func value(_ key: UnsafeBufferPointer<UInt8>) -> Int32 {
        let entry = slot(of: key).entry
        return entry < 0 ? -1 : values[entry]
    }

    func value(_ key: some Sequence<UInt8>) -> Int32 { Array(key).withUnsafeBufferPointer { value($0) } }

    func value(_ key: String) -> Int32 { value(key.utf8) }

    /// Puts a value in; a key that is there gets the new value.
    mutating func set(_ key: UnsafeBufferPointer<UInt8>, _ value: Int32) {
        let found = slot(of: key)
        if found.entry >= 0 {
            values[found.entry] = value
            return
        }
        slots[found.slot] = Int32(values.count)
        arena.append(contentsOf: key)
        bounds.append(arena.count)
        values.append(value)
        if values.count * 2 > slots.count { rehash(to: values.count * 2) }
    }

    mutating func set(_ key: [UInt8], _ value: Int32) { key.withUnsafeBufferPointer { set($0, value) } }

    /// The key and value of an entry.
    func entry(_ index: Int) -> (key: ArraySlice<UInt8>, value: Int32) {
        (arena[bounds[index]..<bounds[index + 1]], values[index])
    }

    mutating func removeAll() {
        arena.removeAll(keepingCapacity: true)
        bounds.removeAll(keepingCapacity: true)
        bounds.append(0)
        values.removeAll(keepingCapacity: true)
        for index in slots.indices { slots[index] = -1 }
    }

    var byteCount: Int { arena.count }
}

import Foundation

/// Distinct byte strings in the order of their first appearance, found without making a `String`.
struct ByteTable: Sendable {
    private var slots: [Int32] = Array(repeating: -1, count: 64)
    private var hashes: [UInt64] = []
    private var ends: [Int] = []
    private var storage: [UInt8] = []

    var count: Int { hashes.count }

    /// Bytes held, for a bound on memory.
    var byteCount: Int { storage.count + count * 20 }

    subscript(_ index: Int) -> String {
        String(decoding: storage[(index == 0 ? 0 : ends[index - 1])..<ends[index]], as: UTF8.self)
    }

    func find(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        let hash = ByteHash.of(bytes)
        let index = slots[slot(hash, bytes)]
        return index < 0 ? nil : Int(index)
    }

    mutating func insert(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        let hash = ByteHash.of(bytes)
        let slot = slot(hash, bytes)
        if slots[slot] >= 0 { return Int(slots[slot]) }
        slots[slot] = Int32(count)
        hashes.append(hash)
        storage.append(contentsOf: bytes)
        ends.append(storage.count)
        if count * 2 > slots.count { grow() }
        return count - 1
    }

    mutating func insert(_ text: String) -> Int {
        var text = text
        return text.withUTF8 { insert($0) }
    }

    func find(_ text: String) -> Int? {
        var text = text
        return text.withUTF8 { find($0) }
    }

    private func slot(_ hash: UInt64, _ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] >= 0 {
            let index = Int(slots[slot])
            if hashes[index] == hash {
                let start = index == 0 ? 0 : ends[index - 1]
                let length = ends[index] - start
                let same =
                    length == bytes.count
                    && storage.withUnsafeBufferPointer { held in
                        guard length > 0, let a = held.baseAddress, let b = bytes.baseAddress else { return true }
                        return memcmp(a + start, b, length) == 0
                    }
                if same { return slot }
            }
            slot = (slot + 1) & mask
        }
        return slot
    }

    private mutating func grow() {
        slots = Array(repeating: -1, count: slots.count * 2)
        let mask = slots.count - 1
        for (index, hash) in hashes.enumerated() {
            var slot = Int(truncatingIfNeeded: hash) & mask
            while slots[slot] >= 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(index)
        }
    }
}

/// A 64-bit hash of bytes that is the same in every run.
enum ByteHash {
    static func of(_ bytes: UnsafeBufferPointer<UInt8>, seed: UInt64 = 0x51_7C_C1_B7_27_22_0A_95) -> UInt64 {
        var hash = seed ^ UInt64(bytes.count) &* 0x9E37_79B9_7F4A_7C15
        var offset = 0
        let raw = UnsafeRawBufferPointer(bytes)
        while offset + 8 <= raw.count {
            hash = mix(hash ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var last: UInt64 = 0
        while offset < raw.count {
            last = last << 8 | UInt64(raw[offset])
            offset += 1
        }
        return mix(hash ^ last)
    }

    @inline(__always)
    static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low ^ (value >> 32)
    }
}

/// 128 bits of a row, for finding duplicates: two of 2^40 different rows collide with a chance below 10^-14.
struct RowHash: Hashable {
    private var low: UInt64 = 1
    private var high: UInt64 = 2

    mutating func combine(_ cell: Cell) {
        let kind: UInt64 = cell.isMissing ? 0 : 1
        low = ByteHash.mix(ByteHash.of(cell.isMissing ? Cell.missing.bytes : cell.bytes, seed: low ^ kind))
        high = ByteHash.of(cell.isMissing ? Cell.missing.bytes : cell.bytes, seed: high &+ kind &* 77)
    }
}

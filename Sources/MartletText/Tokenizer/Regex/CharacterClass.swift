/// A set of scalars: general categories, ranges, and the opposite of all that.
struct CharacterClass: Sendable, Hashable {
    var categories: CategorySet = []
    var ranges: [ClosedRange<UInt32>] = []
    var isNegated = false

    /// The first 128 scalars, settled when the class is compiled.
    private(set) var low: UInt64 = 0
    private(set) var high: UInt64 = 0

    /// Fills in the answers for ASCII.
    mutating func settle() {
        low = 0
        high = 0
        for code in UInt32(0)..<128 where evaluate(code) {
            if code < 64 { low |= 1 << UInt64(code) } else { high |= 1 << UInt64(code - 64) }
        }
    }

    private func evaluate(_ code: UInt32) -> Bool {
        (categories.contains(CharacterTable.shared.categories[Int(code)]) || ranges.contains { $0.contains(code) })
            != isNegated
    }

    @inline(__always)
    func contains(_ code: UInt32, _ table: UnsafePointer<UInt8>) -> Bool {
        if code < 64 { return low >> UInt64(code) & 1 != 0 }
        if code < 128 { return high >> UInt64(code - 64) & 1 != 0 }
        if categories.contains(table[Int(code)]) { return !isNegated }
        if !ranges.isEmpty {
            for range in ranges where range.contains(code) { return !isNegated }
        }
        return isNegated
    }

    static func scalar(_ code: UInt32) -> CharacterClass { CharacterClass(ranges: [code...code]) }
}

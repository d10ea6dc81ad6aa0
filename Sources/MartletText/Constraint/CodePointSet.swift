/// A set of Unicode scalars as ranges in order, surrogates left out.
struct CodePointSet: Sendable, Equatable {
    private(set) var ranges: [ClosedRange<UInt32>]

    static let all = CodePointSet([0...0xD7FF, 0xE000...0x10FFFF])

    init(_ ranges: [ClosedRange<UInt32>]) {
        var merged: [ClosedRange<UInt32>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, range.lowerBound <= last.upperBound &+ 1 {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        self.ranges = merged
    }

    init(_ scalar: Unicode.Scalar) { ranges = [scalar.value...scalar.value] }

    var isEmpty: Bool { ranges.isEmpty }

    func contains(_ value: UInt32) -> Bool { ranges.contains { $0.contains(value) } }

    func union(_ other: CodePointSet) -> CodePointSet { CodePointSet(ranges + other.ranges) }

    /// All scalars but these.
    var complement: CodePointSet { CodePointSet.all.subtracting(self) }

    func subtracting(_ other: CodePointSet) -> CodePointSet {
        var left: [ClosedRange<UInt32>] = []
        for range in ranges {
            var low = range.lowerBound
            var isDone = false
            for cut in other.ranges where cut.upperBound >= low && cut.lowerBound <= range.upperBound {
                if cut.lowerBound > low { left.append(low...cut.lowerBound - 1) }
                guard cut.upperBound < range.upperBound else {
                    isDone = true
                    break
                }
                low = cut.upperBound + 1
            }
            if !isDone { left.append(low...range.upperBound) }
        }
        return CodePointSet(left)
    }

    /// The UTF-8 of the scalars as sequences of byte ranges.
    var utf8: [[ClosedRange<UInt8>]] {
        var work: [ClosedRange<UInt32>] = []
        for range in ranges {
            for limit: ClosedRange<UInt32> in [
                0...0x7F, 0x80...0x7FF, 0x800...0xD7FF, 0xE000...0xFFFF, 0x10000...0x10FFFF,
            ]
            where range.overlaps(limit) {
                work.append(range.clamped(to: limit))
            }
        }
        work.reverse()
        var sequences: [[ClosedRange<UInt8>]] = []
        while let range = work.popLast() {
            if let (first, second) = Self.split(range) {
                work.append(second)
                work.append(first)
                continue
            }
            let low = Self.encoded(range.lowerBound)
            let high = Self.encoded(range.upperBound)
            sequences.append(zip(low, high).map { $0...$1 })
        }
        return sequences
    }

    /// Two parts where the bytes after the first do not span their whole range.
    private static func split(_ range: ClosedRange<UInt32>) -> (ClosedRange<UInt32>, ClosedRange<UInt32>)? {
        let (low, high) = (range.lowerBound, range.upperBound)
        for level in 1..<max(2, encoded(low).count) where encoded(low).count > 1 {
            let mask = (UInt32(1) << (6 * UInt32(level))) - 1
            guard low & ~mask != high & ~mask else { continue }
            if low & mask != 0 { return (low...low | mask, (low | mask) + 1...high) }
            if high & mask != mask { return (low...(high & ~mask) - 1, high & ~mask...high) }
        }
        return nil
    }

    private static func encoded(_ value: UInt32) -> [UInt8] {
        Unicode.Scalar(value).map { Array(String($0).utf8) } ?? []
    }
}

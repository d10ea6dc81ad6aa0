/// Random numbers from a counter: the same (seed, purpose, step, row) gives the same stream, whatever ran before.
///
/// SplitMix64 (Steele, Lea, Flood 2014) over a mixed key.
package struct CounterRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64, purpose: UInt64, step: UInt64 = 0, row: UInt64 = 0) {
        var key = Self.mix(seed &+ 0x9E37_79B9_7F4A_7C15)
        key = Self.mix(key ^ (purpose &* 0xD1B5_4A32_D192_ED03))
        key = Self.mix(key ^ (step &* 0x8CB9_2BA7_2F3D_8DD7))
        state = Self.mix(key ^ (row &* 0xAEF1_7502_108E_F2D9))
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mix(state)
    }

    /// In 0 ..< 1.
    package mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// In 0 ..< `bound`, which must be positive.
    package mutating func below(_ bound: Int) -> Int {
        Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }
}

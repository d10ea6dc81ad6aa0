/// Which pairs of bytes stand side by side in some token.
///
/// Where two bytes of a word do so in none, no merge can join across them, and the word falls apart there without any
/// change to its tokens.
struct ByteNeighbours: Sendable {
    private var bits: [UInt64]

    /// With `areCharacters` the bytes within one character count as neighbours too, so that none is cut.
    init(_ tokens: [[UInt8]], areCharacters: Bool) {
        bits = [UInt64](repeating: 0, count: 1024)
        for token in tokens {
            for index in token.indices.dropFirst() { insert(token[index - 1], token[index]) }
        }
        guard areCharacters else { return }
        for second in UInt8(0x80)...0xBF {
            for first in UInt8(0x80)...0xFF { insert(first, second) }
        }
    }

    private mutating func insert(_ first: UInt8, _ second: UInt8) {
        let place = Int(first) << 8 | Int(second)
        bits[place / 64] |= 1 << UInt64(place % 64)
    }

    @inline(__always)
    func contains(_ first: UInt8, _ second: UInt8) -> Bool {
        let place = Int(first) << 8 | Int(second)
        return bits.withUnsafeBufferPointer { $0[place / 64] & (1 << UInt64(place % 64)) != 0 }
    }
}

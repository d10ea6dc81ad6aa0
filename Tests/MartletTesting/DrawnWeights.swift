/// Weights of the golden language models, which are drawn and not stored: as `scripts/golden/make_language.py` draws them.
public enum DrawnWeights {
    /// The values of a checkpoint's tensor, by its name.
    public static func weight(_ name: String, _ shape: [Int]) -> [Float] {
        let scale = shape.count > 1 ? 0.2 : 0.1
        let parts = name.split(separator: ".")
        let isNorm =
            shape.count == 1 && ((parts.count > 1 && parts[parts.count - 2].contains("norm")) || name.contains(".ln_"))
        let shift: Double = isNorm && name.hasSuffix("weight") ? 1 : 0
        return uniform(name, shape.reduce(1, *)).map { Float($0 * scale + shift) }
    }

    /// Numbers of -1 up to 1 from a name and their places.
    private static func uniform(_ name: String, _ count: Int) -> [Double] {
        let base = UInt64(checksum(name)) << 32
        return (0..<count).map { index in
            var z = (base &+ UInt64(index) &+ 1) &* 0x9E37_79B9_7F4A_7C15
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            z ^= z >> 31
            return Double(z >> 40) / Double(1 << 23) - 1
        }
    }

    /// CRC-32 as in zlib.
    private static func checksum(_ text: String) -> UInt32 {
        ~text.utf8.reduce(UInt32.max) { sum, byte in
            (0..<8).reduce(sum ^ UInt32(byte)) { sum, _ in sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
        }
    }
}

/// Decompositions, compositions and combining classes, made at the first use.
struct NormalizationTable: Sendable {
    static let shared = NormalizationTable()

    let combiningClasses: [UInt8]
    private let canonical: [UInt32: [Unicode.Scalar]]
    private let compatible: [UInt32: [Unicode.Scalar]]
    private let compositions: [UInt64: UInt32]
    /// Scalars from here on may decompose; below, none does.
    static let firstDecomposing: UInt32 = 0xA0

    private init() {
        let classes = UnicodeData.classes.split(whereSeparator: { $0.isWhitespace }).compactMap { UInt8($0) }
        combiningClasses = UnicodeData.expand(UnicodeData.combining) {
            classes[min(Int(UnicodeData.place(of: $0)), classes.count - 1)]
        }
        canonical = Dictionary(UnicodeData.mappings(UnicodeData.canonical), uniquingKeysWith: { first, _ in first })
        compatible = Dictionary(UnicodeData.mappings(UnicodeData.compatible), uniquingKeysWith: { first, _ in first })
        compositions = Dictionary(
            UnicodeData.triples(UnicodeData.compositions).map { (UInt64($0.0) << 32 | UInt64($0.1), $0.2) },
            uniquingKeysWith: { first, _ in first })
    }

    /// Calls `body` with each scalar of the full decomposition.
    @inline(__always)
    func decompose(_ code: UInt32, compatibly: Bool, _ body: (UInt32) -> Void) {
        if code < Self.firstDecomposing {
            body(code)
        } else if (0xAC00..<0xD7A4).contains(code) {
            let index = code - 0xAC00
            body(0x1100 + index / 588)
            body(0x1161 + index % 588 / 28)
            if index % 28 > 0 { body(0x11A7 + index % 28) }
        } else if let image = (compatibly ? compatible[code] : nil) ?? canonical[code] {
            for scalar in image { body(scalar.value) }
        } else {
            body(code)
        }
    }

    func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if (0x1100..<0x1113).contains(first), (0x1161..<0x1176).contains(second) {
            return 0xAC00 + (first - 0x1100) * 588 + (second - 0x1161) * 28
        }
        if (0xAC00..<0xD7A4).contains(first), (first - 0xAC00) % 28 == 0, (0x11A8..<0x11C3).contains(second) {
            return first + second - 0x11A7
        }
        return compositions[UInt64(first) << 32 | UInt64(second)]
    }
}

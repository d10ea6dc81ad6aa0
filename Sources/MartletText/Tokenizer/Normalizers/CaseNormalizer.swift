/// Lower case, scalar by scalar (no context).
enum CaseNormalizer {
    private static let mappings = Dictionary(
        UnicodeData.mappings(UnicodeData.lowercase), uniquingKeysWith: { first, _ in first })

    static func lowercase(_ text: inout AlignedText) {
        guard text.bytes.contains(where: { $0 >= 0x80 }) else {
            for index in text.bytes.indices where (0x41...0x5A).contains(text.bytes[index]) {
                text.bytes[index] |= 0x20
            }
            return
        }
        text.align()
        var rewriter = TextRewriter(text)
        let mappings = Self.mappings
        text.forEachScalar { code in
            if code < 0x80 {
                rewriter.put((0x41...0x5A).contains(code) ? code | 0x20 : code, 0)
            } else if let image = mappings[code] {
                for (index, scalar) in image.enumerated() { rewriter.put(scalar.value, index > 0 ? 1 : 0) }
            } else {
                rewriter.put(code, 0)
            }
        }
        text = rewriter.new
    }
}

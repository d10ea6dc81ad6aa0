import MartletWire

/// BERT's cleaning: control characters, spaces around Chinese characters, accents, case.
struct BertNormalizer: Sendable {
    private let cleansText: Bool
    private let spacesChinese: Bool
    private let stripsAccents: Bool
    private let lowercases: Bool

    init(_ json: JSON) {
        cleansText = json["clean_text"]?.bool ?? true
        spacesChinese = json["handle_chinese_chars"]?.bool ?? true
        lowercases = json["lowercase"]?.bool ?? true
        stripsAccents = json["strip_accents"]?.bool ?? lowercases
    }

    func apply(_ text: inout AlignedText) {
        let table = CharacterTable.shared
        if cleansText {
            text.map { code in
                if code == 0 || code == 0xFFFD || table.has(CharacterTable.control, code) { return nil }
                return table.isSpace(code) ? 0x20 : code
            }
        }
        if spacesChinese, text.bytes.contains(where: { $0 >= 0xE3 }) {
            text.align()
            var rewriter = TextRewriter(text)
            text.forEachScalar { code in
                if Self.isChinese(code) {
                    rewriter.put(0x20, 0)
                    rewriter.put(code, 1)
                    rewriter.put(0x20, 1)
                } else {
                    rewriter.put(code, 0)
                }
            }
            text = rewriter.new
        }
        if stripsAccents {
            UnicodeForm.nfd.apply(&text)
            text.map { table.has(CharacterTable.accent, $0) ? nil : $0 }
        }
        if lowercases { CaseNormalizer.lowercase(&text) }
    }

    private static func isChinese(_ code: UInt32) -> Bool {
        switch code {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}

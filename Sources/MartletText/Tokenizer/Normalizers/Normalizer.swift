import MartletWire

/// What is done to a text before it is cut.
indirect enum Normalizer: Sendable {
    case form(UnicodeForm)
    case lowercase
    case stripAccents
    case bert(BertNormalizer)
    case replace(TextPattern, with: [UInt8])
    case prepend([UInt8])
    case strip(left: Bool, right: Bool)
    case nmt
    case precompiled(CharacterMap)
    case byteLevel
    case sequence([Normalizer])

    /// Reads the `normalizer` of a tokenizer.json. Throws `unsupportedFormat` for a kind that is not known.
    init(_ json: JSON) throws {
        let kind = json["type"]?.string ?? ""
        switch kind {
        case "NFC", "NFD", "NFKC", "NFKD": self = .form(UnicodeForm(rawValue: kind) ?? .nfc)
        case "Lowercase": self = .lowercase
        case "StripAccents": self = .stripAccents
        case "BertNormalizer": self = .bert(BertNormalizer(json))
        case "Replace":
            self = .replace(
                try TextPattern(json["pattern"], of: "Replace normalizer"),
                with: Array((json["content"]?.string ?? "").utf8))
        case "Prepend": self = .prepend(Array((json["prepend"]?.string ?? "").utf8))
        case "Strip": self = .strip(left: json["strip_left"]?.bool ?? true, right: json["strip_right"]?.bool ?? true)
        case "Nmt": self = .nmt
        case "Precompiled":
            self = .precompiled(
                try CharacterMap(
                    base64: json["precompiled_charsmap"]?.string ?? "", takesLongest: json["longest"]?.bool ?? false,
                    kept: (json["kept"]?.array ?? []).compactMap { $0.string.map { Array($0.utf8) } }))
        case "ByteLevel": self = .byteLevel
        case "Sequence": self = .sequence(try (json["normalizers"]?.array ?? []).map { try Normalizer($0) })
        default: throw TokenizerReader.unknown(kind, "normalizer")
        }
    }

    /// What a text may grow to, as a multiple of its bytes with some to spare: Unicode's own forms stay below 20 times.
    private static let growth = 64
    private static let spare = 256

    /// Throws `invalidData` where the text would grow past that: replacements of replacements could fill all memory.
    func apply(_ text: inout AlignedText) throws {
        try apply(&text, upTo: min(Self.growth * text.bytes.count + Self.spare, Int(Int32.max)))
    }

    private func apply(_ text: inout AlignedText, upTo limit: Int) throws {
        switch self {
        case .form(let form): form.apply(&text)
        case .lowercase: CaseNormalizer.lowercase(&text)
        case .stripAccents: text.map { CharacterTable.shared.has(CharacterTable.mark, $0) ? nil : $0 }
        case .bert(let bert): bert.apply(&text)
        case .replace(let pattern, let content):
            guard text.replace(pattern, with: content, upTo: limit) else { throw Self.tooLong }
        case .prepend(let prefix):
            try Self.check(text.bytes.count + prefix.count, limit)
            text.prepend(prefix)
        case .strip(let left, let right): Self.strip(&text, left: left, right: right)
        case .nmt: text.map(Self.nmt)
        case .precompiled(let map): map.apply(&text)
        case .byteLevel: ByteAlphabet.spell(&text)
        case .sequence(let parts): for part in parts { try part.apply(&text, upTo: limit) }
        }
        try Self.check(text.bytes.count, limit)
    }

    private static func check(_ count: Int, _ limit: Int) throws {
        guard count <= limit else { throw tooLong }
    }

    private static let tooLong = MartletError(
        .invalidData,
        "the tokenizer's normalizer makes more than \(growth) times as much of a text as there was, or 2 GiB; use a "
            + "tokenizer without such replacements")

    private static func strip(_ text: inout AlignedText, left: Bool, right: Bool) {
        var start = 0
        var end = text.bytes.count
        text.bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            while left, start < end {
                let (code, length) = UTF8Scan.scalar(base, start)
                guard CharacterTable.shared.isSpace(code) else { break }
                start += length
            }
            while right, end > start {
                let before = UTF8Scan.before(base, end)
                guard CharacterTable.shared.isSpace(UTF8Scan.scalar(base, before).code) else { break }
                end = before
            }
        }
        if start > 0 || end < text.bytes.count { text = text.slice(start..<end) }
    }

    /// The clean-up of "neural machine translation" in SentencePiece.
    private static func nmt(_ code: UInt32) -> UInt32? {
        switch code {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: nil
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: 0x20
        default: code
        }
    }
}

extension ByteAlphabet {
    /// Writes every byte of a text as its character.
    static func spell(_ text: inout AlignedText) {
        text.align()
        var result = AlignedText(capacity: text.bytes.count * 2, keepsPlaces: text.keepsPlaces)
        for index in text.bytes.indices { result.append(scalars[Int(text.bytes[index])], as: text, index) }
        text = result
    }
}

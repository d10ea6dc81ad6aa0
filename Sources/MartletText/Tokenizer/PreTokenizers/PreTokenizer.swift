import MartletWire

/// What cuts a normalized text into the pieces that a model sees one at a time.
indirect enum PreTokenizer: Sendable {
    /// Bytes as characters; before that a space in front and a cut by a pattern, where it has them.
    case byteLevel(addsSpace: Bool, pattern: RegexProgram?)
    case split(TextPattern, SplitBehavior, inverted: Bool)
    /// Words and runs of other signs; spaces go.
    case whitespace
    case whitespaceSplit
    case bert
    case metaspace(Metaspace)
    case punctuation(SplitBehavior)
    case digits(individual: Bool)
    case delimiter(UInt32)
    case fixedLength(Int)
    case unicodeScripts
    /// A space in front of each piece that has none.
    case leadingSpace
    case sequence([PreTokenizer])

    /// GPT-2's pattern.
    static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// Reads the `pre_tokenizer` of a tokenizer.json. Throws `unsupportedFormat` for a kind that is not known.
    init(_ json: JSON) throws {
        let kind = json["type"]?.string ?? ""
        switch kind {
        case "ByteLevel":
            let isCut = json["use_regex"]?.bool ?? true
            self = .byteLevel(
                addsSpace: json["add_prefix_space"]?.bool ?? true, pattern: isCut ? try RegexProgram(Self.gpt2) : nil)
        case "Split":
            self = .split(
                try TextPattern(json["pattern"], of: "Split pre-tokenizer"), try SplitBehavior(json["behavior"]),
                inverted: json["invert"]?.bool ?? false)
        case "Whitespace": self = .whitespace
        case "WhitespaceSplit": self = .whitespaceSplit
        case "BertPreTokenizer": self = .bert
        case "Metaspace": self = .metaspace(try Metaspace(json))
        case "Punctuation": self = .punctuation(try SplitBehavior(json["behavior"], default: .isolated))
        case "Digits": self = .digits(individual: json["individual_digits"]?.bool ?? false)
        case "CharDelimiterSplit":
            guard let text = json["delimiter"]?.string, let only = text.unicodeScalars.first,
                text.unicodeScalars.count == 1
            else { throw MartletError(.invalidData, "the tokenizer's CharDelimiterSplit has no single delimiter") }
            self = .delimiter(only.value)
        case "FixedLength":
            guard case let length = json["length"]?.int ?? 5, length > 0 else {
                throw MartletError(.invalidData, "the tokenizer's FixedLength has a length that is not positive")
            }
            self = .fixedLength(length)
        case "UnicodeScripts": self = .unicodeScripts
        case "Sequence":
            self = .sequence(try (json["pretokenizers"]?.array ?? []).map { try PreTokenizer($0) })
            guard spellingCount <= Self.spellingLimit else {
                throw MartletError(
                    .unsupportedFormat,
                    "the tokenizer's pre-tokenizer spells bytes \(spellingCount) times over, and each time doubles the text; "
                        + "leave all but one ByteLevel out")
            }
        default: throw TokenizerReader.unknown(kind, "pre-tokenizer")
        }
    }

    private static let spellingLimit = 4

    /// How often bytes are written as characters, one time after the other.
    private var spellingCount: Int {
        switch self {
        case .byteLevel: 1
        case .sequence(let parts): parts.reduce(0) { $0 + $1.spellingCount }
        default: 0
        }
    }

    func apply(_ text: inout PieceText) {
        switch self {
        case .byteLevel(let addsSpace, let pattern):
            Self.byteCut(addsSpace, pattern).apply(&text)
            text.rewrite { ByteAlphabet.spell(&$0) }
        case .leadingSpace:
            guard text.pieces.contains(where: { $0.token < 0 && text.text.bytes[$0.start] != 0x20 }) else { return }
            text.rewrite { part in if part.bytes.first != 0x20 { part.prepend([0x20]) } }
        case .split(let pattern, let behavior, let inverted):
            text.cut(behavior, at: pattern, inverted: inverted)
        case .whitespace:
            let table = CharacterTable.shared
            text.cutRuns { code in
                table.has(CharacterTable.word, code) ? 1 : table.isSpace(code) ? 0 : 2
            }
        case .whitespaceSplit: text.cutRuns { CharacterTable.shared.isSpace($0) ? 0 : 1 }
        case .bert:
            let table = CharacterTable.shared
            text.cutRuns { code in
                table.has(CharacterTable.punctuation, code) ? -1 : table.isSpace(code) ? 0 : 1
            }
        case .metaspace(let metaspace): metaspace.apply(&text)
        case .punctuation(let behavior):
            text.cut(behavior) { CharacterTable.shared.has(CharacterTable.punctuation, $0) }
        case .digits(let individual):
            text.cut(individual ? .isolated : .contiguous) { CharacterTable.shared.has(CharacterTable.numeric, $0) }
        case .delimiter(let delimiter): text.cut(.removed) { $0 == delimiter }
        case .fixedLength(let length): text.cutEvery(length)
        case .unicodeScripts: text.cutScripts()
        case .sequence(let parts): for part in parts { part.apply(&text) }
        }
    }

    /// Whether what is done depends on where in the original a part begins, and the text may not be the original any
    /// more: `isRewritten` where it is not when it comes, which is told on.
    func asksForPlaces(_ isRewritten: inout Bool) -> Bool {
        switch self {
        case .metaspace(let metaspace):
            defer { isRewritten = true }
            return metaspace.prepending == .first && isRewritten
        case .byteLevel, .leadingSpace: isRewritten = true
        case .sequence(let parts):
            for part in parts where part.asksForPlaces(&isRewritten) { return true }
        default: break
        }
        return false
    }

    /// This without its last step where that is the mapping of bytes to characters, which a model can do itself.
    var withoutByteSpelling: PreTokenizer? {
        switch self {
        case .byteLevel(let addsSpace, let pattern): .byteCut(addsSpace, pattern)
        case .sequence(let parts):
            parts.last?.withoutByteSpelling.map { .sequence(Array(parts.dropLast()) + [$0]) }
        default: nil
        }
    }

    private static func byteCut(_ addsSpace: Bool, _ pattern: RegexProgram?) -> PreTokenizer {
        var parts: [PreTokenizer] = addsSpace ? [.leadingSpace] : []
        if let pattern { parts.append(.split(.regex(pattern), .isolated, inverted: false)) }
        return .sequence(parts)
    }
}

/// What each code point is: general category, and what the parts of a tokenizer take for a word, punctuation and so on.
///
/// One flat array of two bytes a code point, made at the first use.
struct CharacterTable: Sendable {
    static let shared = CharacterTable()

    /// Category codes in the order of `names`. What white space and `\w` take of a category has a code of its own:
    /// controls that are white space, numbers and symbols that are parts of words.
    let categories: [UInt8]
    let flags: [UInt8]

    static let names = [
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
        "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn",
    ]
    static let spaceControl: UInt8 = 30
    static let wordNumber: UInt8 = 31
    static let wordSymbol: UInt8 = 32

    static let word: UInt8 = 1
    static let punctuation: UInt8 = 2
    static let numeric: UInt8 = 4
    static let control: UInt8 = 8
    static let accent: UInt8 = 16
    static let mark: UInt8 = 32

    private init() {
        var categories = UnicodeData.expand(UnicodeData.categories)
        for code in [9, 10, 11, 12, 13, 0x85] { categories[code] = Self.spaceControl }
        for code in [0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE] { categories[code] = Self.wordNumber }
        for range in [0x24B6...0x24E9, 0x1F130...0x1F149, 0x1F150...0x1F169, 0x1F170...0x1F189] {
            for code in range { categories[code] = Self.wordSymbol }
        }
        var flags = [UInt8](repeating: 0, count: 0x110000)
        UnicodeData.mark(UnicodeData.word, Self.word, in: &flags)
        UnicodeData.mark(UnicodeData.punctuation, Self.punctuation, in: &flags)
        UnicodeData.mark(UnicodeData.numeric, Self.numeric, in: &flags)
        UnicodeData.mark(UnicodeData.control, Self.control, in: &flags)
        UnicodeData.mark(UnicodeData.accents, Self.accent, in: &flags)
        UnicodeData.mark(UnicodeData.marks, Self.mark, in: &flags)
        self.categories = categories
        self.flags = flags
    }

    @inline(__always)
    func isSpace(_ code: UInt32) -> Bool { CategorySet.space.contains(categories[Int(code)]) }

    @inline(__always)
    func has(_ flag: UInt8, _ code: UInt32) -> Bool { flags[Int(code)] & flag != 0 }
}

/// A set of general categories, one bit each.
struct CategorySet: OptionSet, Sendable, Hashable {
    let rawValue: UInt64

    static let all = CategorySet(rawValue: (1 << 33) - 1)
    /// Unicode's White_Space: the separators, and six controls.
    static let space = named("Zs").union(named("Zl")).union(named("Zp")).union(
        CategorySet(rawValue: 1 << UInt64(CharacterTable.spaceControl)))

    /// What `\w` takes: letters, marks, digits, connectors, and some numbers and symbols.
    static let word = ["L", "M", "Nd", "Nl", "Pc"].reduce(
        CategorySet(
            rawValue: 1 << UInt64(CharacterTable.wordNumber) | 1 << UInt64(CharacterTable.wordSymbol))
    ) { $0.union(named($1)) }

    /// What `\w` takes within a set: Oniguruma leaves out the superscripts and fractions of Latin-1 there.
    static let wordInSet = word.subtracting(CategorySet(rawValue: 1 << UInt64(CharacterTable.wordNumber)))

    @inline(__always)
    func contains(_ category: UInt8) -> Bool { rawValue & (1 << UInt64(category)) != 0 }

    var complement: CategorySet { CategorySet(rawValue: ~rawValue & Self.all.rawValue) }

    /// The set of a name such as `L` or `Lu`; empty where there is no such category.
    static func named(_ name: String) -> CategorySet {
        var bits: UInt64 = 0
        for (index, known) in CharacterTable.names.enumerated() where known == name || String(known.prefix(1)) == name {
            bits |= 1 << UInt64(index)
            switch known {
            case "Cc": bits |= 1 << UInt64(CharacterTable.spaceControl)
            case "No": bits |= 1 << UInt64(CharacterTable.wordNumber)
            case "So": bits |= 1 << UInt64(CharacterTable.wordSymbol)
            default: break
            }
        }
        return CategorySet(rawValue: bits)
    }
}

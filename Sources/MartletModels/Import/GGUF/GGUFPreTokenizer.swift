import MartletWire

/// How the byte-level tokenizer of a GGUF file splits texts, by the name that llama.cpp gives it (`tokenizer.ggml.pre`):
/// what the models' own tokenizer.json says and no GGUF file does.
struct GGUFPreTokenizer {
    /// What splits in front of the step that turns bytes into letters.
    private let steps: [JSON]
    /// Whether that step splits by GPT-2's expression.
    private let endsAsGPT2: Bool
    /// Whether characters are composed first (NFC).
    let composes: Bool
    /// Whether a word that is a token is taken as it is, whatever the merges make of it.
    let takesWholeWords: Bool
    /// Whether a start token stands before a text where the file does not say it.
    let addsStart: Bool

    /// - Throws: `unsupportedFormat` for a name that is not known: texts would be cut otherwise than the model learned.
    init(_ name: String) throws {
        (composes, takesWholeWords) = (name == "qwen2", Self.wholeWords.contains(name))
        addsStart = Self.starting.contains(name)
        endsAsGPT2 = ["gpt-2", "default", "smollm"].contains(name)
        steps =
            switch name {
            case "gpt-2", "default": []
            case "smollm": [Self.digits]
            case _ where Self.llama3.contains(name) || name == "dbrx": [Self.words(digits: #"\p{N}{1,3}"#)]
            case "qwen2", "deepseek-r1-qwen": [Self.words(digits: #"\p{N}"#)]
            case "minicpm5": [Self.split(#"\p{N}{1,3}"#), Self.words(digits: #"\p{N}+"#)]
            case "gpt-4o": [Self.cased(digits: #"\p{N}{1,3}"#, ending: "(?i:'s|'t|'re|'ve|'m|'ll|'d)?")]
            case "tekken": [Self.cased(digits: #"\p{N}"#, ending: "")]
            case "deepseek-llm":
                [
                    Self.lines, Self.split(#"\s?["# + Self.letters + "]+"), Self.split(#"\s?["# + Self.marks + "]+"),
                    Self.split(#"\s+$"#), Self.asian, Self.digits,
                ]
            case "deepseek-coder":
                [Self.lines, Self.split(#"\s?\p{L}+"#), Self.split(#"\s?\p{P}+"#), Self.asian, Self.digits]
            default:
                throw MartletError(
                    .unsupportedFormat,
                    "the GGUF pre-tokenizer '\(name)' is not supported; supported are gpt-2, llama-bpe, qwen2, tekken, "
                        + "deepseek-llm, deepseek-coder, deepseek-r1-qwen, dbrx, gpt-4o, minicpm5 and smollm: take the "
                        + "model's Hugging Face folder")
            }
    }

    /// The `pre_tokenizer` of a tokenizer.json.
    var json: JSON {
        let bytes: JSON = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": .bool(endsAsGPT2),
        ]
        return steps.isEmpty ? bytes : ["type": "Sequence", "pretokenizers": .array(steps + [bytes])]
    }

    /// Names of Llama 3's tokenizer.
    private static let llama3: Set<String> = ["llama-bpe", "llama3", "llama-v3"]
    private static let starting = llama3.union(["tekken"])
    private static let wholeWords = starting.union(["minicpm5"])

    private static let digits: JSON = ["type": "Digits", "individual_digits": true]
    private static let lines = split(#"[\r\n]"#)
    private static let asian = split("[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+")
    private static let marks = "!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3000}-\u{3002}"

    private static func split(_ pattern: String) -> JSON {
        ["type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false]
    }

    /// GPT-4's way: words with what stands before them, numbers, other signs, line breaks, spaces.
    private static func words(digits: String) -> JSON {
        split(
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
                + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#)
    }

    /// GPT-4o's way, which parts words where capitals begin.
    private static func cased(digits: String, ending: String) -> JSON {
        let (before, upper, lower) = (
            #"[^\r\n\p{L}\p{N}]?"#, #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#, #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
        )
        return split(
            "\(before)\(upper)*\(lower)+\(ending)|\(before)\(upper)+\(lower)*\(ending)|\(digits)"
                + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#)
    }

    /// The letters with upper and lower case of an older Unicode.
    private static let letters = """
        A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\
        \u{295}-\u{2AF}\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\
        \u{38E}-\u{3A1}\u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\
        \u{13A0}-\u{13F5}\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\
        \u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\
        \u{1F59}\u{1F5B}\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\
        \u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\
        \u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\
        \u{212F}-\u{2134}\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}\u{2C00}-\u{2C7B}\
        \u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\
        \u{A771}-\u{A787}\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\
        \u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\
        \u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}
        """
}

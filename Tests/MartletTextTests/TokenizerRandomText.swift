/// Random strings, the same as those of `scripts/golden/random_text.py`.
struct RandomText {
    private static let words =
        ("the of and to in is that it was for on are with as his they at be this from have or by one had not but what all "
        + "were when we there can an your which their said if do will each about how up out them then she many some "
        + "so these would other into has more her two like him see time could no make than first been its who now "
        + "people my made over did down only way find use may water long little very after words called just where "
        + "most know tokenizer attention Größe naïve café coöperate İstanbul straße ﬁnance ĳs Ωμέγα Привет мир שלום "
        + "مرحبا नमस्ते สวัสดี 안녕하세요 こんにちは").split(separator: " ").map(String.init)
    private static let spaces = [
        "\t", "\n", "\r", "\r\n", "\u{a0}", "\u{2003}", "\u{3000}", "\u{85}", "\u{2028}", "\u{b}", "\u{200b}", "\n\n",
        " \n ", "\u{180e}",
    ]
    private static let emoji = [
        "\u{1f600}", "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}", "\u{1f1e9}\u{1f1ea}",
        "\u{1f44d}\u{1f3fd}", "\u{2764}\u{fe0f}", "1\u{fe0f}\u{20e3}",
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e007f}", "\u{2603}", "\u{1f9d1}\u{200d}\u{1f680}",
    ]
    private static let code = [
        "def f(x):\n    return x**2 + 1\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}",
        "{\"key\":[1,2,{\"a\":null}]}", "let x = try? JSONDecoder().decode(T.self, from: data)",
        "<div class=\"a b\">&nbsp;</div>", "x != y && z >= 0x1F", "https://example.com/a?b=c&d=%20e#f",
        "SELECT * FROM t WHERE id='1';", "\\alpha_{i}^2 \\cdot 10^{-3}", "// ------",
    ]
    private static let special = [
        "<s>", "</s>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "<mask>", "<|endoftext|>", "<|im_start|>user", "<pad>",
        "'s",
        "'LL", "'re", "I'm", "don't", "'\u{17f}", "<0x0A>", "\u{2581}", "##ing", "word", "<word>", " word ",
        "  <mask>  ", "\u{120}a",
    ]
    private static let scripts: [(UInt64, UInt64)] = [
        (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1E00, 0x1FFF),
        (0x2000, 0x20CF), (0x2100, 0x23FF), (0x2460, 0x24FF), (0x3040, 0x30FF), (0xAC00, 0xD7A3), (0xF900, 0xFB4F),
        (0xFE00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1100, 0x11FF), (0x300, 0x36F), (0xF00, 0xFFF),
    ]

    /// SplitMix64.
    private var state: UInt64

    private init(seed: UInt64) { state = seed }

    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    private mutating func below(_ count: UInt64) -> UInt64 { next() % count }

    private mutating func pick(_ values: [String], into out: inout String.UnicodeScalarView) {
        out.append(contentsOf: values[Int(below(UInt64(values.count)))].unicodeScalars)
    }

    private mutating func several(
        _ most: UInt64, _ low: UInt64, _ high: UInt64, into out: inout String.UnicodeScalarView
    ) {
        for _ in 0...below(most) {
            var code = UInt32(low + below(high - low + 1))
            if (0xD800..<0xE000).contains(code) { code -= 0x800 }
            if let scalar = Unicode.Scalar(code) { out.append(scalar) }
        }
    }

    private mutating func part(into out: inout String.UnicodeScalarView) {
        switch below(18) {
        case 0, 16: pick(Self.words, into: &out)
        case 1: several(10, 0x61, 0x7A, into: &out)
        case 2: several(6, 0x30, 0x39, into: &out)
        case 3: for _ in 0...below(5) { out.append(" ") }
        case 4: pick(Self.spaces, into: &out)
        case 5: if below(2) == 1 { several(2, 0, 0x1F, into: &out) } else { several(2, 0x7F, 0x9F, into: &out) }
        case 6: several(3, 0, 0x10FFFF, into: &out)
        case 7: several(5, 0, 0xFFFF, into: &out)
        case 8: several(6, 0x4E00, 0x9FFF, into: &out)
        case 9: several(4, 0x41, 0x5A, into: &out)
        case 10: pick(Self.emoji, into: &out)
        case 11:
            several(1, 0x61, 0x7A, into: &out)
            several(3, 0x300, 0x36F, into: &out)
        case 12: pick(Self.code, into: &out)
        case 13: several(4, 0x21, 0x2F, into: &out)
        case 14: pick(Self.special, into: &out)
        case 15:
            let range = Self.scripts[Int(below(UInt64(Self.scripts.count)))]
            several(5, range.0, range.1, into: &out)
        default: several(3, 0x10000, 0x1FFFF, into: &out)
        }
    }

    /// The string of a number.
    static func string(seed: UInt64, _ index: Int) -> String {
        var random = RandomText(seed: seed &* 1_000_003 &+ UInt64(index))
        _ = random.next()
        var out = String.UnicodeScalarView()
        for _ in 0...random.below(12) {
            random.part(into: &out)
            if random.below(2) == 1 { out.append(" ") }
        }
        return String(out)
    }
}

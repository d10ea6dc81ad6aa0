"""Random strings that Python and Swift make alike (Tests/MartletTextTests/TokenizerRandomText.swift)."""

MASK = (1 << 64) - 1

WORDS = (
    "the of and to in is that it was for on are with as his they at be this from have or by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so these "
    "would other into has more her two like him see time could no make than first been its who now people my made over "
    "did down only way find use may water long little very after words called just where most know tokenizer attention "
    "Größe naïve café coöperate İstanbul straße ﬁnance ĳs Ωμέγα Привет мир שלום مرحبا नमस्ते สวัสดี 안녕하세요 こんにちは"
).split()
SPACES = ["\t", "\n", "\r", "\r\n", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028", "\u000b", "\u200b", "\n\n", " \n ", "\u180e"]
EMOJI = [
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1e9\U0001f1ea",
    "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f",
    "\u2603", "\U0001f9d1\u200d\U0001f680",
]
CODE = [
    "def f(x):\n    return x**2 + 1\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}", '{"key":[1,2,{"a":null}]}',
    "let x = try? JSONDecoder().decode(T.self, from: data)", "<div class=\"a b\">&nbsp;</div>", "x != y && z >= 0x1F",
    "https://example.com/a?b=c&d=%20e#f", "SELECT * FROM t WHERE id='1';", "\\alpha_{i}^2 \\cdot 10^{-3}", "// ------",
]
SPECIAL = [
    "<s>", "</s>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "<mask>", "<|endoftext|>", "<|im_start|>user", "<pad>", "'s", "'LL",
    "'re", "I'm", "don't", "'\u017f", "<0x0A>", "\u2581", "##ing", "word", "<word>", " word ", "  <mask>  ", "\u0120a",
]
SCRIPTS = [
    (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1E00, 0x1FFF), (0x2000, 0x20CF),
    (0x2100, 0x23FF), (0x2460, 0x24FF), (0x3040, 0x30FF), (0xAC00, 0xD7A3), (0xF900, 0xFB4F), (0xFE00, 0xFFEF),
    (0x1D400, 0x1D7FF), (0x1100, 0x11FF), (0x300, 0x36F), (0xF00, 0xFFF),
]


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() % n

    def pick(self, values):
        return values[self.below(len(values))]


def scalar(random, low, high):
    c = low + random.below(high - low + 1)
    return chr(c if not 0xD800 <= c < 0xE000 else c - 0x800)


def several(random, most, low, high):
    return "".join(scalar(random, low, high) for _ in range(1 + random.below(most)))


def part(random):
    kind = random.below(18)
    if kind == 0 or kind == 16:
        return random.pick(WORDS)
    if kind == 1:
        return several(random, 10, 0x61, 0x7A)
    if kind == 2:
        return several(random, 6, 0x30, 0x39)
    if kind == 3:
        return " " * (1 + random.below(5))
    if kind == 4:
        return random.pick(SPACES)
    if kind == 5:
        return several(random, 2, 0x00, 0x1F) if random.below(2) else several(random, 2, 0x7F, 0x9F)
    if kind == 6:
        return several(random, 3, 0x0, 0x10FFFF)
    if kind == 7:
        return several(random, 5, 0x0, 0xFFFF)
    if kind == 8:
        return several(random, 6, 0x4E00, 0x9FFF)
    if kind == 9:
        return several(random, 4, 0x41, 0x5A)
    if kind == 10:
        return random.pick(EMOJI)
    if kind == 11:
        return several(random, 1, 0x61, 0x7A) + several(random, 3, 0x300, 0x36F)
    if kind == 12:
        return random.pick(CODE)
    if kind == 13:
        return several(random, 4, 0x21, 0x2F)
    if kind == 14:
        return random.pick(SPECIAL)
    if kind == 15:
        low, high = random.pick(SCRIPTS)
        return several(random, 5, low, high)
    return several(random, 3, 0x10000, 0x1FFFF)


def string(seed, index):
    random = Random(seed * 1_000_003 + index)
    random.next()
    out = ""
    for _ in range(1 + random.below(12)):
        out += part(random)
        if random.below(2):
            out += " "
    return out

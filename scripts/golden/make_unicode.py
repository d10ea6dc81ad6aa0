#!/usr/bin/env python3
"""The Unicode tables of MartletText, asked of Hugging Face `tokenizers`, so that both cut text at the same places.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install tokenizers==0.23.3
    /tmp/golden/bin/python scripts/golden/make_unicode.py

`tokenizers` holds several editions of Unicode (its regular expressions, its normalization and its BERT parts each have
their own), so each table is measured from the part that uses it. Running it twice gives the same files.
"""
import pathlib
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parents[2] / "Sources" / "MartletText" / "Tokenizer" / "Unicode"
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ALL = "".join(map(chr, SCALARS))
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn").split()
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def spans(splitter, text=ALL):
    return [span for _, span in splitter.pre_tokenize_str(text)]


def members(ranges):
    return {SCALARS[i] for start, end in ranges for i in range(start, end)}


def runs(values):
    """Letter and length of each run of equal values, over all code points."""
    out, start = [], 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[start]:
            out.append(f"{values[start]}{i - start}")
            start = i
    return "".join(out)


def flags(chosen):
    return runs(["b" if c in chosen else "a" for c in range(0x110000)])


def text(name, comment, value):
    lines = "\n".join("        " + value[i : i + 240] + "\\" for i in range(0, len(value), 240))
    return f'    /// {comment}\n    static let {name} = """\n{lines}\n\n        """\n'


def write(file, body):
    head = f"// Made by scripts/golden/make_unicode.py from tokenizers {tokenizers.__version__}: not to be edited.\n\n"
    (OUT / file).write_text(head + "extension UnicodeData {\n" + "\n".join(body) + "}\n", encoding="utf-8")


def categories():
    values = ["" for _ in range(0x110000)]
    for letter, category in zip(LETTERS, CATEGORIES):
        for c in members(spans(pre_tokenizers.Split(Regex(rf"\p{{{category}}}+"), "removed", invert=True))):
            values[c] = letter
    for c in range(0xD800, 0xE000):
        values[c] = LETTERS[CATEGORIES.index("Cs")]
    assert all(values)
    space = members(spans(pre_tokenizers.Split(Regex(r"\s+"), "removed", invert=True)))
    expected = {c for c in SCALARS if values[c] in "wxy"} | {9, 10, 11, 12, 13, 0x85}
    assert space == expected, sorted(space ^ expected)
    word = set()
    splitter = pre_tokenizers.Whitespace()
    for start, end in spans(splitter):
        if len(splitter.pre_tokenize_str("a" + ALL[start])) == 1:
            word |= {SCALARS[i] for i in range(start, end)}
    return runs(values), word


def punctuation():
    return set(SCALARS) - members(spans(pre_tokenizers.Punctuation("removed")))


def numeric():
    digits, single, out = pre_tokenizers.Digits(False), pre_tokenizers.Digits(True), set()
    for start, end in spans(digits):
        if len(single.pre_tokenize_str(ALL[start] * 2)) == 2:
            out |= {SCALARS[i] for i in range(start, end)}
    return out


def removed(normalizer):
    return {c for c in SCALARS if normalizer.normalize_str(chr(c)) == ""}


def mappings(normalizer, skip=lambda c: False):
    """Deltas of the code point, then its image, for each one that changes."""
    out, last = [], 0
    for c in SCALARS:
        if skip(c):
            continue
        image = normalizer.normalize_str(chr(c))
        if image != chr(c):
            out.append(f"{c - last:x}:" + ",".join(f"{ord(d):x}" for d in image))
            last = c
    return ";".join(out)


def hangul(c):
    return 0xAC00 <= c < 0xD7A4


def normalization():
    nfd, nfc, nfkd = normalizers.NFD(), normalizers.NFC(), normalizers.NFKD()
    ccc = ["a"] * 0x110000
    classes = sorted({unicodedata.combining(chr(c)) for c in SCALARS})
    assert len(classes) <= 60
    for c in SCALARS:
        k = unicodedata.combining(chr(c))
        if k == 0 or nfd.normalize_str(chr(c)) != chr(c) and len(nfd.normalize_str(chr(c))) > 1:
            continue
        swaps = nfd.normalize_str(chr(c) + "\u0334") == "\u0334" + chr(c) if k > 1 else (
            nfd.normalize_str("\u0315" + chr(c)) == chr(c) + "\u0315")
        if swaps:
            ccc[c] = chr(97 + classes.index(k)) if classes.index(k) < 26 else chr(65 + classes.index(k) - 26)
            if classes.index(k) >= 52:
                ccc[c] = "!\"#$%&'()*"[classes.index(k) - 52]
    pairs = []
    for c in SCALARS:
        d = nfd.normalize_str(chr(c))
        if hangul(c) or len(d) < 2 or nfc.normalize_str(chr(c)) != chr(c):
            continue
        first = nfc.normalize_str(d[:-1])
        assert len(first) == 1 and nfc.normalize_str(first + d[-1]) == chr(c), hex(c)
        pairs.append(f"{ord(first):x},{ord(d[-1]):x},{c:x}")
    canonical = mappings(nfd, hangul)
    compatible = mappings(nfkd, lambda c: hangul(c) or nfd.normalize_str(chr(c)) == nfkd.normalize_str(chr(c)))
    return classes, runs(ccc), canonical, compatible, ";".join(pairs)


def scripts():
    """Script numbers by where UnicodeScripts cuts; 0 belongs to any script."""
    splitter = pre_tokenizers.UnicodeScripts()

    def same(a, b):
        return len(splitter.pre_tokenize_str(a + b)) == 1

    values, known, current = [0] * 0x110000, [], 0
    for c in SCALARS:
        if same("a", chr(c)) and same("\u03b1", chr(c)):
            continue
        if not current or not same(known[current - 1], chr(c)):
            current = next((i + 1 for i, one in enumerate(known) if same(one, chr(c))), 0)
            if not current:
                known.append(chr(c))
                current = len(known)
        values[c] = current
    assert len(known) < 256
    out, start = [], 0
    for c in range(1, 0x110001):
        if c == 0x110000 or values[c] != values[start]:
            out.append(f"{values[start]:x},{c - start:x}")
            start = c
    return ";".join(out)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    category, word = categories()
    bert = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    accents = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    write("UnicodeData+Categories.swift", [
        text("categories", "General categories: a letter for each, and how many code points in a row.", category),
        text("word", "What Rust's regular expressions take for `\\\\w`.", flags(word)),
        text("punctuation", "What the BERT and Punctuation pre-tokenizers take for punctuation.", flags(punctuation())),
        text("numeric", "What the Digits pre-tokenizer takes for a digit.", flags(numeric())),
        text("control", "What BERT's cleaning removes.", flags(removed(bert))),
        text("accents", "What BERT's stripping of accents removes.", flags(removed(accents))),
        text("marks", "What StripAccents removes.", flags(removed(normalizers.StripAccents()))),
        text("lowercase", "Lower-case mappings.", mappings(normalizers.Lowercase())),
    ])
    write("UnicodeData+Scripts.swift", [text("scripts", "Scripts: a number and how many in a row.", scripts())])
    classes, ccc, canonical, compatible, pairs = normalization()
    write("UnicodeData+Normalization.swift", [
        text("classes", "The combining classes that there are.", " ".join(map(str, classes))),
        text("combining", "Combining classes: a letter for the place in `classes`, and how many in a row.", ccc),
        text("canonical", "Full canonical decompositions, without Hangul's.", canonical),
        text("compatible", "Full compatibility decompositions where they differ from the canonical.", compatible),
        text("compositions", "Pairs that compose, and into what.", pairs),
    ])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Tokenizers of every kind, and what Hugging Face `tokenizers` makes of random text, for Tests/MartletTextTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3
    /tmp/golden/bin/python scripts/golden/make_tokenizers.py

A tokenizer that is there already is kept: training breaks some ties as it likes. The tokenizers are trained on the licence and on random text, so that they are small. Of the 100,000 strings only a hash
of each thousand is kept (`random_text.py` and its twin in Swift make the strings), and some samples in full.
"""
import array
import copy
import hashlib
import json
import pathlib
import struct
import sys
import tempfile

import sentencepiece
import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from random_text import Random, string

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "Tests" / "MartletTextTests" / "Golden" / "Tokenizers"
COUNT = 100_000
CHUNK = 1000
SEED = 20261121
SAMPLES = 40

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4O = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
])
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def corpus():
    words = (ROOT / "LICENSE").read_text(encoding="utf-8").split("\n\n")
    return words + [string(SEED + 1, i) for i in range(1500)]


def byte_level(split, normalizer=None, specials=("<|endoftext|>",), size=1200, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(specials), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def pattern(regex, *before):
    return pre_tokenizers.Sequence([
        *before, pre_tokenizers.Split(Regex(regex), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt2():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.add_tokens([tokenizers.AddedToken("word", single_word=True), tokenizers.AddedToken("<word>", rstrip=True)])
    return tokenizer


def llama3():
    tokenizer = byte_level(pattern(LLAMA3), specials=["<s>", "</s>", "<|im_start|>"], ignore_merges=True)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])])
    return tokenizer


def qwen():
    return byte_level(pattern(QWEN), normalizers.NFC(), specials=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def deepseek():
    return byte_level(pattern(
        DEEPSEEK, pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"),
        pre_tokenizers.Split(Regex("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), "isolated")))


def roberta():
    tokenizer = byte_level(
        pre_tokenizers.ByteLevel(add_prefix_space=True), specials=["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=True)
    return tokenizer


def clip():
    tokenizer = byte_level(
        pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(CLIP), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        normalizers.Sequence([
            normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
        end_of_word_suffix="</w>", unk_token="<|endoftext|>")
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return tokenizer


def fallback(normalizer, split, decoder, name_unknown="<unk>"):
    """BPE over characters with bytes for what is rare, as SentencePiece trains it."""
    trained = Tokenizer(models.BPE())
    if normalizer:
        trained.normalizer = normalizer
    if split:
        trained.pre_tokenizer = split
    pieces = [name_unknown, "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    trained.train_from_iterator(
        [word for text in corpus() for word in text.split(" ")], trainers.BpeTrainer(
            vocab_size=1400, special_tokens=pieces, show_progress=False, limit_alphabet=300, max_token_length=16))
    model = json.loads(trained.to_str())["model"]
    vocab = model["vocab"]
    vocab.setdefault("\u2581", len(vocab))
    merges = [tuple(m) for m in model["merges"]]
    for letter in "abcdefghijklmnopqrstuvwxyz":
        if letter in vocab and "\u2581" + letter not in vocab:
            vocab["\u2581" + letter] = len(vocab)
            merges.append(("\u2581", letter))
    tokenizer = Tokenizer(models.BPE(
        vocab=vocab, merges=merges, unk_token=name_unknown, fuse_unk=True, byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    if split:
        tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoder
    tokenizer.add_special_tokens([name_unknown, "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    return tokenizer


def llama2():
    return fallback(
        normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]), None,
        decoders.Sequence([
            decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))


def mistral():
    return fallback(
        None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
        decoders.Sequence([
            decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))


def gemma():
    return fallback(
        normalizers.Replace(" ", "\u2581"), pre_tokenizers.Split(" ", "merged_with_previous"),
        decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]))


def bert():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(corpus(), trainers.WordPieceTrainer(
        vocab_size=1500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False,
        limit_alphabet=400))
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]")))
    return tokenizer


def sentence_piece(kind, vocab_size=1500, rules=None, **options):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        # Lines: what SentencePiece would take for the end of one is left out.
        lines = [" ".join("".join(c for c in text if ord(c) < 0x530).split()) for text in corpus()]
        (path / "corpus.txt").write_text("\n".join(line for line in lines if line), encoding="utf-8")
        if rules:
            (path / "rules.tsv").write_text("".join(
                "\t".join(" ".join(f"{ord(c):X}" for c in side) for side in rule) + "\n" for rule in rules))
            options["normalization_rule_tsv"] = str(path / "rules.tsv")
        sentencepiece.SentencePieceTrainer.train(
            input=str(path / "corpus.txt"), model_prefix=str(path / "m"), model_type=kind, vocab_size=vocab_size,
            character_coverage=0.99, num_threads=1, minloglevel=2, hard_vocab_limit=False, **options)
        return (path / "m.model").read_bytes()


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """The numbers of a message's fields, where each begins and ends, and what those of bytes hold."""
    at = 0
    while at < len(data):
        begin = at
        key, at = varint(data, at)
        value = None
        if key & 7 == 2:
            size, at = varint(data, at)
            value = data[at : at + size]
            at += size
        elif key & 7 == 0:
            _, at = varint(data, at)
        else:
            at += 4 if key & 7 == 5 else 8
        yield key >> 3, data[begin:at], value


def with_ties(model):
    """A model of few scores, so that many ways through a text have the same sum but for rounding; some pieces are not
    used."""
    out, normal = b"", 0
    for number, whole, value in fields(model):
        if number == 1:
            parts = {n: (v, w) for n, w, v in fields(value)}
            text, (score,) = parts[1][0], struct.unpack("<f", parts[2][1][1:])
            kind = parts[3][1][1] if 3 in parts else 1
            if kind == 1:
                normal += 1
                kind = 5 if normal % 11 == 0 else 1
                score = round(score, 1)
            value = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])
            whole = b"\x0a" + bytes([len(value)]) + value
        out += whole
    return out


# Rules of normalization, beside which symbols stay as they are: SentencePiece's own make a file large.
RULES = [("\n", " "), ("\t", " "), ("\u00a0", " "), ("\uff21", "A"), ("\uff1c", "<"), ("\uff53", "s"), ("\uff1e", ">"),
         ("\u00e9", "e")]
# What looks like a token that no text is cut into, and symbols at the ends and between spaces.
TEXTS = ["", " ", "word", " word", "word ", "  the  word\nword  ", "\n", "a\n", "thing", "swordfish the\u2581word", "\uff21\u00e9A",
         "\uff1c/s\uff1e the \uff1c\uff53\uff1e", "<0x41>", "<0x0A>x<0xFF>", "\u2581", "the \u2581\u2581", "a\u2581\u2581\u2581a\u2581",
         "\u6771\u4eac the \u6771 \u4eac x", "\u6771 \u4eac\u4eac", "the of and " * 20]


def letters(seed):
    """A long text of rare words: its best ways have nearly the same sum, and SentencePiece adds in 32 bits."""
    random = Random(seed)
    return " ".join("".join(chr(97 + random.below(26)) for _ in range(2 + random.below(8))) for _ in range(60))


TEXTS += [letters(seed) for seed in (2, 4, 10, 12)]


def charsmap(model):
    """The compiled normalization in a SentencePiece model: field 2 of its field 3."""
    spec = next(value for number, _, value in fields(model) if number == 3)
    return next(value for number, _, value in fields(spec) if number == 2)


def unigram(byte_fallback, normalizer, model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocab = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=byte_fallback))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)])
    return tokenizer


def t5(model):
    return unigram(False, normalizers.Sequence([
        normalizers.Precompiled(charsmap(model)), normalizers.Strip(left=False, right=True),
        normalizers.Replace(Regex(" {2,}"), "\u2581")]), model)


def albert(model):
    return unigram(False, normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
        normalizers.Lowercase()]), model)


def word_level():
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(corpus(), trainers.WordLevelTrainer(
        vocab_size=600, special_tokens=["[UNK]", "[PAD]"], show_progress=False))
    return tokenizer


def variants(base):
    """One part of the `gpt2` tokenizer replaced at a time."""
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def part(value):
        return json.loads(value.__getstate__())

    def cut(*steps):
        return {"pre_tokenizer": part(pre_tokenizers.Sequence([*steps, plain]))}

    P, N = pre_tokenizers, normalizers
    parts = {
        "nfc": {"normalizer": part(N.NFC())}, "nfd": {"normalizer": part(N.NFD())},
        "nfkc": {"normalizer": part(N.NFKC())}, "nfkd": {"normalizer": part(N.NFKD())},
        "lowercase": {"normalizer": part(N.Lowercase())},
        "strip accents": {"normalizer": part(N.Sequence([N.NFD(), N.StripAccents()]))},
        "bert": {"normalizer": part(N.BertNormalizer())},
        "bert cased": {"normalizer": part(N.BertNormalizer(lowercase=False, strip_accents=True))},
        "nmt": {"normalizer": part(N.Nmt())}, "strip": {"normalizer": part(N.Strip())},
        "replace": {"normalizer": part(N.Replace(Regex(r"(?:[a-e]|\d)+|\s{2,}"), "<\u00e9>"))},
        "replace text": {"normalizer": part(N.Replace("e", ""))},
        "prepend": {"normalizer": part(N.Sequence([N.Prepend("\u2581x"), N.NFKD(), N.Lowercase()]))},
        "byte level normalizer": {"normalizer": part(N.ByteLevel()), "pre_tokenizer": part(P.Split(Regex(r"\u0120+"), "isolated"))},
        "gpt4o": cut(P.Split(Regex(GPT4O), "isolated")),
        "whitespace": cut(P.Whitespace()), "whitespace split": cut(P.WhitespaceSplit()),
        "bert cuts": cut(P.BertPreTokenizer()), "punctuation": cut(P.Punctuation()),
        "punctuation contiguous": cut(P.Punctuation("contiguous")),
        "punctuation next": cut(P.Punctuation("merged_with_next")),
        "punctuation previous": cut(P.Punctuation("merged_with_previous")),
        "punctuation removed": cut(P.Punctuation("removed")),
        "digits": cut(P.Digits(False)), "single digits": cut(P.Digits(True)), "delimiter": cut(P.CharDelimiterSplit("e")),
        "scripts": cut(P.UnicodeScripts()), "fixed": cut(P.FixedLength(3)),
        "metaspace": cut(P.Metaspace()), "metaspace first": cut(P.Metaspace(prepend_scheme="first")),
        "bloom": cut(P.Split(Regex(" ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"), "isolated")),
        "inverted": cut(P.Split(Regex(r"\w+|\d"), "removed", invert=True)),
        "not byte level": {"pre_tokenizer": part(P.WhitespaceSplit())},
        "bytes first": {"pre_tokenizer": part(P.Sequence([P.ByteLevel(add_prefix_space=True), P.Digits(True)]))},
        "backtracking": cut(P.Split(Regex(r"(?:a+b|[a-z]+\d|\p{L}\p{M}*(?=\s))|.{3,5}?\p{N}|(?i:THE|s)+"), "isolated")),
        "counted": cut(P.Split(Regex(r"(?:\w{2,4}|\s{2})+(?!\p{P})|[^\S\n]{1,2}\p{^Lu}?$|\p{N}{2}+"), "merged_with_next")),
        "lookbehind": cut(P.Split(Regex(r"(?<=\p{L})\p{N}|(?<!\s)\s$|^\p{Lu}++\p{Ll}*?x?|(?:ab|cd)*e"), "isolated")),
    }
    result = {}
    for name, changes in parts.items():
        whole = copy.deepcopy(base)
        whole.update(changes)
        result[name] = (changes, Tokenizer.from_str(json.dumps(whole)))
    return result


def flat(encoding):
    return encoding.ids, [place for pair in encoding.offsets for place in pair]


def digests(tokenizer, texts):
    out = []
    for start in range(0, len(texts), CHUNK):
        digest = hashlib.sha256()
        for encoding in tokenizer.encode_batch(texts[start : start + CHUNK]):
            ids, offsets = flat(encoding)
            digest.update(array.array("i", [len(ids), *ids, *offsets]).tobytes())
        out.append(digest.hexdigest()[:16])
    return out


def samples(tokenizer, texts):
    out = []
    for index in range(0, len(texts), len(texts) // SAMPLES):
        ids, offsets = flat(tokenizer.encode(texts[index]))
        pair, _ = flat(tokenizer.encode(texts[index], texts[index - 1]))
        out.append({
            "index": index, "ids": ids, "offsets": offsets, "pair": pair,
            "types": tokenizer.encode(texts[index], texts[index - 1]).type_ids,
            "decoded": tokenizer.decode(ids, skip_special_tokens=True),
            "whole": tokenizer.decode(ids, skip_special_tokens=False)})
    return out


def build():
    nmt = sentence_piece("unigram")
    return {
        "gpt2": gpt2(), "llama3": llama3(), "qwen": qwen(), "deepseek": deepseek(), "roberta": roberta(), "clip": clip(),
        "llama2": llama2(), "mistral": mistral(), "gemma": gemma(), "bert": bert(), "t5": t5(nmt), "albert": albert(nmt),
        "unigram-bytes": unigram(True, normalizers.NFKC(), sentence_piece("unigram", byte_fallback=True)),
        "word-level": word_level(),
    }


def training():
    """What `BpeTrainer` makes of random text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([string(SEED + 2, i) for i in range(2000)], trainers.BpeTrainer(
        vocab_size=900, min_frequency=2, special_tokens=["<|endoftext|>", "<|pad|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    model = json.loads(tokenizer.to_str())["model"]
    vocab = sorted(model["vocab"], key=model["vocab"].get)
    return {"seed": SEED + 2, "texts": 2000, "size": 900, "vocab": vocab, "merges": model["merges"]}


def sentence_pieces():
    """Models of all kinds, and what SentencePiece itself makes of text without its control tokens."""
    result = {}
    for name, kind, options in [
        ("unigram", "unigram", {}),
        ("unigram-bytes", "unigram", {"byte_fallback": True, "normalization_rule_name": "identity"}),
        ("bpe", "bpe", {
            "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False}),
        ("bpe-plain", "bpe", {
            "normalization_rule_name": "identity", "add_dummy_prefix": False, "split_digits": True,
            "user_defined_symbols": ["word", "\u2581\u2581"]}),
        # Symbols behind a space that is put before the text, and such as the rules would change.
        ("unigram-symbols", "unigram", {
            "vocab_size": 600, "rules": RULES, "user_defined_symbols": ["word", "\n", "\uff21", "ing", "th", "the"]}),
        ("bpe-symbols", "bpe", {
            "vocab_size": 600, "byte_fallback": True, "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False, "user_defined_symbols": ["word", "\n", "the", "\u2581\u2581"]}),
        ("char", "char", {"vocab_size": 300, "rules": RULES, "user_defined_symbols": ["word"]}),
        ("word", "word", {"vocab_size": 600, "rules": RULES, "user_defined_symbols": ["\u2581word", "\n"]}),
        ("unigram-ties", None, {}),
    ]:
        path = OUT / f"{name}.model"
        if not path.exists():
            path.write_bytes(
                sentence_piece(kind, **options) if kind else with_ties((OUT / "unigram-bytes.model").read_bytes()))
        model = path.read_bytes()
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        controls = [processor.id_to_piece(i) for i in range(processor.get_piece_size())
                    if processor.is_control(i) or processor.is_unknown(i)]
        chosen = [
            i for i in range(3000) if "\0" not in string(SEED, i) and not any(c in string(SEED, i) for c in controls)][:200]
        samples = [{"index": i, "ids": processor.encode(string(SEED, i))} for i in chosen]
        samples += [{"text": text, "ids": processor.encode(text)} for text in TEXTS]
        for sample in samples:
            sample["decoded"] = processor.decode(sample["ids"])
        result[name] = samples
    return result


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] == ["sentencepiece"]:
        write({**json.loads((OUT / "golden.json").read_text()), "sentencepiece": sentence_pieces()})
        return
    texts = [string(SEED, i) for i in range(COUNT)]
    golden = {"seed": SEED, "count": COUNT, "chunk": CHUNK, "tokenizers": tokenizers.__version__, "kinds": {}, "variants": {}}
    for name, trained in build().items():
        path = OUT / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(json.loads(trained.to_str()), ensure_ascii=False, separators=(",", ":")))
        tokenizer = Tokenizer.from_file(str(path))
        golden["kinds"][name] = {"digests": digests(tokenizer, texts), "samples": samples(tokenizer, texts)}
        print(name, file=sys.stderr)
    base = json.loads((OUT / "gpt2.json").read_text(encoding="utf-8"))
    few = texts[:20_000]
    for name, (changes, tokenizer) in variants(base).items():
        golden["variants"][name] = {"changes": changes, "digests": digests(tokenizer, few)}
    golden["training"] = training()
    golden["sentencepiece"] = sentence_pieces()
    write(golden)


def write(golden):
    (OUT / "golden.json").write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")))


if __name__ == "__main__":
    main()

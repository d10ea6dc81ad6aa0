#!/usr/bin/env python3
"""Text similarity as public packages define it, for Tests/MartletTextTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install rapidfuzz==3.14.6 sacrebleu==2.6.0 nltk==3.10.4 rouge-score==0.1.2
    /tmp/golden/bin/python scripts/golden/make_similarity.py

Running the script twice gives the same file.
"""
import json
import pathlib
import random

from nltk.translate.gleu_score import sentence_gleu
from rapidfuzz import fuzz
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "MartletTextTests" / "Golden" / "similarity.json"

PAIRS = [
    ("", ""), ("", "a"), ("a", ""), ("a", "a"), ("the cat sat on the mat", "the cat is on the mat"),
    ("The quick brown fox jumps over the lazy dog.", "A quick brown dog jumps over the lazy fox!"),
    ("Hello, world. It costs 1,234.50 dollars -- 3-4 days (or so).", "Hello world; it costs 1,234.50 dollars, 3-4 days."),
    ("one two three four five six seven", "seven six five four three two one"),
    ("a b c d e f g h i j", "a b c d x f g h i j"), ("same same same same", "same"), ("same", "same same same same"),
    ("tabs\tand\nlines", "tabs and lines"), ("AT&amp;T said &quot;no&quot; <b>", 'AT&T said "no" <b>'),
    ("hyphen-\nated words", "hyphenated words"), ("x" * 200, "x" * 150 + "y" * 50), ("abc" * 50, "cba" * 50),
]


def random_pairs():
    random.seed(11)
    words = "the a cat dog house runs jumps 3.5 10,000 is-not very, very. good? [yes] it's {no} well-known 7-up".split()
    for _ in range(60):
        left = random.choices(words, k=random.randint(1, 40))
        right = [w for w in left if random.random() > 0.3] + random.choices(words, k=random.randint(0, 8))
        if random.random() < 0.3:
            random.shuffle(right)
        yield " ".join(left), " ".join(right)


bleu = BLEU(effective_order=True)
names = [f"rouge{n}" for n in range(1, 6)] + ["rougeL"]
rouge = rouge_scorer.RougeScorer(names)
rows = []
for text, reference in PAIRS + list(random_pairs()):
    scores = rouge.score(reference, text)
    row = {"text": text, "reference": reference, "fuzzy_match": fuzz.ratio(text, reference) / 100}
    row["bleu"] = bleu.sentence_score(text, [reference]).score / 100
    left, right = text.split(), reference.split()
    row["gleu"] = sentence_gleu([right], left) if left or right else 0.0
    for n in range(1, 6):
        row[f"rouge_{n}"] = scores[f"rouge{n}"].fmeasure
    row["rouge_l"] = scores["rougeL"].fmeasure
    rows.append(row)
GOLDEN.write_text(json.dumps(rows, indent=0) + "\n")

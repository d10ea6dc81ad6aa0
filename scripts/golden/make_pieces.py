#!/usr/bin/env python3
"""SentencePiece's file of a tiny T5, and how transformers cuts texts by it, for Tests/MartletModelsTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install transformers==5.23.0 tokenizers==0.23.3 sentencepiece==0.2.3 protobuf==7.36.2
    /tmp/golden/bin/python scripts/golden/make_pieces.py

A file that is there already is kept. It has 31 pieces, which are 131 with T5's marks for gaps: the vocabulary of the tiny
models of make_language.py.
"""
import io
import json
import pathlib
import tempfile

import sentencepiece
import transformers

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "MartletModelsTests" / "Golden" / "sentencepiece"
LINES = ["the swift is a bird", "a bird that never lands", "the bird lands swiftly", "a singer sings the rest",
         "this is the test that never ends", "translate the street", "a bird is in the hand"] * 3
TEXTS = ["the swift is a bird", "  a   bird  lands ", "", " ", "the <extra_id_0> is <extra_id_1>.", "<extra_id_99>",
         "<extra_id_100> the", "the</s>bird", "a\tbird\nlands\u3000in\u00a0the hand", "z\u00fcrich \u6771\u4eac \U0001f600",
         "\uff54\uff48\uff45 \ufb01rst", "x", "translate: the bird, never!", "\u2581the", "<pad> the <unk>"]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / "spiece.model"
    if not file.exists():
        made = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(LINES), model_writer=made, vocab_size=31, model_type="unigram", pad_id=0, eos_id=1,
            unk_id=2, bos_id=-1, num_threads=1, minloglevel=2, character_coverage=1.0)
        file.write_bytes(made.getvalue())
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "spiece.model").write_bytes(file.read_bytes())
        tokenizer = transformers.T5Tokenizer.from_pretrained(folder)
    plain = sentencepiece.SentencePieceProcessor(model_proto=file.read_bytes())
    texts = []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        if "<" not in text:
            assert ids == plain.encode(text) + [1], (text, ids, plain.encode(text))
        texts.append({
            "text": text, "ids": ids, "pair": tokenizer(text, "and")["input_ids"],
            "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    (OUT / "expected.json").write_text(json.dumps({"texts": texts}, indent=1) + "\n")


if __name__ == "__main__":
    main()

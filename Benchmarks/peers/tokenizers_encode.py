"""The least seconds that `tokenizers` takes for each text, as JSON lines: tokenizers_encode.py TOKENIZER.json TEXT... [--repeat R]"""
import argparse
import json
import time

from tokenizers import Tokenizer

parser = argparse.ArgumentParser()
parser.add_argument("tokenizer")
parser.add_argument("texts", nargs="+")
parser.add_argument("--repeat", type=int, default=3)
arguments = parser.parse_args()
tokenizer = Tokenizer.from_file(arguments.tokenizer)
for path in arguments.texts:
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    best, count = float("inf"), 0
    for _ in range(arguments.repeat):
        begin = time.perf_counter()
        count = len(tokenizer.encode(text).ids)
        best = min(best, time.perf_counter() - begin)
    print(json.dumps({"seconds": best, "bytes": len(text.encode()), "tokens": count}))

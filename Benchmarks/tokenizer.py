"""Texts as tokens: a megabyte of each kind, against `tokenizers`, and how the time grows with the length."""
import json
import os
import subprocess
import sys
import tempfile

import language
import machine

MEGABYTE = 1_000_000


def space_free_json(size):
    parts, length = ["{"], 1
    while length < size:
        part = f'"k{len(parts)}":[{len(parts)},{{"a":null,"b":"x{len(parts) * 7}"}}],'
        parts.append(part)
        length += len(part)
    return "".join(parts)[:size]


def prose(size):
    with open(os.path.join(machine.DATA, "text.txt"), encoding="utf-8") as file:
        text = file.read()
    return (text * (size // len(text) + 1))[:size]


KINDS = {
    "prose": prose, "JSON without spaces": space_free_json, "a": lambda size: "a" * size, "^": lambda size: "^" * size,
    "spaces": lambda size: " " * size, "Chinese": lambda size: "中文句子。" * (size // 15),
}


def seconds(command, paths, env=None):
    done = subprocess.run(command + paths + ["--repeat", "3"], capture_output=True, text=True,
                          env=dict(os.environ, **(env or {})))
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}:\n{done.stderr.strip()[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(pairs):
    language.make_model()
    words = os.path.join(language.MODEL, "hf/tokenizer.json")
    print("\nTexts of a megabyte as tokens, one thread")
    ours_command = [machine.ENGINE, "bench-tokenizer", words]
    peer_command = [machine.PYTHON, os.path.join(machine.PEERS, "tokenizers_encode.py"), words]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index, (name, make) in enumerate(KINDS.items()):
            for size in (MEGABYTE // 10, MEGABYTE):
                paths.append(os.path.join(folder, f"{index}-{size}.txt"))
                with open(paths[-1], "w", encoding="utf-8", newline="") as file:
                    file.write(make(size))
        a, b = machine.interleave(lambda: seconds(ours_command, paths),
                                  lambda: seconds(peer_command, paths, {"TOKENIZERS_PARALLELISM": "false"}), pairs)
    for index, name in enumerate(KINDS):
        for own, other in zip(a, b):
            if own[2 * index + 1]["tokens"] != other[2 * index + 1]["tokens"]:
                sys.exit(f"error: the two give different tokens for {name}")
        rate = lambda found: [run[2 * index + 1]["bytes"] / run[2 * index + 1]["seconds"] / 1e6 for run in found]
        row = machine.compare(f"tokens of a text, {name}", "MB/s", rate(a), rate(b), "tokenizers", 0.95)
        grows = min(run[2 * index + 1]["seconds"] for run in a) / min(run[2 * index]["seconds"] for run in a)
        row["grows"] = grows
        print(f"  {name}: ours {1 / row['ours']:.3f} s a megabyte, tokenizers {1 / row['theirs']:.3f}; "
              f"ten times the text takes {grows:.1f} times as long")
        rows.append(row)
    return rows

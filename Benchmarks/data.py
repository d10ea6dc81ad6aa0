#!/usr/bin/env python3
"""Writes the made-up data that the training measurements read. Speed does not depend on what is in it.

usage: data.py FOLDER
"""
import math
import os
import random
import sys


def regression(out, rows, columns):
    """y is the sine of the row's sum."""
    out.write(",".join(f"x{i}" for i in range(columns)) + ",y\n")
    for _ in range(rows):
        row = [random.gauss(0, 1) for _ in range(columns)]
        out.write(",".join(f"{v:.5f}" for v in row) + f",{math.sin(sum(row)):.6f}\n")


def classification(out, rows, columns, classes):
    out.write(",".join(f"x{i}" for i in range(columns)) + ",label\n")
    for _ in range(rows):
        out.write(",".join(f"{random.gauss(0, 1):.4f}" for _ in range(columns)) + f",c{random.randrange(classes)}\n")


def sequences(out, rows, length, symbols):
    """A sequence of symbols, and the same one step on."""
    out.write("text,next\n")
    for row in range(rows):
        # The first rows hold every symbol, so that the vocabulary has its full size.
        walk = [(row * length + i) % symbols if row < 2 else random.randrange(symbols) for i in range(length + 1)]
        out.write(" ".join(f"s{v}" for v in walk[:-1]) + "," + " ".join(f"s{v}" for v in walk[1:]) + "\n")


def text(out, characters, symbols):
    """Letters at random in lines, each of the symbols at least once."""
    letters = [chr(0x21 + i) for i in range(symbols - 1)]
    out.write("".join(letters) + "\n")
    for _ in range(characters // 80):
        out.write("".join(random.choices(letters, k=79)) + "\n")


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    random.seed(7)
    for name, write in {
        "mlp.csv": lambda out: regression(out, 2048, 10),
        "classes.csv": lambda out: classification(out, 2048, 1000, 10),
        # Two of the symbols are the vocabulary's own: padding and unknown.
        "sequences.csv": lambda out: sequences(out, 512, 128, 94),
        "text.txt": lambda out: text(out, 400_000, 65),
    }.items():
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            with open(path + ".new", "w", encoding="utf-8") as out:
                write(out)
            os.rename(path + ".new", path)


main()

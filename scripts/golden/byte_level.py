"""What byte-level tokenizers write for bytes."""


def byte_characters():
    """GPT-2's printable character for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, extra = {byte: chr(byte) for byte in plain}, 0
    for byte in range(256):
        if byte not in names:
            names[byte] = chr(256 + extra)
            extra += 1
    return [names[byte] for byte in range(256)]

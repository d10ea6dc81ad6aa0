#!/usr/bin/env python3
"""Small GGUF files and what transformers reads from them, for Tests/MartletModelsTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==2.13.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6 gguf==0.19.0
    /tmp/golden/bin/python scripts/golden/make_gguf.py

One file of llama's kind, whose weights are in the K formats, and one of qwen2's, whose are in the older ones. The K
blocks are random bytes with scales of a sensible size, since the gguf package reads but does not make them.
"""
import pathlib

import gguf
import numpy
import torch
from gguf import GGMLQuantizationType as T
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "MartletModelsTests" / "Golden" / "gguf"
random = numpy.random.default_rng(20261121)
torch.set_num_threads(1)
HEADS, GROUPS = 4, 2
# Where a block's half-precision scales are, and their size.
SCALES = {T.Q2_K: ((80, 0.01), (82, 0.01)), T.Q3_K: ((108, 0.002),), T.Q4_K: ((0, 0.0005), (2, 0.004)),
          T.Q5_K: ((0, 0.0003), (2, 0.004)), T.Q6_K: ((208, 0.0001),)}


def blocks(shape, kind):
    """A tensor's bytes in a format, and its numbers."""
    if kind in SCALES:
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        count = int(numpy.prod(shape)) // elements
        data = random.integers(0, 256, (count, size), dtype=numpy.uint8)
        for place, scale in SCALES[kind]:
            values = (random.uniform(0.5, 1, count) * scale).astype(numpy.float16)
            data[:, place:place + 2] = values.view(numpy.uint8).reshape(count, 2)
        data = data.reshape(*shape[:-1], shape[-1] // elements * size)
    else:
        values = random.normal(0, 0.08, shape).astype(numpy.float32)
        data = gguf.quants.quantize(values, kind)
    return data, gguf.quants.dequantize(data, kind).reshape(shape)


def mixed(data, heads):
    """Rows in the order that the conversion for llama.cpp gives queries and keys."""
    return data.reshape(heads, 2, data.shape[0] // heads // 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)


def make(kind, vocabulary, types, extra, WIDTH, INNER, SIZE):
    path = OUT / f"{kind}.gguf"
    writer = gguf.GGUFWriter(path, kind)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_key_length(SIZE)
    writer.add_value_length(SIZE)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(SIZE)
    vocabulary(writer)
    expected = {}

    def add(name, shape, kind, heads=None):
        data, values = blocks(shape, kind)
        expected[name] = torch.from_numpy(values)
        writer.add_tensor(name, mixed(data, heads) if heads else data, raw_dtype=kind)

    llama = kind == "llama"
    add("token_embd.weight", (VOCABULARY, WIDTH), types[0])
    add("output_norm.weight", (WIDTH,), T.F32)
    add("blk.0.attn_norm.weight", (WIDTH,), T.F32)
    add("blk.0.ffn_norm.weight", (WIDTH,), T.F32)
    add("blk.0.attn_q.weight", (HEADS * SIZE, WIDTH), types[1], HEADS if llama else None)
    add("blk.0.attn_k.weight", (GROUPS * SIZE, WIDTH), types[2], GROUPS if llama else None)
    add("blk.0.attn_v.weight", (GROUPS * SIZE, WIDTH), types[3])
    add("blk.0.attn_output.weight", (WIDTH, HEADS * SIZE), types[4])
    add("blk.0.ffn_gate.weight", (INNER, WIDTH), types[5])
    add("blk.0.ffn_up.weight", (INNER, WIDTH), types[6])
    add("blk.0.ffn_down.weight", (WIDTH, INNER), types[7])
    extra(add, WIDTH, SIZE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = AutoModelForCausalLM.from_pretrained(
        OUT, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = [(7 * i * i + 13 * i + 5) % (VOCABULARY - 3) + 3 for i in range(40)]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0, -3:]
    rows = {f"rows/{name}": value[:2].clone() for name, value in expected.items()}
    save_file({"logits": logits.contiguous(), **rows}, OUT / f"{kind}.safetensors", metadata={"gguf": "0.19.0"})
    print(path.name, path.stat().st_size, model.config.rope_parameters, logits.abs().max())


PIECES = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
WORDS = ["▁", "t", "h", "e", "a", "n", "i", "▁t", "he", "▁the", "an", "▁a", "in", "▁i", "th", "▁an", "hen", "▁in", "é",
         "▁then", "ten", "en"]
VOCABULARY = len(PIECES) + len(WORDS)


def sentencepiece(writer):
    writer.add_tokenizer_model("llama")
    writer.add_token_list(PIECES + WORDS)
    writer.add_token_scores([0.0] * len(PIECES) + [-float(i) for i in range(len(WORDS))])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(WORDS))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")


def bytelevel(writer):
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    letters = [c for _, c in sorted(bytes_to_unicode().items())]
    pairs = ["t h", "th e", "Ġ the", "i n", "Ġ a", "a n", "1 2", "12 3"]
    more = ["".join(p.split()) for p in pairs]
    tokens = letters + more
    tokens += [f"<extra{i}>" for i in range(VOCABULARY - len(tokens) - 2)] + ["<|endoftext|>", "<|im_end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_merges(pairs)
    writer.add_token_types([1] * (256 + len(more)) + [4] * (VOCABULARY - 258 - len(more)) + [3, 3])
    writer.add_eos_token_id(VOCABULARY - 1)
    writer.add_add_bos_token(False)


def biases(add, width, size):
    for name, heads in (("q", HEADS), ("k", GROUPS), ("v", GROUPS)):
        add(f"blk.0.attn_{name}.bias", (heads * size,), T.F32)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    make("llama", sentencepiece, (T.Q6_K, T.Q4_K, T.Q5_K, T.Q3_K, T.BF16, T.Q2_K, T.Q4_K, T.Q3_K),
         lambda add, width, size: add("output.weight", (VOCABULARY, width), T.Q5_K), 256, 256, 8)
    make("qwen2", bytelevel, (T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.F16, T.Q5_1, T.Q4_0, T.Q8_0), biases, 64, 96, 16)

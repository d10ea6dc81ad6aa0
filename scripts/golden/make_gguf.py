#!/usr/bin/env python3
"""Small GGUF files and what transformers reads from them, for Tests/MartletModelsTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==2.13.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6 gguf==0.19.0 tokenizers==0.23.3
    /tmp/golden/bin/python scripts/golden/make_gguf.py

One file of llama's kind, whose weights are in the K formats, and one of qwen2's, whose are in the older ones. The K
blocks are random bytes with scales of a sensible size, since the gguf package reads but does not make them.
Those of Gemma's and Phi's kinds are written of a random model as llama.cpp's convert_hf_to_gguf.py writes them; expected
are that model's own logits, and the tokens that transformers' tokenizer of the file gives.
The vocabulary of splits.gguf joins across every border, so that its tokens tell how a text was split: splits.json has
what `tokenizers` makes of random texts with the pre-tokenizer of the model that each name of llama.cpp's stands for.
"""
import array
import hashlib
import json
import math
import pathlib
import sys

import gguf
import numpy
import tokenizers
import torch
from gguf import GGMLQuantizationType as T
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, Gemma3TextConfig, Phi3Config

from random_text import string

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


NAMES = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}
PARTS = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}
TEXTS = ("the hen in ten  then   an\n\nhen", " the  é", "then<end>the", "")


def gguf_name(name, gemma):
    name = name.removeprefix("model.").removesuffix(".weight")
    if not name.startswith("layers."):
        return NAMES[name] + ".weight"
    _, layer, part = name.split(".", 2)
    behind = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
              "post_feedforward_layernorm": "post_ffw_norm"} if gemma else {"post_attention_layernorm": "ffn_norm"}
    return f"blk.{layer}.{ {**PARTS, **behind}[part] }.weight"


def converted(kind, config, vocabulary, settings):
    """A random model's file, as convert_hf_to_gguf.py writes it, and that model's logits."""
    torch.manual_seed(20261122)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            values = torch.randn(tensor.shape) * (0.3 if tensor.dim() > 1 else 0.2)
            if tensor.dim() == 1 and "gemma" not in kind:
                values += 1
            tensor.copy_(values.half().float() if tensor.dim() > 1 else values)
    path = OUT / f"{kind}.gguf"
    writer = gguf.GGUFWriter(path, kind)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if "gemma" in kind:
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    settings(writer)
    vocabulary(writer)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if "gemma" in kind and name.endswith("norm.weight"):
            tensor = tensor + 1
        values = tensor.numpy()
        writer.add_tensor(gguf_name(name, "gemma" in kind), values.astype(numpy.float16) if values.ndim > 1 else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tokens = [(7 * i * i + 13 * i + 5) % (config.vocab_size - 3) + 3 for i in range(40)]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0, -3:]
    tokenizer = AutoTokenizer.from_pretrained(OUT, gguf_file=path.name)
    expected = {f"ids/{i}": torch.tensor(tokenizer(text)["input_ids"]) for i, text in enumerate(TEXTS)}
    save_file({"logits": logits.contiguous(), **expected}, OUT / f"{kind}.safetensors", metadata={"gguf": "0.19.0"})
    print(path.name, path.stat().st_size, logits.abs().max(), [e.tolist() for e in expected.values()])


# Spaces are written as text where the folder's tokenizer_config.json names the token.
GEMMA_PIECES = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{i:02X}>" for i in range(256)]
GEMMA_WORDS = WORDS + ["\n", "\n\n", "  ", "   ", "<end_of_turn>", "<end>"]


def gemma_pieces(writer):
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(GEMMA_PIECES + GEMMA_WORDS)
    scores = [-1000.0] * 4 + [0.0] * 256 + [-float(i) for i in range(len(WORDS))] + [-1000.0] * 6
    writer.add_token_scores(scores)
    writer.add_token_types([3, 3, 3, 3] + [6] * 256 + [1] * len(WORDS) + [4, 4, 4, 4, 3, 3])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)


def families():
    vocabulary = len(GEMMA_PIECES) + len(GEMMA_WORDS)
    shape = dict(vocab_size=vocabulary, hidden_size=16, intermediate_size=24, num_attention_heads=2,
                 num_key_value_heads=1, head_dim=8, max_position_embeddings=512, query_pre_attn_scalar=8)

    def gemma2(writer):
        writer.add_attn_logit_softcapping(5.0)
        writer.add_final_logit_softcapping(3.0)
        writer.add_sliding_window(9)

    converted("gemma2", Gemma2Config(**shape, num_hidden_layers=2, sliding_window=9, attn_logit_softcapping=5.0,
                                     final_logit_softcapping=3.0), gemma_pieces, gemma2)

    def gemma3(writer):
        writer.add_rope_freq_base(1000000.0)
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(8.0)
        writer.add_sliding_window(9)

    converted("gemma3", Gemma3TextConfig(**shape, num_hidden_layers=7, sliding_window=9, rope_parameters=dict(
        full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0),
        sliding_attention=dict(rope_type="default", rope_theta=10000.0))), gemma_pieces, gemma3)

    short, long = [1.0, 1.5, 2.0], [3.0, 4.0, 5.0]

    def phi3(writer):
        writer.add_rope_scaling_orig_ctx_len(128)
        writer.add_rope_dimension_count(6)
        writer.add_rope_freq_base(10000.0)
        writer.add_sliding_window(9)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(4) / math.log(128)))
        writer.add_tensor("rope_factors_long.weight", numpy.array(long, dtype=numpy.float32))
        writer.add_tensor("rope_factors_short.weight", numpy.array(short, dtype=numpy.float32))

    converted("phi3", Phi3Config(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_attention_heads=2, num_key_value_heads=1,
        num_hidden_layers=2, max_position_embeddings=512, original_max_position_embeddings=128, sliding_window=9,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
        rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75, short_factor=short,
                             long_factor=long)), sentencepiece, phi3)


CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
    "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
    "\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15"
    "\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
    "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113"
    "\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184"
    "\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
    "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943")


def ways():
    """The pre-tokenizers of the models that llama.cpp's names stand for, whether words that are tokens are taken whole, and
    whether characters are composed."""
    cut = tokenizers.pre_tokenizers

    def split(regex):
        return cut.Split(tokenizers.Regex(regex), "isolated")

    def words(digits):
        return split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits
                     + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

    def cased(digits, end):
        return split(r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + end
                     + r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + end
                     + "|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

    lines, single = split("[\r\n]"), cut.Digits(individual_digits=True)
    asian = split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+")
    return {
        "gpt-2": ([], False, False), "smollm": ([single], False, False),
        "llama-bpe": ([words(r"\p{N}{1,3}")], True, False), "dbrx": ([words(r"\p{N}{1,3}")], False, False),
        "qwen2": ([words(r"\p{N}")], False, True),
        "minicpm5": ([split(r"\p{N}{1,3}"), words(r"\p{N}+")], True, False),
        "gpt-4o": ([cased(r"\p{N}{1,3}", CONTRACTIONS + "?")], False, False),
        "tekken": ([cased(r"\p{N}", "")], True, False),
        "deepseek-llm": ([
            lines, split(r"\s?[" + LETTERS + "]+"),
            split(r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"), asian, single],
            False, False),
        "deepseek-coder": ([lines, split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), asian, single], False, False),
    }


def splits():
    seed, count, chunk, size, width = 20261122, 1000, 50, 1500, 8
    texts = [string(seed, i) for i in range(count)]
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(
        vocab_size=size, show_progress=False, max_token_length=6,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    path = OUT / "splits.gguf"
    if not path.exists():
        model = json.loads(trained.to_str())["model"]
        writer = gguf.GGUFWriter(path, "qwen2")
        # Cut as the name of the pre-tokenizer grows.
        writer.add_string("general.description", "x" * 64)
        writer.add_context_length(64)
        writer.add_embedding_length(width)
        writer.add_block_count(1)
        writer.add_feed_forward_length(width)
        writer.add_head_count(1)
        writer.add_head_count_kv(1)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(sorted(model["vocab"], key=model["vocab"].get))
        # Some tokens are made by no merge: only models that take whole words find them.
        writer.add_token_merges([" ".join(pair) for i, pair in enumerate(model["merges"]) if i % 9 != 4])
        writer.add_token_types([1] * len(model["vocab"]))
        shapes = {"token_embd": (len(model["vocab"]), width), "output_norm": (width,), "blk.0.attn_norm": (width,),
                  "blk.0.ffn_norm": (width,)}
        for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            shapes[f"blk.0.{part}"] = (width, width)
        for part in ("attn_q", "attn_k", "attn_v"):
            writer.add_tensor(f"blk.0.{part}.bias", numpy.zeros(width, dtype=numpy.float32))
        for name, shape in shapes.items():
            kind = numpy.float16 if len(shape) > 1 else numpy.float32
            writer.add_tensor(name + ".weight", numpy.zeros(shape, dtype=kind))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    fields = gguf.GGUFReader(path).fields
    names = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"].contents()]
    hashes = {}
    for name, (steps, whole, composes) in ways().items():
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(
            vocab={token: id for id, token in enumerate(names)}, merges=merges, ignore_merges=whole))
        if composes:
            tokenizer.normalizer = tokenizers.normalizers.NFC()
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(steps + [
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=name in ("gpt-2", "smollm"))])
        hashes[name] = []
        for start in range(0, count, chunk):
            ids = [encoding.ids for encoding in tokenizer.encode_batch(texts[start:start + chunk])]
            flat = array.array("i", [number for row in ids for number in [len(row), *row]])
            hashes[name].append(hashlib.sha256(flat.tobytes()).hexdigest()[:16])
    assert len({row[0] for row in hashes.values()}) == len(hashes), "two names split alike"
    (OUT / "splits.json").write_text(json.dumps({"texts": texts, "chunk": chunk, "hashes": hashes}) + "\n")
    print(path.name, path.stat().st_size, len(names))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    splits()
    if sys.argv[1:] == ["splits"]:
        sys.exit()
    make("llama", sentencepiece, (T.Q6_K, T.Q4_K, T.Q5_K, T.Q3_K, T.BF16, T.Q2_K, T.Q4_K, T.Q3_K),
         lambda add, width, size: add("output.weight", (VOCABULARY, width), T.Q5_K), 256, 256, 8)
    make("qwen2", bytelevel, (T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.F16, T.Q5_1, T.Q4_0, T.Q8_0), biases, 64, 96, 16)
    families()

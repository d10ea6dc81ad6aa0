#!/usr/bin/env python3
"""A tiny random Llama with a byte-level tokenizer and a chat template, in Hugging Face's form, for tests of whole programs.

    python3 scripts/golden/make_tiny_chat.py

Python's own library is enough. The same files come out each time.
"""
import json
import pathlib
import random
import struct

from byte_level import byte_characters

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Golden" / "tiny-llama"
WIDTH, LAYERS, HEADS, KV_HEADS, INNER, CONTEXT = 32, 2, 4, 2, 48, 512
MARKS = ["<|start|>", "<|end|>"]
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}<|end|>\n{% endfor %}"
    "{% for tool in tools or [] %}{{ tool | tojson }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def tokenizer():
    characters = byte_characters()
    vocabulary = {character: index for index, character in enumerate(characters)}
    merges = [("t", "h"), ("th", "e"), ("i", "n"), ("a", "n"), ("Ġ", "the")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    added = [
        {"id": len(vocabulary) + index, "content": mark, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for index, mark in enumerate(MARKS)
    ]
    layer = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": layer, "post_processor": None, "decoder": layer,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": vocabulary, "merges": [list(pair) for pair in merges],
        },
    }


def tensors(vocabulary_count):
    shapes = {"model.embed_tokens.weight": (vocabulary_count, WIDTH), "model.norm.weight": (WIDTH,)}
    head = WIDTH // HEADS
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        shapes |= {
            prefix + "input_layernorm.weight": (WIDTH,), prefix + "post_attention_layernorm.weight": (WIDTH,),
            prefix + "self_attn.q_proj.weight": (WIDTH, WIDTH),
            prefix + "self_attn.k_proj.weight": (KV_HEADS * head, WIDTH),
            prefix + "self_attn.v_proj.weight": (KV_HEADS * head, WIDTH),
            prefix + "self_attn.o_proj.weight": (WIDTH, WIDTH),
            prefix + "mlp.gate_proj.weight": (INNER, WIDTH), prefix + "mlp.up_proj.weight": (INNER, WIDTH),
            prefix + "mlp.down_proj.weight": (WIDTH, INNER),
        }
    shapes["lm_head.weight"] = (vocabulary_count, WIDTH)
    return dict(sorted(shapes.items()))


def write_weights(path, shapes):
    source = random.Random(7)
    header, body = {"__metadata__": {"format": "pt"}}, bytearray()
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [1.0] * count if len(shape) == 1 else [source.gauss(0, 0.35) for _ in range(count)]
        begin = len(body)
        body += struct.pack(f"<{count}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, len(body)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_json(name, value):
    (OUT / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    count = len(words["model"]["vocab"]) + len(MARKS)
    end = count - 1
    write_json("tokenizer.json", words)
    write_json("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": MARKS[1], "bos_token": MARKS[0],
        "chat_template": TEMPLATE, "model_max_length": CONTEXT,
    })
    write_json("generation_config.json", {"eos_token_id": end})
    write_json("config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": count, "hidden_size": WIDTH,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
        "tie_word_embeddings": False, "bos_token_id": count - 2, "eos_token_id": end, "torch_dtype": "float32",
    })
    write_weights(OUT / "model.safetensors", tensors(count))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A tiny random Qwen 3 as makers of embeddings save it, and the vectors that sentence-transformers makes with it.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==2.13.0 transformers==5.23.0 sentence-transformers==6.2.0
    /tmp/golden/bin/python scripts/golden/make_tiny_embedder.py

The body alone, without an output layer; the last token's hidden state; and a tokenizer that ends each text with a token
of its own, as Qwen3-Embedding has it. `expected.json` holds each text's tokens and its vector of length 1.
"""
import json
import pathlib

import torch
import transformers
from byte_level import byte_characters
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Golden" / "tiny-embedder"
END = "<|endoftext|>"
TEXTS = ["the swift", "a bird that never lands", "x", "Vögel, die nie landen", "the swift "]


def write_json(name, value):
    path = OUT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def tokenizer():
    vocabulary = {character: index for index, character in enumerate(byte_characters())}
    merges = [("t", "h"), ("th", "e"), ("i", "n"), ("a", "n")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    end = len(vocabulary)
    layer = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    text, special = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END, "type_id": 0}}
    second = [{"Sequence": {"id": "B", "type_id": 0}}, special]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": end, "content": END, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}],
        "normalizer": {"type": "NFC"}, "pre_tokenizer": layer,
        "post_processor": {"type": "Sequence", "processors": [layer, {
            "type": "TemplateProcessing", "single": [text, special], "pair": [text, special, *second],
            "special_tokens": {END: {"id": END, "ids": [end], "tokens": [END]}},
        }]},
        "decoder": layer,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": vocabulary, "merges": [list(pair) for pair in merges],
        },
    }


def main():
    words = tokenizer()
    config = {
        "architectures": ["Qwen3Model"], "model_type": "qwen3", "vocab_size": len(words["model"]["vocab"]) + 1,
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "hidden_act": "silu", "attention_bias": False, "tie_word_embeddings": False,
        "use_sliding_window": False, "dtype": "float32",
    }
    write_json("config.json", config)
    write_json("tokenizer.json", words)
    write_json("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, "eos_token": END, "pad_token": END,
        "padding_side": "left",
    })
    kinds = ["Transformer", "Pooling", "Normalize"]
    write_json("modules.json", [
        {"idx": index, "name": str(index), "path": f"{index}_{kind}" if index else "",
         "type": f"sentence_transformers.models.{kind}"} for index, kind in enumerate(kinds)
    ])
    ways = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    write_json("1_Pooling/config.json", {
        "word_embedding_dimension": 16, **{f"pooling_mode_{way}": way == "lasttoken" for way in ways},
        "include_prompt": True,
    })
    torch.manual_seed(3)
    model = transformers.Qwen3Model(transformers.Qwen3Config(**config)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0 if parameter.dim() > 1 else 1, std=0.3)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()},
              OUT / "model.safetensors", metadata={"format": "pt"})
    (OUT / "2_Normalize").mkdir(exist_ok=True)
    maker = SentenceTransformer(str(OUT), device="cpu")
    (OUT / "2_Normalize").rmdir()
    expected = {}
    for text in TEXTS:
        count = len(maker.tokenizer(text)["input_ids"])
        vector = maker.encode([text])[0].tolist()
        expected[text] = {"tokens": count, "vector": [round(x, 6) for x in vector]}
    write_json("expected.json", expected)


if __name__ == "__main__":
    main()

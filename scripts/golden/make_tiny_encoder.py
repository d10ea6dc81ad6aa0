#!/usr/bin/env python3
"""A tiny random BERT with a WordPiece tokenizer and sentence-transformers' pooling, and what transformers makes of texts.

    python3 scripts/golden/make_tiny_encoder.py

Needs torch==2.13.0, transformers==5.23.0 and safetensors. `expected.json` holds the mean of each text's last
hidden states, scaled to length 1.
"""
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Golden" / "tiny-bert"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = ["the swift", "a bird that never lands", "x", "The Swift"]


def write_json(name, value):
    path = OUT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def tokenizer():
    words = MARKS + list(LETTERS) + ["##" + letter for letter in LETTERS] + ["the", "##ift", "bird"]
    vocabulary = {word: index for index, word in enumerate(words)}
    special = lambda text: {"SpecialToken": {"id": text, "type_id": 0}}
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": index, "content": mark, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True} for index, mark in enumerate(MARKS)
        ],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [special("[CLS]"), sequence, special("[SEP]")],
            "pair": [special("[CLS]"), sequence, special("[SEP]"), {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                mark: {"id": mark, "ids": [vocabulary[mark]], "tokens": [mark]} for mark in ["[CLS]", "[SEP]"]
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    }


def main():
    words = tokenizer()
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": len(words["model"]["vocab"]),
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
        "max_position_embeddings": 64, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "pad_token_id": 0, "dtype": "float32",
    }
    write_json("config.json", config)
    write_json("tokenizer.json", words)
    write_json("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64})
    write_json("modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ])
    write_json("1_Pooling/config.json", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    torch.manual_seed(3)
    model = transformers.BertModel(transformers.BertConfig(**config), add_pooling_layer=False).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()},
              OUT / "model.safetensors", metadata={"format": "pt"})
    encode = transformers.PreTrainedTokenizerFast(tokenizer_file=str(OUT / "tokenizer.json"))
    expected = {}
    for text in TEXTS:
        ids = encode(text)["input_ids"]
        with torch.no_grad():
            hidden = model(torch.tensor([ids])).last_hidden_state[0].mean(0)
        expected[text] = {"tokens": len(ids), "vector": [round(x, 6) for x in (hidden / hidden.norm()).tolist()]}
    write_json("expected.json", expected)


if __name__ == "__main__":
    main()

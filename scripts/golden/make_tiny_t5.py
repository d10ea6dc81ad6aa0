#!/usr/bin/env python3
"""A tiny random T5 with a Unigram tokenizer, and what transformers answers to texts.

    python3 scripts/golden/make_tiny_t5.py

Needs torch==2.13.0, transformers==5.23.0 and safetensors. `expected.json` holds for each text its tokens, the greedy
answer of at most 64 tokens, its text, whether it came to its end, and the first 24 tokens of an answer that is to repeat
nothing.
"""
import json
import math
import pathlib

import torch
import transformers
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Golden" / "tiny-t5"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["▁the", "▁swift", "▁bird", "▁lands", "▁is", "ing", "er", "▁a"]
TEXTS = ["translate: the swift is a bird", "summarize: a bird that never lands", "x", "the bird lands  swiftly", "zürich",
         "a swift lands near the singer", "question: is the swift a bird or a singer"]
LIMIT = 64


def write_json(name, value):
    (OUT / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def tokenizer():
    pieces = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁", -2.0]]
    pieces += [[word, -3.0 - index / 8] for index, word in enumerate(WORDS)]
    pieces += [[letter, -4.0 - math.log(index + 1)] for index, letter in enumerate(LETTERS + ":.,")]
    marks = [(0, "<pad>"), (1, "</s>"), (2, "<unk>"), (len(pieces), "<extra_id_0>")]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": index, "content": mark, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True} for index, mark in marks
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
        },
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 2, "vocab": pieces, "byte_fallback": False},
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    count = len(words["model"]["vocab"]) + 1
    config = {
        "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": count + 7, "d_model": 24,
        "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "n_positions": 96,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 24, "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False, "layer_norm_epsilon": 1e-6, "dropout_rate": 0.1, "is_encoder_decoder": True,
        "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1, "dtype": "float32",
    }
    write_json("config.json", config)
    write_json("generation_config.json", {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0})
    write_json("tokenizer.json", words)
    write_json("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
        "model_max_length": 96})
    torch.manual_seed(21)
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**config)).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(OUT)
    write_json("config.json", config)
    write_json("generation_config.json", {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0})
    encode = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(OUT / "tokenizer.json"), eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    expected = []
    for text in TEXTS:
        ids = encode(text)["input_ids"]
        with torch.no_grad():
            answer = model.generate(
                torch.tensor([ids]), do_sample=False, num_beams=1, max_new_tokens=LIMIT, min_new_tokens=0)[0].tolist()[1:]
            penalized = model.generate(
                torch.tensor([ids]), do_sample=False, num_beams=1, max_new_tokens=24, repetition_penalty=3.0)[0].tolist()
        ended = answer[-1] == 1
        expected.append({
            "prompt": text, "prompt_tokens": ids, "tokens": answer, "text": encode.decode(answer, skip_special_tokens=True),
            "finish": "stop" if ended else "length", "penalized": penalized[1:],
        })
        print(expected[-1])
    assert {row["finish"] for row in expected} == {"stop", "length"}
    write_json("expected.json", expected)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Tiny random BERTs with heads, for classes of texts, numbers and answers in them, and what transformers makes of texts.

    python3 scripts/golden/make_tiny_texts.py

Needs torch==2.13.0, transformers==5.23.0 and safetensors. `expected.json` of the first two holds its pipeline's scores; of
the last the likeliest answer: the product of the probabilities of its first and its last token, of at most 15, among
the text's tokens and [CLS].
"""
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file

import make_tiny_encoder as encoder

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Golden"
LABELS = ["bird", "beast", "fish"]
QUESTIONS = [
    ("who flies", "the swift is a bird that never lands"),
    ("what is it", "A BIRD"),
    ("where", "a bird in Zürich – the 😀 swift"),
    # Longer than the model reads at once.
    ("which bird", " ".join(f"the swift {chr(97 + i % 26)}x" for i in range(20))),
]


def write_json(folder, name, value):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def make(name, kind, extra, seed):
    folder = OUT / name
    words = encoder.tokenizer()
    words["post_processor"]["pair"].append({"SpecialToken": {"id": "[SEP]", "type_id": 1}})
    config = {
        "architectures": [kind.__name__], "model_type": "bert", "vocab_size": len(words["model"]["vocab"]),
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
        "max_position_embeddings": 64, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "pad_token_id": 0, "dtype": "float32",
    } | extra
    write_json(folder, "config.json", config)
    write_json(folder, "tokenizer.json", words)
    write_json(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64})
    torch.manual_seed(seed)
    model = kind(transformers.BertConfig(**config)).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()},
              folder / "model.safetensors", metadata={"format": "pt"})
    return folder, model, transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"])


def classes():
    extra = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
    folder, model, tokenizer = make("tiny-bert-classes", transformers.BertForSequenceClassification, extra, 5)
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    expected = []
    for text, pair in [(text, None) for text in encoder.TEXTS] + [("the swift", "a bird")]:
        found = pipeline({"text": text, "text_pair": pair} if pair else text)
        scores = {row["label"]: round(row["score"], 6) for row in (found[0] if isinstance(found[0], list) else found)}
        expected.append({"text": text, "text_pair": pair, "scores": scores})
    write_json(folder, "expected.json", expected)


def numbers():
    extra = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}, "problem_type": "regression"}
    folder, model, tokenizer = make("tiny-bert-number", transformers.BertForSequenceClassification, extra, 8)
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    expected = []
    for text, pair in [(text, None) for text in encoder.TEXTS] + [("the swift", "a bird")]:
        found = pipeline({"text": text, "text_pair": pair} if pair else text)
        value = (found[0] if isinstance(found, list) else found)["score"]
        expected.append({"text": text, "text_pair": pair, "value": round(value, 6)})
    write_json(folder, "expected.json", expected)


def best(model, ids, types, first, last):
    """The likeliest span of tokens first..last, and its probability."""
    with torch.no_grad():
        out = model(torch.tensor([ids]), token_type_ids=torch.tensor([types]))
    allowed = torch.full([len(ids)], -torch.inf)
    allowed[first:last + 1] = 0
    allowed[0] = 0
    starts, ends = [(logits[0] + allowed).softmax(0) for logits in (out.start_logits, out.end_logits)]
    found = [(float(starts[i] * ends[j]), i, j) for i in range(first, last + 1) for j in range(i, min(i + 15, last + 1))]
    return max(found, key=lambda item: item[0])


def answers():
    folder, model, tokenizer = make("tiny-bert-answers", transformers.BertForQuestionAnswering, {}, 6)
    expected = []
    for question, context in QUESTIONS:
        whole = tokenizer(question, context, return_offsets_mapping=True)
        ids, types, places = whole["input_ids"], whole["token_type_ids"], whole["offset_mapping"]
        inside = [i for i, part in enumerate(whole.sequence_ids()) if part == 1]
        first, last = inside[0], inside[-1]
        room = 64 - first - (len(ids) - last - 1)
        step, start, found = room - min(128, room // 2), first, []
        while True:
            end = min(start + room, last + 1)
            window = lambda values: values[:first] + values[start:end] + values[last + 1:]
            score, i, j = best(model, window(ids), window(types), first, first + end - start - 1)
            spots = window(places)
            found.append((score, spots[i][0], spots[j][1]))
            if end == last + 1:
                break
            start += step
        score, begin, stop = max(found, key=lambda item: item[0])
        expected.append({"question": question, "context": context, "answer": context[begin:stop], "start": begin,
                         "end": stop, "probability": round(score, 6), "windows": len(found)})
    write_json(folder, "expected.json", expected)


if __name__ == "__main__":
    import sys
    wanted = sys.argv[1:]
    for part in (classes, numbers, answers):
        if not wanted or part.__name__ in wanted:
            part()

#!/usr/bin/env python3
"""Greedy continuations by transformers, for what a client must get from the served model: the tiny Llama, the same with an
adapter, and a GGUF file.

    pip install torch==2.13.0 transformers==5.23.0 gguf==0.19.0 numpy==2.4.6
    python3 scripts/golden/make_served.py

For each prompt: the 64 token ids and their natural log probabilities. Prompts are drawn until the best token leads by at
least 1e-3 at every step, so that rounding cannot decide.
"""

import json
import pathlib
import sys

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "Tests/Clients/golden/served.json"
TINY = ROOT / "Tests/Golden/tiny-llama"
GGUF = ROOT / "Tests/MartletModelsTests/Golden/gguf"
LENGTHS = [1, 17, 120]
COUNT = 64

sys.path.insert(0, str(ROOT / "Tests/Clients"))
from adapters import adapter_tensors  # noqa: E402


def tiny():
    return transformers.AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32).eval()


def adapted(rank=4, alpha=8):
    """The tiny model with the adapter of Tests/Clients/adapters.py added to its weights."""
    model = tiny()
    state = model.state_dict()
    parts = adapter_tensors()
    for name, value in parts.items():
        if name.endswith("lora_A.weight"):
            base = name.removeprefix("base_model.model.").replace(".lora_A", "")
            up = torch.from_numpy(parts[name.replace("lora_A", "lora_B")].copy())
            state[base] += alpha / rank * up @ torch.from_numpy(value.copy())
    return model


def gguf():
    """Its blocks as float16, as an import keeps them."""
    model = transformers.AutoModelForCausalLM.from_pretrained(GGUF, gguf_file="llama.gguf", dtype=torch.float32)
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    return model.eval()


def continued(model, prompt):
    """Ids, log probabilities and the least lead of the best token; each step over the whole sequence, without a cache."""
    ids, logprobs, lead = list(prompt), [], float("inf")
    with torch.no_grad():
        for _ in range(COUNT):
            row = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1)
            top = row.topk(2)
            lead = min(lead, float(top.values[0] - top.values[1]))
            ids.append(int(top.indices[0]))
            logprobs.append(round(float(top.values[0]), 6))
    return ids[len(prompt):], logprobs, lead


def cases(model, source):
    for length in LENGTHS:
        while True:
            prompt = torch.randint(0, 256, (length,), generator=source).tolist()
            tokens, logprobs, lead = continued(model, prompt)
            if lead >= 1e-3:
                yield {"prompt": prompt, "tokens": tokens, "logprobs": logprobs}
                break


if __name__ == "__main__":
    torch.set_num_threads(1)
    made = {}
    for name, make in [("tiny", tiny), ("adapted", adapted), ("gguf", gguf)]:
        made[name] = list(cases(make(), torch.Generator().manual_seed(5)))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(made) + "\n")

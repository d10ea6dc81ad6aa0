"""Decoding with transformers: usage: transformers_decode.py FOLDER --sequences N [--prompt 128] [--new 128]

Prints tokens a second of the prompts and of the answers, the first token apart from the rest, as JSON.
"""
import argparse
import json
import time

import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--sequences", type=int, default=1)
parser.add_argument("--prompt", type=int, default=128)
parser.add_argument("--new", type=int, default=128)
options = parser.parse_args()
torch.set_num_threads(2)
model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32).eval()
prompts = torch.randint(300, 31000, (options.sequences, options.prompt), generator=torch.Generator().manual_seed(1))


def seconds(new):
    begin = time.perf_counter()
    with torch.inference_mode():
        answer = model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=new,
                                min_new_tokens=new, do_sample=False, pad_token_id=0)
    assert answer.shape[1] == options.prompt + new
    return time.perf_counter() - begin


seconds(4)
first, whole = seconds(1), seconds(options.new)
print(json.dumps({"prompt_tokens_per_second": options.sequences * options.prompt / first,
                  "decode_tokens_per_second": options.sequences * (options.new - 1) / (whole - first)}))

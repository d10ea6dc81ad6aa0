#!/usr/bin/env python3
"""Loss curves and gradients of fine-tuning from PEFT, transformers and trl, for Tests/MartletTrainingTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==2.13.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6 \\
        peft==0.21.2 trl==1.16.0
    /tmp/golden/bin/python scripts/golden/make_tuning.py

The base is Tests/Golden/tiny-llama. `chat.jsonl` and `pairs.jsonl` are the data in OpenAI's form; `start` is an adapter as
PEFT draws it, `other` one whose B is not zero. Running it twice gives the same files.
"""
import json
import math
import pathlib
import random

import peft
import torch
import transformers
import trl
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "Tests" / "Golden" / "tiny-llama"
OUT = ROOT / "Tests" / "MartletTrainingTests" / "Golden" / "tuning"
STEPS, BATCH, WARMUP = 50, 4, 5
RATES = {"lora": 1e-2, "full": 1e-3}
BETA = 0.3
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)

WORDS = "the swift flies over old towers and sleeps on the wind while rain falls in thin lines on roofs".split()


def data():
    source = random.Random(3)

    def words(low, high):
        return " ".join(source.choice(WORDS) for _ in range(source.randint(low, high)))

    chats = []
    for index in range(30):
        messages = [{"role": "system", "content": words(1, 3)}] if index % 3 == 0 else []
        for turn in range(1 + index % 3):
            messages.append({"role": "user", "content": words(1, 8)})
            answer = {"role": "assistant", "content": words(1, 9)}
            if turn == 0 and index % 5 == 4 and index % 3 > 0:
                answer["weight"] = 0
            messages.append(answer)
        chats.append({"messages": messages})
    pairs = []
    for index in range(6):
        pairs.append({
            "input": {"messages": [{"role": "user", "content": words(1, 6)}]},
            "preferred_output": [{"role": "assistant", "content": words(1, 6)}],
            "non_preferred_output": [{"role": "assistant", "content": words(1, 6)}],
        })
    return chats, pairs


def encode(tokenizer, messages, learnt):
    """Tokens, and which of them the loss is on: what the assistant says up to the token that ends it."""
    def render(part, prompts):
        return tokenizer.apply_chat_template(part, tokenize=False, add_generation_prompt=prompts)

    plain = [{"role": m["role"], "content": m["content"]} for m in messages]
    tokens = tokenizer(render(plain, False), add_special_tokens=False).input_ids
    mask = [False] * len(tokens)
    for place in learnt:
        start = len(tokenizer(render(plain[:place], True), add_special_tokens=False).input_ids)
        end = tokens.index(tokenizer.eos_token_id, start) + 1
        mask[start:end] = [True] * (end - start)
    return tokens, mask


def batch(examples):
    width = max(len(tokens) for tokens, _ in examples)
    inputs = torch.zeros(len(examples), width, dtype=torch.long)
    attention, labels = torch.zeros_like(inputs), torch.full_like(inputs, -100)
    for row, (tokens, mask) in enumerate(examples):
        inputs[row, :len(tokens)] = torch.tensor(tokens)
        attention[row, :len(tokens)] = 1
        labels[row, :len(tokens)] = torch.tensor([t if m else -100 for t, m in zip(tokens, mask)])
    return inputs, attention, labels


def base():
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)


def factor(step):
    if step < WARMUP:
        return (step + 1) / (WARMUP + 1)
    return (1 + math.cos(math.pi * min(1, (step - WARMUP) / (STEPS - WARMUP)))) / 2


def train(model, examples, rate):
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses, accuracies = [], []
    per_epoch = (len(examples) + BATCH - 1) // BATCH
    for step in range(STEPS):
        first = step % per_epoch * BATCH
        inputs, attention, labels = batch(examples[first:first + BATCH])
        output = model(input_ids=inputs, attention_mask=attention, labels=labels)
        optimizer.zero_grad()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(output.loss.item())
        found, wanted = output.logits[:, :-1].argmax(-1), labels[:, 1:]
        accuracies.append((found == wanted)[wanted != -100].float().mean().item())
    return losses, accuracies


def chances(model, examples):
    inputs, attention, labels = batch(examples)
    logits = model(input_ids=inputs, attention_mask=attention).logits[:, :-1].log_softmax(-1)
    wanted = labels[:, 1:]
    picked = logits.gather(-1, wanted.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return torch.where(wanted == -100, 0.0, picked).sum(-1)


def trl_loss(policy, pairs):
    """The same pairs through trl's own trainer."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(BASE)
    tokenizer.pad_token = tokenizer.eos_token
    rows = [{"prompt": p["input"]["messages"], "chosen": p["preferred_output"], "rejected": p["non_preferred_output"]}
            for p in pairs]
    config = DPOConfig(
        output_dir="/tmp/trl-dpo", beta=BETA, loss_type=["sigmoid"], per_device_train_batch_size=len(pairs),
        report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, max_length=None, disable_dropout=True)
    trainer = DPOTrainer(
        model=policy, ref_model=base(), args=config, train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer)
    inputs = next(iter(trainer.get_train_dataloader()))
    return trainer.compute_loss(trainer.model, inputs).item(), inputs


def dpo(policy, answers):
    """The loss of pairs (preferred, other, preferred, …), with its margins and the reference's log probabilities."""
    with torch.no_grad():
        reference = chances(base(), answers).view(-1, 2)
    found = chances(policy, answers).view(-1, 2)
    margins = BETA * ((found[:, 0] - reference[:, 0]) - (found[:, 1] - reference[:, 1]))
    return -torch.nn.functional.logsigmoid(margins).mean(), margins, reference


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    chats, pairs = data()
    for name, lines in (("chat.jsonl", chats), ("pairs.jsonl", pairs)):
        (OUT / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    examples = []
    for chat in chats:
        messages = chat["messages"]
        learnt = [i for i, m in enumerate(messages) if m["role"] == "assistant" and m.get("weight", 1) == 1]
        examples.append(encode(tokenizer, messages, learnt))
    golden = {
        "versions": {"torch": str(torch.__version__), "transformers": transformers.__version__,
                     "peft": peft.__version__, "trl": trl.__version__},
        "tokens": [tokens for tokens, _ in examples],
        "learnt": ["".join("1" if m else "0" for m in mask) for _, mask in examples],
        "steps": STEPS, "batch": BATCH, "warmup": WARMUP, "rates": RATES,
    }
    config = LoraConfig(
        r=8, lora_alpha=16, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
    torch.manual_seed(11)
    adapted = get_peft_model(base(), config)
    adapted.peft_config["default"].base_model_name_or_path = "tiny-llama"
    adapted.save_pretrained(OUT / "start")
    golden["lora"] = dict(zip(("losses", "accuracies"), train(adapted, examples, RATES["lora"])))
    golden["full"] = dict(zip(("losses", "accuracies"), train(base(), examples, RATES["full"])))

    torch.manual_seed(12)
    policy = get_peft_model(base(), config)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.2)
    policy.peft_config["default"].base_model_name_or_path = "tiny-llama"
    policy.save_pretrained(OUT / "other")
    policy.eval()
    answers = []
    for pair in pairs:
        for side in ("preferred_output", "non_preferred_output"):
            messages = pair["input"]["messages"] + pair[side]
            answers.append(encode(tokenizer, messages, [len(messages) - 1]))
    loss, margins, reference = dpo(policy, answers)
    loss.backward()
    gradients = {name.replace("base_model.model.", "").replace(".default", ""): p.grad
                 for name, p in policy.named_parameters() if p.requires_grad}
    kept = [name for name in gradients if "layers.0.self_attn.q_proj" in name or "layers.1.mlp.down_proj" in name]
    golden["dpo"] = {
        "beta": BETA, "loss": loss.item(), "reference": reference.flatten().tolist(), "margins": margins.tolist(),
        "norm": math.sqrt(sum((g.double() ** 2).sum().item() for g in gradients.values())),
        "gradients": {name: gradients[name].flatten().tolist() for name in sorted(kept)},
    }
    theirs, inputs = trl_loss(policy, pairs)
    # trl learns the line end after the answer too, so the formula is held to it on trl's own tokens.
    count = len(pairs)
    rows = [(ids[keep].tolist(), mask[keep].bool().tolist()) for ids, mask, keep in zip(
        inputs["input_ids"], inputs["completion_mask"], inputs["attention_mask"].bool())]
    order = [row for pair in zip(rows[:count], rows[count:]) for row in pair]
    ours = dpo(policy, order)[0].item()
    assert abs(ours - theirs) < 1e-6, (ours, theirs)
    golden["dpo"]["trl"] = {
        "loss": theirs, "tokens": [tokens for tokens, _ in order],
        "learnt": ["".join("1" if m else "0" for m in mask) for _, mask in order],
    }
    print("dpo", loss.item(), "on trl's tokens", ours, "trl", theirs)
    for folder in ("start", "other"):
        (OUT / folder / "README.md").unlink(missing_ok=True)
    (OUT / "tuning.json").write_text(json.dumps(golden) + "\n", encoding="utf-8")
    print("lora", golden["lora"]["losses"][0], golden["lora"]["losses"][-1])
    print("full", golden["full"]["losses"][0], golden["full"]["losses"][-1])


if __name__ == "__main__":
    main()

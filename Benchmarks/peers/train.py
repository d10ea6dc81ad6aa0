#!/usr/bin/env python3
"""Trains one net in PyTorch and prints {"steps_per_second": …}.

usage: train.py CASE --steps N [--threads 2] [--mode eager|foreach|fused|compile]
eager takes PyTorch's default, foreach and fused ask for that form of the optimizer, compile for torch.compile with the
fused one.
"""
import argparse
import json
import time

import torch
from torch.nn import functional

import nets


def optimizer(case, parameters, mode):
    form = {"eager": {}, "foreach": {"foreach": True}}.get(mode, {"fused": True})
    if case == "gpt":
        decayed = [p for p in parameters if p.dim() >= 2]
        others = [p for p in parameters if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=0.001, betas=(0.9, 0.99), **form)
    if case == "mlp":
        return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, **form)
    return torch.optim.Adam(parameters, lr=0.001, **form)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=["mlp", "classes", "cnn", "lstm", "gpt"])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", choices=["eager", "foreach", "fused", "compile"], default="eager")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)

    net = {"mlp": nets.mlp, "classes": nets.classes, "cnn": nets.cnn, "lstm": nets.LSTM, "gpt": nets.GPT}[arguments.case]().train()
    inputs, targets = nets.batches(arguments.case)
    parameters = list(net.parameters())
    update = optimizer(arguments.case, parameters, arguments.mode)
    if arguments.mode == "compile":
        net = torch.compile(net)
    loss_of = functional.mse_loss if arguments.case == "mlp" else functional.cross_entropy

    def step(number):
        index = number % len(inputs)
        loss = loss_of(net(inputs[index]), targets[index])
        update.zero_grad(set_to_none=True)
        loss.backward()
        if arguments.case == "gpt":
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        update.step()
        return loss

    for number in range(max(3, arguments.steps // 5)):
        step(number)
    begun = time.perf_counter()
    for number in range(arguments.steps):
        loss = step(number)
    seconds = time.perf_counter() - begun
    print(json.dumps({"steps_per_second": arguments.steps / seconds, "loss": loss.item()}))


main()

#!/usr/bin/env python3
"""Trains one net in PyTorch and prints {"steps_per_second": …}.

usage: train.py CASE --steps N [--threads 2] [--mode eager|foreach|fused]
eager takes PyTorch's default, foreach and fused ask for that form of the optimizer.
"""
import argparse
import json
import time

import torch
from torch.nn import functional

import nets


def optimizer(case, parameters, mode):
    form = {} if mode == "eager" else {mode: True}
    if case == "mlp":
        return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, **form)
    return torch.optim.Adam(parameters, lr=0.001, **form)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=["mlp", "classes", "cnn", "lstm"])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", choices=["eager", "foreach", "fused"], default="eager")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)

    net = {"mlp": nets.mlp, "classes": nets.classes, "cnn": nets.cnn, "lstm": nets.LSTM}[arguments.case]().train()
    inputs, targets = nets.batches(arguments.case)
    update = optimizer(arguments.case, net.parameters(), arguments.mode)
    loss_of = functional.mse_loss if arguments.case == "mlp" else functional.cross_entropy

    def step(number):
        index = number % len(inputs)
        loss = loss_of(net(inputs[index]), targets[index])
        update.zero_grad(set_to_none=True)
        loss.backward()
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

#!/usr/bin/env python3
"""Golden values and gradients from PyTorch, for Tests/MartletNNTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==2.13.0 numpy==2.4.6 safetensors==0.8.0
    /tmp/golden/bin/python scripts/golden/make_golden.py

Everything is computed in float64 from inputs and parameters that float32 holds exactly, so that one file serves the
float64 tests (1e-9) and the float32 tests (1e-5). Running it twice gives the same files.
"""
import json
import math
import pathlib

import numpy
import safetensors
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "MartletNNTests" / "Golden"
VERSIONS = {"torch": str(torch.__version__), "numpy": numpy.__version__, "safetensors": safetensors.__version__}
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
torch.manual_seed(20260707)


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float32).double()


class Cases:
    def __init__(self, name):
        self.name, self.tensors = name, {}

    def put(self, key, tensor):
        tensor = tensor.detach()
        assert key not in self.tensors, key
        self.tensors[key] = tensor.clone().contiguous()

    def save(self):
        OUT.mkdir(parents=True, exist_ok=True)
        # One entry: several are written in an order that changes from run to run.
        save_file(self.tensors, OUT / f"{self.name}.safetensors", metadata={"versions": json.dumps(VERSIONS)})

    def layer(self, case, module, *inputs, call=None, after=()):
        """Output and gradients of sum(output * weight) for a module with random parameters."""
        module = module.double()
        with torch.no_grad():
            for name, p in module.named_parameters():
                scale = 0.3 if p.dim() > 1 else 0.2
                p.copy_((rand(*p.shape) * scale + (1 if "norm" in type(module).__name__.lower() and name == "weight" else 0)).float())
        for name, tensor in module.state_dict().items():
            self.put(f"{case}/state/{name}", tensor)
        inputs = [i.clone().requires_grad_(i.is_floating_point()) for i in inputs]
        for i, tensor in enumerate(inputs):
            self.put(f"{case}/input/{i}", tensor)
        output = (call or (lambda m, *a: m(*a)))(module, *inputs)
        weight = rand(*output.shape)
        (output * weight).sum().backward()
        self.put(f"{case}/weight", weight)
        self.put(f"{case}/output", output)
        for i, tensor in enumerate(inputs):
            if tensor.is_floating_point():
                self.put(f"{case}/input_grad/{i}", tensor.grad)
        for name, p in module.named_parameters():
            self.put(f"{case}/grad/{name}", p.grad)
        for name in after:
            self.put(f"{case}/after/{name}", module.state_dict()[name])


class Function(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, *a):
        return self.f(*a)


def layers():
    c = Cases("layers")
    c.layer("linear", nn.Linear(5, 4), rand(3, 2, 5))
    c.layer("linear_no_bias", nn.Linear(5, 4, bias=False), rand(3, 5))
    c.layer("conv1d", nn.Conv1d(3, 4, 3, stride=2, padding=1, dilation=2), rand(2, 3, 11))
    c.layer("conv2d", nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), rand(2, 4, 7, 6))
    c.layer("conv2d_plain", nn.Conv2d(1, 3, 3, bias=False), rand(2, 1, 6, 6))
    c.layer("max_pool2d", nn.MaxPool2d(3, stride=2, padding=1), rand(2, 3, 7, 8))
    moments = ["running_mean", "running_var", "num_batches_tracked"]
    c.layer("batch_norm1d", nn.BatchNorm1d(4), rand(6, 4), after=moments)
    c.layer("batch_norm2d", nn.BatchNorm2d(3), rand(4, 3, 5, 5), after=moments)
    running = nn.BatchNorm2d(3).double()
    running.running_mean.copy_((rand(3)).float())
    running.running_var.copy_((rand(3).abs() + 0.5).float())
    c.layer("batch_norm_inference", running.eval(), rand(4, 3, 2, 2), after=moments)
    c.layer("layer_norm", nn.LayerNorm(6), rand(3, 2, 6))
    c.layer("layer_norm_no_bias", nn.LayerNorm(6, bias=False), rand(3, 6))
    c.layer("group_norm", nn.GroupNorm(2, 6), rand(3, 6, 4))
    c.layer("rms_norm", nn.RMSNorm(6, eps=1e-6), rand(3, 2, 6))
    c.layer("embedding", nn.Embedding(7, 4, padding_idx=2), torch.tensor([[0, 2, 6], [2, 0, 0]]))
    for name, f in {
        "relu": F.relu, "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "sigmoid": torch.sigmoid,
        "tanh": torch.tanh, "silu": F.silu, "elu": F.elu, "leaky_relu": F.leaky_relu, "softplus": F.softplus,
        "softmax": lambda x: F.softmax(x, -1), "none": lambda x: x * 1,
    }.items():
        c.layer(f"activation_{name}", Function(f), rand(4, 5) * 2)
    c.layer("sequential", nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), rand(5, 4))
    c.save()


def recurrent():
    c = Cases("recurrent")
    x = rand(3, 5, 4)
    first = lambda m, *a: m(*a)[0]
    c.layer("rnn_tanh", nn.RNN(4, 3, batch_first=True), x, call=first)
    c.layer("rnn_relu", nn.RNN(4, 3, nonlinearity="relu", batch_first=True), x, call=first)
    for name, kind in {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}.items():
        c.layer(f"{name}_stacked", kind(4, 3, 2, bidirectional=True, batch_first=True), x, call=first)

    def with_state(m, x, h, *memory):
        output, state = m(x, (h, *memory) if memory else h)
        return torch.cat([output.flatten()] + [s.flatten() for s in (state if memory else [state])])

    def packed(m, x):
        p = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([2, 5, 3]), batch_first=True, enforce_sorted=False)
        output, state = m(p)
        output = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)[0]
        return torch.cat([output.flatten(), (state[0] if isinstance(state, tuple) else state).flatten()])

    c.layer("lstm_state", nn.LSTM(4, 3, 2, batch_first=True), x, rand(2, 3, 3), rand(2, 3, 3), call=with_state)
    c.layer("gru_state", nn.GRU(4, 3, batch_first=True), x, rand(1, 3, 3), call=with_state)
    c.layer("lstm_lengths", nn.LSTM(4, 3, bidirectional=True, batch_first=True), x, call=packed)
    c.layer("gru_lengths", nn.GRU(4, 3, 2, batch_first=True), x, call=packed)
    c.layer("rnn_lengths", nn.RNN(4, 3, batch_first=True), x, call=packed)
    c.save()


def attention():
    c = Cases("attention")
    q, k, v = rand(2, 2, 4, 3), rand(2, 2, 5, 3), rand(2, 2, 5, 3)
    sdpa = F.scaled_dot_product_attention
    seen = torch.tensor([[True, True, False, False, True], [True, True, True, True, False]]).reshape(2, 1, 1, 5)
    c.layer("sdpa", Function(lambda q, k, v: sdpa(q, k, v)), q, k, v)
    c.layer("sdpa_scale", Function(lambda q, k, v: sdpa(q, k, v, scale=0.3)), q, k, v)
    c.layer("sdpa_causal", Function(lambda q, k, v: sdpa(q, k, v, is_causal=True)), q, k, v)
    c.layer("sdpa_mask", Function(lambda q, k, v: sdpa(q, k, v, attn_mask=seen)), q, k, v)
    both = seen & torch.ones(4, 5, dtype=torch.bool).tril()
    c.layer("sdpa_causal_mask", Function(lambda q, k, v: sdpa(q, k, v, attn_mask=both)), q, k, v)

    x, memory = rand(2, 4, 6), rand(2, 5, 6)
    own = torch.tensor([[True, True, True, False], [True, True, True, True]])
    theirs = torch.tensor([[True, True, False, False, True], [True, True, True, True, False]])
    causal = torch.ones(4, 4, dtype=torch.bool).triu(1)
    heads = lambda: nn.MultiheadAttention(6, 2, batch_first=True)
    c.layer("multihead", heads(), x, call=lambda m, x: m(x, x, x, need_weights=False)[0])
    c.layer("multihead_no_bias", nn.MultiheadAttention(6, 3, bias=False, batch_first=True), x,
            call=lambda m, x: m(x, x, x, need_weights=False)[0])
    c.layer("multihead_causal", heads(), x, call=lambda m, x: m(x, x, x, attn_mask=causal, need_weights=False)[0])
    c.layer("multihead_keys", heads(), x, call=lambda m, x: m(x, x, x, key_padding_mask=~own, need_weights=False)[0])
    c.layer("multihead_cross", heads(), x, memory,
            call=lambda m, x, y: m(x, y, y, key_padding_mask=~theirs, need_weights=False)[0])
    for norm_first in (False, True):
        for activation in ("relu", "gelu"):
            name = f"{'pre' if norm_first else 'post'}_{activation}"
            common = dict(dim_feedforward=8, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first)
            c.layer(f"encoder_{name}", nn.TransformerEncoderLayer(6, 2, **common), x)
            c.layer(f"decoder_{name}", nn.TransformerDecoderLayer(6, 2, **common), x, memory,
                    call=lambda m, x, y: m(x, y, tgt_mask=causal, tgt_is_causal=True))
    masked = nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True)
    c.layer("encoder_keys", masked, x, call=lambda m, x: m(x, src_key_padding_mask=~own))
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True, norm_first=True), 2,
                                  norm=nn.LayerNorm(6), enable_nested_tensor=False)
    c.layer("encoder_stack", stack, x)

    position, frequency = torch.arange(4, dtype=torch.float64)[:, None], torch.arange(0, 6, 2, dtype=torch.float64)
    angles = position * torch.exp(-frequency / 6 * math.log(10000.0))
    table = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
    c.layer("sinusoidal", Function(lambda x: x + table), x)
    learned = nn.Embedding(9, 6)
    c.layer("learned", learned, x, call=lambda m, x: x + m(torch.arange(4)))
    c.save()


def losses():
    c = Cases("losses")

    def loss(case, f, prediction, target):
        prediction = prediction.clone().requires_grad_(True)
        value = f(prediction, target)
        value.sum().backward()
        for key, tensor in {"prediction": prediction, "target": target, "value": value, "grad": prediction.grad}.items():
            c.put(f"{case}/{key}", tensor)

    p, t = rand(4, 3) * 2, rand(4, 3)
    for reduction in ("mean", "sum", "none"):
        loss(f"mse_{reduction}", lambda a, b: F.mse_loss(a, b, reduction=reduction), p, t)
        loss(f"mae_{reduction}", lambda a, b: F.l1_loss(a, b, reduction=reduction), p, t)
        loss(f"huber_{reduction}", lambda a, b: F.huber_loss(a, b, reduction=reduction, delta=0.7), p, t)
    logits, labels, weights = rand(5, 4), torch.tensor([0, 3, 1, 1, 2]), torch.tensor([0.5, 1.0, 2.0, 0.25]).double()
    c.put("class_weights", weights)
    loss("ce", F.cross_entropy, logits, labels)
    loss("ce_sum", lambda a, b: F.cross_entropy(a, b, reduction="sum"), logits, labels)
    loss("ce_weights", lambda a, b: F.cross_entropy(a, b, weight=weights), logits, labels)
    loss("ce_smoothing", lambda a, b: F.cross_entropy(a, b, label_smoothing=0.1), logits, labels)
    loss("ce_both", lambda a, b: F.cross_entropy(a, b, weight=weights, label_smoothing=0.2), logits, labels)
    loss("ce_ignoring", lambda a, b: F.cross_entropy(a, b, ignore_index=1), logits, labels)
    loss("ce_places", F.cross_entropy, rand(2, 4, 3), torch.tensor([[0, 3, 1], [2, 2, 0]]))
    bits, positive = torch.tensor([[1, 0, 1], [0, 0, 1]]).double(), torch.tensor([2.0, 0.5, 3.0]).double()
    c.put("positive_weights", positive)
    loss("bce", F.binary_cross_entropy_with_logits, rand(2, 3) * 3, bits)
    loss("bce_weights", lambda a, b: F.binary_cross_entropy_with_logits(a, b, pos_weight=positive), rand(2, 3), bits)
    c.save()


def optimizers():
    """100 steps on a problem whose gradient is a·w - b + sin(step)·d, so that the tests need no model."""
    c = Cases("optimizers")
    shapes = [(3, 4), (5,)]
    start, a, b, d = ([rand(*s) for s in shapes] for _ in range(4))
    a = [x.abs() * 0.5 + 0.5 for x in a]
    a = [x.float().double() for x in a]
    for i in range(2):
        for name, list_ in {"start": start, "a": a, "b": b, "d": d}.items():
            c.put(f"problem/{name}/{i}", list_[i])

    def run(case, make):
        w = [x.clone().requires_grad_(True) for x in start]
        optimizer = make(w)
        for step in range(100):
            for i in range(2):
                w[i].grad = (a[i] * w[i] - b[i] + math.sin(step) * d[i]).detach()
            optimizer.step()
            if step + 1 in (1, 2, 10, 100):
                for i in range(2):
                    c.put(f"{case}/{step + 1}/{i}", w[i])

    class Averaged(torch.optim.Optimizer):
        """v = βv + (1-β)g from v = 0; PyTorch's own dampening starts from v = g."""

        def __init__(self, params, lr, beta):
            super().__init__(params, dict(lr=lr, beta=beta))

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    v = self.state[p].setdefault("v", torch.zeros_like(p))
                    v.mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                    p.sub_(v, alpha=group["lr"])

    o = torch.optim
    run("gd", lambda w: o.SGD(w, lr=0.05))
    run("sgd", lambda w: o.SGD(w, lr=0.05, weight_decay=0.1))
    run("momentum", lambda w: o.SGD(w, lr=0.02, momentum=0.9, weight_decay=0.01))
    run("averaged", lambda w: Averaged(w, 0.05, 0.8))
    run("nesterov", lambda w: o.SGD(w, lr=0.02, momentum=0.9, nesterov=True))
    run("adagrad", lambda w: o.Adagrad(w, lr=0.1, weight_decay=0.01))
    run("rmsprop", lambda w: o.RMSprop(w, lr=0.01, weight_decay=0.01))
    run("rmsprop_momentum", lambda w: o.RMSprop(w, lr=0.005, alpha=0.9, momentum=0.8, eps=1e-6))
    run("adam", lambda w: o.Adam(w, lr=0.02))
    run("adam_decay", lambda w: o.Adam(w, lr=0.02, betas=(0.8, 0.95), eps=1e-5, weight_decay=0.1))
    run("adamw", lambda w: o.AdamW(w, lr=0.02))
    run("adamw_decay", lambda w: o.AdamW(w, lr=0.02, weight_decay=0.2))
    groups = lambda w: [dict(params=w[:1], weight_decay=0.2), dict(params=w[1:], weight_decay=0.0)]
    run("adamw_groups", lambda w: o.AdamW(groups(w), lr=0.02))

    for i, factor in enumerate([0.5, 100.0]):
        w = [x.clone().requires_grad_(True) for x in start]
        for p, g in zip(w, b):
            p.grad = g.clone()
        c.put(f"clip/{i}/max", torch.tensor(factor).double())
        c.put(f"clip/{i}/norm", nn.utils.clip_grad_norm_(w, factor))
        for j in range(2):
            c.put(f"clip/{i}/grad/{j}", w[j].grad)
    w = start[0].clone().requires_grad_(True)
    penalty = 0.03 * w.abs().sum() + 0.2 / 2 * w.square().sum()
    penalty.backward()
    c.put("penalty/value", penalty)
    c.put("penalty/grad", w.grad)

    s = o.lr_scheduler

    def factors(case, total, make, warmup=0):
        optimizer = o.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        main = make(optimizer)
        if warmup:
            rise = s.LinearLR(optimizer, 1 / (warmup + 1), 1.0, warmup)
            main = s.SequentialLR(optimizer, [rise, main], [warmup])
        found = []
        for _ in range(total):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            main.step()
        c.put(f"schedule/{case}", torch.tensor(found, dtype=torch.float64))

    factors("constant", 20, lambda p: s.ConstantLR(p, 1.0, 1))
    factors("constant_warmup", 20, lambda p: s.ConstantLR(p, 1.0, 1), 5)
    factors("step", 30, lambda p: s.StepLR(p, 7, 0.5))
    factors("cosine", 30, lambda p: s.CosineAnnealingLR(p, 30, 0.1))
    factors("cosine_warmup", 30, lambda p: s.CosineAnnealingLR(p, 24, 0.0), 6)
    factors("linear", 30, lambda p: s.LinearLR(p, 1.0, 0.2, 30))
    factors("linear_warmup", 30, lambda p: s.LinearLR(p, 1.0, 0.0, 26), 4)
    c.save()


for make in (layers, recurrent, attention, losses, optimizers):
    make()
print(json.dumps({f.name: f.stat().st_size for f in sorted(OUT.glob("*.safetensors"))}))

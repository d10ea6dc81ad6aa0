"""The nets that are measured, as a PyTorch user writes them."""
import torch
from torch import nn


class LSTM(nn.Module):
    def __init__(self, symbols=96, embedding=64, hidden=256, layers=2):
        super().__init__()
        self.embed = nn.Embedding(symbols, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, symbols)

    def forward(self, tokens_BT):
        states_BTH, _ = self.lstm(self.embed(tokens_BT))
        return self.head(states_BTH).flatten(0, 1)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.attention, self.output = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.rise, self.fall = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x_BTD):
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.attention(self.norm_1(x_BTD)).chunk(3, 2))
        y_BHTK = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.output(y_BHTK.transpose(1, 2).flatten(2))
        return x_BTD + self.fall(nn.functional.gelu(self.rise(self.norm_2(x_BTD))))


class GPT(nn.Module):
    """After nanoGPT: learned positions, no biases, embeddings shared with the output."""

    def __init__(self, symbols=65, context=64, layers=4, heads=4, width=128):
        super().__init__()
        self.tokens, self.places = nn.Embedding(symbols, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        self.head = nn.Linear(width, symbols, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens_BT):
        x_BTD = self.tokens(tokens_BT) + self.places(torch.arange(tokens_BT.shape[1]))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.head(self.norm(x_BTD)).flatten(0, 1)


def mlp():
    return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 1))


def classes():
    return nn.Sequential(nn.Linear(1000, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))


def batches(case, count=32):
    """(inputs, targets) of `count` batches, in memory as the peer's best case."""
    if case == "mlp":
        x = torch.randn(count, 32, 10)
        return x, torch.sin(x.sum(-1, keepdim=True))
    if case == "classes":
        return torch.randn(count, 32, 1000), torch.randint(0, 10, (count, 32))
    if case == "cnn":
        return torch.rand(count, 64, 1, 28, 28), torch.randint(0, 10, (count, 64))
    symbols, rows, length = (65, 12, 64) if case == "gpt" else (96, 32, 128)
    tokens = torch.randint(0, symbols, (count, rows, length + 1))
    return tokens[..., :-1].contiguous(), tokens[..., 1:].reshape(count, -1)

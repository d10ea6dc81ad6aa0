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
    tokens = torch.randint(0, 96, (count, 32, 129))
    return tokens[..., :-1].contiguous(), tokens[..., 1:].reshape(count, -1)

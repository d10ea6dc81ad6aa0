#!/usr/bin/env python3
"""The tables of examples/data, and what PyTorch and scikit-learn make of them, for Tests/MartletTrainingTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==2.13.0 numpy==2.4.6 scikit-learn==1.8.0
    /tmp/golden/bin/python scripts/golden/make_programs.py

Running it twice gives the same files. First weights come from a formula (`first_weights`) that the tests compute too,
and of large tensors only every n-th weight is kept, so that the golden file stays small.
"""
import csv
import json
import math
import pathlib

import numpy
import sklearn
import torch
from sklearn import datasets, metrics
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
GOLDEN = ROOT / "Tests" / "MartletTrainingTests" / "Golden"
VERSIONS = {"torch": str(torch.__version__), "numpy": numpy.__version__, "scikit-learn": sklearn.__version__}
STEPS = 100
BATCH = 32
KEPT_WEIGHTS = 1500
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)


def write_table(name, header, rows):
    DATA.mkdir(parents=True, exist_ok=True)
    with open(DATA / name, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(header)
        out.writerows(rows)


def read_table(name):
    with open(DATA / name, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], rows[1:]


def columns(count):
    return [f"x{i}" for i in range(count)]


# Tables


def regression_table(name, seed, squash):
    random = numpy.random.default_rng(seed)
    x = random.normal(size=(256, 10)).round(3)
    y = x @ random.normal(size=10) * 0.4 + 0.1 * random.normal(size=256) + 0.3
    if squash:
        y = 1 / (1 + numpy.exp(-(y + 0.5 * numpy.sin(3 * x[:, 0]))))
    write_table(name, columns(10) + ["y"], [[f"{v:g}" for v in row] + [f"{t:.4f}"] for row, t in zip(x, y)])


def classes_table(name, seed, rows, width, classes):
    """Rows around one pattern a class, in small whole numbers."""
    random = numpy.random.default_rng(seed)
    patterns = random.normal(size=(classes, width))
    labels = random.integers(classes, size=rows)
    labels[:classes] = range(classes)
    x = (0.7 * patterns[labels] + 0.9 * random.normal(size=(rows, width))).round().clip(-4, 4).astype(int)
    write_table(name, columns(width) + ["label"], [[*row, f"class {t}"] for row, t in zip(x.tolist(), labels.tolist())])


def missing_table(name, seed):
    random = numpy.random.default_rng(seed)
    size, age, distance = random.normal(90, 30, 400).clip(20), random.integers(0, 80, 400), random.uniform(0, 25, 400)
    price = 40 + 3.1 * size - 0.9 * age - 4.5 * distance + random.normal(0, 12, 400)
    rows = [[f"{s:.1f}", int(a), f"{d:.2f}", f"{p:.1f}"] for s, a, d, p in zip(size, age, distance, price)]
    for row in rows:
        for place in range(4):
            if random.random() < 0.03:
                row[place] = random.choice(["", "NA"])
    write_table(name, ["size", "age", "distance", "price"], rows)


# Cells of the irises that are left empty, as (row, column) from 0, so that there is something to fill in.
IRIS_BLANKS = [(4, 0), (17, 2), (33, 1), (58, 3), (71, 0), (86, 1), (99, 2), (120, 3), (134, 0), (147, 1)]


def iris_table(name):
    iris = datasets.load_iris()
    rows = [
        [f"{v:.1f}" for v in row] + [str(iris.target_names[t])] for row, t in zip(iris.data, iris.target)
    ]
    for row, column in IRIS_BLANKS:
        rows[row][column] = ""
    write_table(name, ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"], rows)


ENGLISH = {
    "things": ["The soup", "This phone", "The hotel room", "The new keyboard", "My order", "The train ride", "The film",
               "That little café", "The battery", "The concert"],
    "praise": ["was a real pleasure", "is even better than I hoped", "was excellent, thank you", "is worth every penny",
               "made my whole week", "was lovely from start to end", "could not have been nicer",
               "is the best I have had in years"],
    "blame": ["was a waste of money", "fell short in every way", "was late, poor and overpriced", "left us tired and annoyed",
              "disappointed all of us", "was a mistake from the first minute", "could hardly have been worse",
              "is something I would never buy again"],
    "subjects": ["your shop", "the museum", "the help desk", "the swimming pool", "the library", "the ticket office",
                 "the repair service", "the post office"],
    "questions": ["When does {} open on Sunday?", "Where can I find {}?", "How do I get a refund from {}?",
                  "Does {} take cards?", "Is {} open tomorrow, and until when?"],
}
CHINESE = {
    "things": ["这家店的面条", "这部手机", "酒店的房间", "新买的键盘", "昨天的演出", "这次旅行", "这本书", "外卖", "这款耳机", "客服"],
    "praise": ["非常好,我很喜欢", "比想象的还要好", "让人特别满意", "物超所值,强烈推荐", "好得没话说", "处处贴心"],
    "blame": ["太差了,我很失望", "完全不值这个价", "又贵又差", "让人非常生气", "简直是浪费钱", "再也不会买了"],
    "subjects": ["图书馆", "博物馆", "售票处", "游泳池", "维修点", "邮局"],
    "questions": ["{}星期天几点开门?", "请问{}在哪里?", "{}可以刷卡吗?", "怎么联系{}?"],
}


def reviews_table(name, seed):
    """Our own sentences, put together from our own parts: praise, blame and questions in two languages."""
    random = numpy.random.default_rng(seed)
    rows = []
    for words, space, end in ((ENGLISH, " ", "."), (CHINESE, "", "。")):
        for label, parts in (("praise", words["praise"]), ("complaint", words["blame"])):
            rows += [(f"{thing}{space}{part}{end}", label) for thing in words["things"] for part in parts]
        rows += [(question.format(subject), "question") for subject in words["subjects"] for question in words["questions"]]
    order = random.permutation(len(rows))
    write_table(name, ["text", "kind"], [rows[i] for i in order])


def tables():
    regression_table("program-1-linear.csv", 11, squash=False)
    regression_table("program-2-relu.csv", 12, squash=True)
    classes_table("program-3-classes.csv", 13, rows=64, width=1000, classes=10)
    classes_table("program-4-bigmodel.csv", 14, rows=64, width=1024, classes=10)
    classes_table("program-5-64.csv", 15, rows=640, width=64, classes=10)
    missing_table("program-6-csv.csv", 16)
    iris_table("iris.csv")
    reviews_table("reviews.csv", 17)


# Training


def first_weights(place, shape):
    """The first weights of the parameter at `place`: fractions of a multiplicative hash, exact in float64, scaled to
    the usual ±1/sqrt(inputs) and then rounded to float32 once."""
    count = math.prod(shape)
    numbers = (numpy.arange(1, count + 1, dtype=numpy.uint64) * 2654435761 + 40503 * (place + 1)) % 4294967296
    bound = 1 / math.sqrt(shape[-1] if len(shape) > 1 else shape[0])
    values = (numbers.astype(numpy.float64) / 4294967296 * 2 - 1) * bound
    return torch.from_numpy(values.astype(numpy.float32)).reshape(shape)


PROGRAMS = {
    "program-1-linear": dict(
        layers=lambda: [nn.Linear(10, 20), nn.Linear(20, 30), nn.Linear(30, 1)],
        optimizer=lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
    "program-2-relu": dict(
        layers=lambda: [nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 1), nn.Sigmoid()],
        optimizer=lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
    "program-3-classes": dict(
        layers=lambda: [nn.Linear(1000, 128), nn.ReLU(), nn.Linear(128, 10)],
        optimizer=lambda p: torch.optim.Adam(p, lr=0.001)),
    "program-4-bigmodel": dict(
        layers=lambda: [nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10)],
        optimizer=lambda p: torch.optim.Adam(p, lr=0.001)),
    "program-5-64": dict(
        layers=lambda: [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)],
        optimizer=lambda p: torch.optim.SGD(p, lr=0.05)),
}


def train(name, program):
    header, rows = read_table(name + ".csv")
    x = torch.tensor([[float(v) for v in row[:-1]] for row in rows], dtype=torch.float64).float()
    if header[-1] == "label":
        labels = sorted({row[-1] for row in rows})
        y = torch.tensor([labels.index(row[-1]) for row in rows])
        loss_of = nn.CrossEntropyLoss()
    else:
        y = torch.tensor([float(row[-1]) for row in rows], dtype=torch.float64).float().unsqueeze(1)
        loss_of = nn.MSELoss()
    net = nn.Sequential(*program["layers"]())
    with torch.no_grad():
        for place, parameter in enumerate(net.parameters()):
            parameter.copy_(first_weights(place, tuple(parameter.shape)))
    optimizer = program["optimizer"](net.parameters())
    losses = []
    for step in range(STEPS):
        start = step * BATCH % len(rows)
        optimizer.zero_grad()
        loss = loss_of(net(x[start:start + BATCH]), y[start:start + BATCH])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    parameters = []
    for parameter in net.parameters():
        values = parameter.detach().flatten()
        stride = max(1, -(-values.numel() // KEPT_WEIGHTS))
        parameters.append({
            "shape": list(parameter.shape), "stride": stride,
            "norm": values.double().norm().item(), "values": [float(v) for v in values[::stride]]})
    return {"steps": STEPS, "losses": losses, "parameters": parameters}


# Metrics


def classification(name, truth, scores, classes):
    scores = scores.astype(numpy.float32)
    predicted = scores.argmax(axis=1)
    values = {"accuracy": metrics.accuracy_score(truth, predicted)}
    for average in ("macro", "micro", "weighted"):
        options = dict(average=average, zero_division=0)
        values[f"precision_{average}"] = metrics.precision_score(truth, predicted, **options)
        values[f"recall_{average}"] = metrics.recall_score(truth, predicted, **options)
        values[f"f1_{average}"] = metrics.f1_score(truth, predicted, **options)
    if len(set(truth.tolist())) == classes:
        if classes == 2:
            values["roc_auc"] = metrics.roc_auc_score(truth, scores[:, 1])
        else:
            # scikit-learn wants rows that add up to 1; the area depends on the order of each column alone.
            areas = [metrics.roc_auc_score(truth == c, scores[:, c]) for c in range(classes)]
            values["roc_auc"] = float(numpy.mean(areas))
    return {
        "name": name, "classes": classes, "truth": truth.tolist(), "scores": [float(v) for v in scores.flatten()],
        "confusion": metrics.confusion_matrix(truth, predicted, labels=range(classes)).tolist(),
        "values": {k: float(v) for k, v in values.items()}}


def regression(name, targets, predictions):
    values = {
        "mse": metrics.mean_squared_error(targets, predictions),
        "rmse": metrics.root_mean_squared_error(targets, predictions),
        "mae": metrics.mean_absolute_error(targets, predictions),
        "r2": metrics.r2_score(targets, predictions),
    }
    return {
        "name": name, "width": targets.shape[1] if targets.ndim > 1 else 1, "targets": targets.flatten().tolist(),
        "predictions": predictions.flatten().tolist(), "values": {k: float(v) for k, v in values.items()}}


def metric_cases():
    random = numpy.random.default_rng(21)

    def scores(rows, classes, digits=None):
        raw = random.random((rows, classes))
        values = raw / raw.sum(axis=1, keepdims=True)
        return values if digits is None else values.round(digits)

    never = scores(60, 4)
    never[:, 2] = 0
    tied = numpy.array([[0.4, 0.6], [0.5, 0.5], [0.6, 0.4], [0.5, 0.5], [0.9, 0.1], [0.5, 0.5], [0.4, 0.6], [0.2, 0.8]])
    target = random.normal(5, 3, 80)
    prediction = target + random.normal(0.2, 1, 80)
    points = random.normal(0, [1, 100, 0.01], (30, 3))
    guesses = points + random.normal(0, [0.5, 60, 0.001], (30, 3))
    return {
        "classification": [
            classification("binary", random.integers(2, size=80), scores(80, 2), 2),
            classification("binary with ties", numpy.array([1, 0, 0, 1, 0, 0, 0, 1]), tied, 2),
            classification("five classes", random.integers(5, size=120), scores(120, 5), 5),
            classification("five classes with ties", random.integers(5, size=120), scores(120, 5, digits=1), 5),
            classification("a class is never predicted", random.integers(4, size=60), never, 4),
            classification("a class does not occur", random.integers(3, size=40), scores(40, 4), 4),
        ],
        "regression": [regression("numbers", target, prediction), regression("vectors", points, guesses)],
    }


def save(name, value):
    GOLDEN.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"versions": VERSIONS, **value}, separators=(",", ":"))
    (GOLDEN / name).write_text(text + "\n", encoding="utf-8")


tables()
save("programs.json", {"programs": {name: train(name, program) for name, program in PROGRAMS.items()}})
save("metrics.json", metric_cases())
for path in sorted([*DATA.glob("*.csv"), *GOLDEN.glob("*.json")]):
    print(f"{path.stat().st_size:>8}  {path.relative_to(ROOT)}")

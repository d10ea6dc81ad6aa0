"""A real martlet on a home of its own, with a small model trained through its command line."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARTLET = os.environ.get("MARTLET", str(ROOT / ".build/release/martlet"))

RECIPE = """
name: flowers
data: {source: flowers.csv, split: {train: 0.7, validation: 0.15, test: 0.15, seed: 7, stratify: kind}}
inputs:
  length: {type: number}
  width: {type: number}
  colour: {type: category}
outputs:
  kind: {type: category}
combiner: {layers: [16]}
training: {epochs: 30, batch_size: 16, optimizer: {type: adam, learning_rate: 0.01}, seed: 1}
evaluation: {require: {accuracy: ">= 0.8"}}
deploy: {as: flowers}
"""


class Process:
    """One process of this machine."""

    def __init__(self, pid):
        self.pid = int(pid)

    def reads(self, name):
        try:
            return pathlib.Path(f"/proc/{self.pid}/{name}").read_bytes()
        except OSError:
            return b""

    @property
    def cpu_seconds(self):
        """What it has computed so far, on all processors."""
        fields = self.reads("stat").rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


class Martlet:
    """The command line on one home."""

    def __init__(self, home):
        self.home = home

    def run(self, *arguments, code=0, text=None):
        """With `code` None any end of it will do."""
        result = subprocess.run(
            [MARTLET, "--home", str(self.home), *arguments], capture_output=True, text=True, input=text, timeout=300)
        assert code in (None, result.returncode), f"{arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def json(self, *arguments, **options):
        return json.loads(self.run(*arguments, "--json", **options).stdout)

    def replicas(self):
        """The processes that hold models on this home."""
        control = f"MARTLET_CONTROL_SOCKET={self.home}/run/control.sock".encode()
        return [
            process for process in map(Process, filter(str.isdigit, os.listdir("/proc")))
            if process.reads("cmdline").endswith(b"\0replica\0") and control in process.reads("environ")
        ]

    def standing(self, seconds=120):
        """Waits until no model computes anything any more."""
        end, before = time.monotonic() + seconds, None
        while time.monotonic() < end:
            now = {process.pid: process.cpu_seconds for process in self.replicas()}
            if before is not None and all(seconds - before.get(pid, 0) < 0.02 for pid, seconds in now.items()):
                return
            before = now
            time.sleep(1)
        raise AssertionError("the models do not stop computing")

    def billed(self, key, of="completion_tokens"):
        """What the usage has of the key that `keys create --json` gave."""
        return sum(row[of] for row in self.json("usage")["data"] if key["id"] in row.values())

    @property
    def url(self):
        return json.loads((self.home / "martlet.lock").read_text())["url"]

    @property
    def key(self):
        return (self.home / "admin.key").read_text().strip()


def write_flowers(path):
    """Three kinds that two numbers and a colour tell apart, with some cells left out."""
    source = random.Random(7)
    lines = ["length,width,colour,kind"]
    for kind, (length, width), colours in [
        ("雨燕", (1.0, 0.2), ["blue", "white"]),
        ("rose", (4.0, 1.3), ["red", "white"]),
        ("tulip", (6.0, 2.2), ["red", "yellow"]),
    ]:
        for _ in range(80):
            cells = [f"{source.gauss(length, 0.3):.2f}", f"{source.gauss(width, 0.1):.2f}", source.choice(colours), kind]
            lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def martlet():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="martlet-clients-"))
    martlet = Martlet(folder / "home")
    write_flowers(folder / "flowers.csv")
    (folder / "flowers.yaml").write_text(RECIPE, encoding="utf-8")
    try:
        martlet.recipe = folder / "flowers.yaml"
        martlet.training = martlet.json("train", str(martlet.recipe))
        yield martlet
    finally:
        martlet.run("stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server(martlet):
    """With a tiny random language model."""
    martlet.json("models", "import", str(ROOT / "Tests/Golden/tiny-llama"), "--name", "tiny")
    return martlet

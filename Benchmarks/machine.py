"""Where things are, what the machine is, and how two sides are compared."""
import os
import platform
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.path.join(ROOT, ".deps/bench-venv/bin/python")
PEERS = os.path.join(ROOT, "Benchmarks/peers")
DATA = os.path.join(ROOT, ".deps/bench-data")
MARTLET = os.path.join(ROOT, ".build/release/martlet")
ENGINE = os.path.join(ROOT, ".build/release/martlet-engine")
# As `martlet serve` starts its workers and replicas.
ENGINE_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
IMAGES = "/usr/share/datasets/fashion-mnist"


def facts():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return {"cpu": f"{cpu}, {os.cpu_count()} cores", "memory": f"{memory / 2**20:.0f} GiB",
            "system": f"Linux {platform.release()}", "load before": f"{os.getloadavg()[0]:.2f}"}


def warn_if_busy():
    if os.getloadavg()[0] > 0.5:
        print("warning: other programs are running; close them, or read the range and not the ratio", file=sys.stderr)


def output_of(command, env=None, cwd=None):
    """The last line that a command prints; its errors where it fails."""
    return lines_of(command, env, cwd)[-1]


def lines_of(command, env=None, cwd=None):
    """What a command prints; its errors where it fails, or prints nothing."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=dict(os.environ, **(env or {})))
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}:\n{done.stderr.strip()[-2000:]}")
    return lines


def recipe(name):
    """The recipe with this machine's folders filled in; its path."""
    with open(os.path.join(ROOT, "Benchmarks/recipes", name + ".yaml"), encoding="utf-8") as file:
        text = file.read().replace("{data}", DATA).replace("{images}", IMAGES)
    path = os.path.join(DATA, name + ".yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def interleave(ours, theirs, pairs):
    """Calls both by turns, `pairs` times; each call gives a number. Returns both lists in the order of the pairs."""
    a, b = [], []
    for pair in range(pairs):
        for side, results in [(ours, a), (theirs, b)] if pair % 2 == 0 else [(theirs, b), (ours, a)]:
            results.append(side())
    return a, b


def compare(what, unit, ours, theirs, peer, asked):
    ratios = sorted(a / b for a, b in zip(ours, theirs))
    return {"what": what, "unit": unit, "ours": statistics.median(ours), "theirs": statistics.median(theirs),
            "peer": peer, "ratio": statistics.median(ratios), "range": (ratios[0], ratios[-1]), "asked": asked,
            "all_ours": ours, "all_theirs": theirs}

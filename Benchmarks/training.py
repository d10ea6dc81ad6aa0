"""Training steps a second: our recipes against PyTorch's best row."""
import json
import statistics

import machine

# The row that is best on a machine is found first, then measured by turns with ours.
ROWS = [("eager", 1), ("eager", 2), ("foreach", 1), ("foreach", 2), ("fused", 1), ("fused", 2)]
TWO_THREADS = [("eager", 2), ("fused", 2)]
COMPILED = [("eager", 2), ("fused", 1), ("fused", 2), ("compile", 2)]

# steps: about one to five seconds of work; asked: the ratio that the project promises.
CASES = {
    "mlp": {"what": "10-20-30-1, momentum", "steps": 4000, "rows": ROWS, "asked": 2.5},
    "classes": {"what": "1000-128-10, Adam", "steps": 2000, "rows": ROWS, "asked": 1.3},
    "cnn": {"what": "CNN, batch 64, Adam", "steps": 30, "rows": TWO_THREADS, "asked": 1.1},
    "lstm": {"what": "LSTM 2×256, batch 32", "steps": 10, "rows": TWO_THREADS, "asked": 0.95},
    "gpt": {"what": "nanoGPT for a CPU, batch 12×64", "steps": 60, "rows": COMPILED, "asked": 1.1},
}


def ours(case):
    command = [machine.ENGINE, "bench-train", machine.recipe(case), "--steps", str(CASES[case]["steps"])]
    return json.loads(machine.output_of(command, env=machine.ENGINE_ENVIRONMENT))["steps_per_second"]


def theirs(case, row):
    mode, threads = row
    command = [machine.PYTHON, "train.py", case, "--steps", str(CASES[case]["steps"]), "--mode", mode,
               "--threads", str(threads)]
    line = machine.output_of(command, env={"OMP_NUM_THREADS": str(threads)}, cwd=machine.PEERS)
    return json.loads(line)["steps_per_second"]


def best_row(case):
    medians = {row: statistics.median(theirs(case, row) for _ in range(3)) for row in CASES[case]["rows"]}
    for (mode, threads), speed in medians.items():
        print(f"  PyTorch {mode}, {threads} thread{'s' * (threads > 1)}: {speed:,.1f} steps/s")
    return max(medians, key=medians.get)


def measure(case, pairs):
    print(f"\n{CASES[case]['what']}")
    row = best_row(case)
    a, b = machine.interleave(lambda: ours(case), lambda: theirs(case, row), pairs)
    name = f"PyTorch {row[0]}, {row[1]} thread{'s' * (row[1] > 1)}"
    result = machine.compare(CASES[case]["what"], "steps/s", a, b, name, CASES[case]["asked"])
    print(f"  ours {result['ours']:,.1f}, {name} {result['theirs']:,.1f}: {result['ratio']:.2f}")
    return result

"""A server beyond its capacity: the 100M-parameter Llama under requests that come whether it has room or not.

The load comes from a small program (`overload.c`): it shares the machine with the server, and what it takes shows as the
server's loss.
"""
import itertools
import os
import subprocess
import tempfile

import language
import machine
from serving import running

PROMPT, NEW = 64, 32
# Sequences that are computed side by side, the project's own figure; as many may wait for their place, so that none
# stays empty until the next request happens to come.
RUNNING = 32
QUEUE = 2 * RUNNING
FACTORS = [2, 5, 20]
# What the project promises: answers a second against the peak, and how fast a refusal comes.
SERVED, REFUSED_SECONDS = 0.95, 0.050
GENERATOR = os.path.join(machine.ROOT, ".deps", "bench-overload")
SEEDS = itertools.count()


def load(key, seconds, *kind):
    """The answers to a load: status, seconds to the first token, seconds to the end, the moment of the end."""
    numbers = [language.PORTS["ours"], next(SEEDS), PROMPT, NEW, seconds, *kind]
    lines = machine.lines_of([GENERATOR, *map(str, numbers)], env={"BENCH_KEY": key})
    return [(int(status), *map(float, times)) for status, *times in map(str.split, lines)]


def p99(values):
    return sorted(values)[int(0.99 * (len(values) - 1))] if values else 0.0


def rate(times):
    """Things a second. Requests that began together end together, so time is taken between one and the same one of a
    later round of `RUNNING`."""
    rounds = (len(times) - 1) // RUNNING
    if rounds < 1:
        raise SystemExit(f"error: {len(times)} answers are too few to measure; give --seconds more")
    spans = [times[i + rounds * RUNNING] - times[i] for i in range(len(times) - rounds * RUNNING)]
    return rounds * RUNNING * len(spans) / sum(spans)


def told(results, begin, end):
    """Answers a second that ended between two moments; of the requests since the first one the p99 of the first token and
    of a refusal, and how many were refused."""
    answers = [r for r in results if r[0] == 200]
    refused = [r[2] for r in results if r[0] == 503 and r[3] - r[2] >= begin]
    return {"answers": rate(sorted(r[3] for r in answers if begin <= r[3] < end)),
            "first": p99([r[1] for r in answers if r[3] - r[2] >= begin]), "refusal": p99(refused), "refused": len(refused)}


def closed(key, seconds):
    """The peak: as many clients as the queue holds, each with one request at a time; they begin within the first fifth.
    Clients in step, whose prompts are read all at once, are answered some 5 % faster; no load at random moments is."""
    return told(load(key, seconds, "closed", QUEUE), seconds / 4, seconds)


def poisson(key, rate, seconds):
    """Requests at random moments, `rate` a second."""
    return told(load(key, seconds, "poisson", rate), seconds / 4, seconds)


def measure(pairs, seconds):
    language.make_model()
    print(f"\n100M Llama beyond its capacity, prompts of {PROMPT} and answers of {NEW} tokens, {RUNNING} run and {QUEUE - RUNNING} wait")
    peaks, found = {factor: [] for factor in FACTORS}, {factor: [] for factor in FACTORS}
    with tempfile.TemporaryDirectory() as home:
        machine.output_of([machine.MARTLET, "--home", home, "--json", "models", "import", os.path.join(language.MODEL, "hf"),
                           "--name", "llama"])
        machine.output_of([machine.MARTLET, "--home", home, "--json", "stop"])
        with open(os.path.join(home, "admin.key"), encoding="utf-8") as file:
            key = file.read().strip()
        with running(language.serve_command(home), stderr=subprocess.DEVNULL,
                     env=dict(os.environ, MARTLET_REPLICA_QUEUE_LIMIT=str(QUEUE))) as process:
            language.wait_for("ours", "/health/ready", "", process)
            peak = closed(key, seconds)["answers"]
            for pair, factor in itertools.product(range(pairs), FACTORS):
                # In alternating order: the machine's own speed changes from minute to minute.
                for side in ("peak", "load") if pair % 2 == 0 else ("load", "peak"):
                    if side == "peak":
                        peak = closed(key, 3 * seconds / 4)["answers"]
                        peaks[factor].append(peak)
                    else:
                        found[factor].append(poisson(key, factor * peak, seconds))
                last = found[factor][-1]
                print(f"  {factor} times as many: {last['answers']:.1f} answers/s, at its peak {peak:.1f}; first token p99 "
                      f"{last['first']:.2f} s; {last['refused']} refused, p99 {1000 * last['refusal']:.0f} ms", flush=True)
    rows = []
    for factor, results in found.items():
        rows.append(machine.compare(f"100M Llama under {factor} times its capacity", "answers/s",
                                    [r["answers"] for r in results], peaks[factor], "its peak", SERVED))
        rows.append(machine.compare("… 1 / p99 of a refusal", "1/s", [1 / max(r["refusal"], 1e-6) for r in results],
                                    [1 / REFUSED_SECONDS] * pairs, "50 ms", 1.0))
    for factor in FACTORS[1:]:
        rows.append(machine.compare(f"100M Llama, 1 / p99 of admitted first tokens at {factor} times", "1/s",
                                    [1 / r["first"] for r in found[factor]], [1 / r["first"] for r in found[FACTORS[0]]],
                                    f"at {FACTORS[0]} times", 0.8))
    return rows

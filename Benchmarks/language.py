"""Language models: a 100M-parameter Llama, prompts and answers of 128 tokens, against llama.cpp and transformers."""
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

import aiohttp

import machine
from serving import running

MODEL = os.path.join(machine.DATA, "llama")
LLAMA = os.path.join(machine.ROOT, ".deps/llama.cpp/bin")
PORTS = {"ours": 18480, "llama": 18481}
PROMPT = NEW = 128
THREADS = 2
# Ours, llama.cpp's: formats that are compared with each other.
FORMATS = {"float32": ("float32-packed", "f32"), "16 bits": ("float16", "f16")}
# What the project promises: format → sequences → ratio of decoding.
DECODE = {"float32": {1: 0.95, 8: 1.4}, "16 bits": {1: 0.95, 8: 1.5}}
CLIENTS = 8


def make_model():
    if not os.path.exists(os.path.join(MODEL, "f16.gguf")):
        print("  making the model")
        subprocess.run([machine.PYTHON, os.path.join(machine.PEERS, "llama.py"), MODEL], check=True)
        subprocess.run([os.path.join(LLAMA, "llama-quantize"), os.path.join(MODEL, "f32.gguf"),
                        os.path.join(MODEL, "f16.gguf"), "F16"], check=True, capture_output=True)


def ours(precision, sequences):
    # The environment is the one that `martlet serve` gives a replica.
    line = machine.output_of(
        [machine.ENGINE, "bench-generate", os.path.join(MODEL, "hf"), "--precision", precision, "--prompt", str(PROMPT),
         "--new", str(NEW), "--sequences", str(sequences), "--threads", str(THREADS), "--repeat", "2"],
        env=machine.ENGINE_ENVIRONMENT)
    result = json.loads(line)
    return result["prompt_tokens_per_second"], result["decode_tokens_per_second"]


def llama(kind, sequences):
    """llama-batched-bench: | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | …"""
    done = subprocess.run(
        [os.path.join(LLAMA, "llama-batched-bench"), "-m", os.path.join(MODEL, f"{kind}.gguf"), "-c", "4096", "-b", "2048",
         "-ub", "512", "-npp", str(PROMPT), "-ntg", str(NEW), "-npl", str(sequences), "-t", str(THREADS), "-tb",
         str(THREADS)], capture_output=True, text=True)
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith(f"| {PROMPT:5d} |")]
    if not rows:
        sys.exit(f"error: llama-batched-bench gave no result:\n{done.stderr[-2000:]}")
    return float(rows[-1][6]), float(rows[-1][8])


def transformers(sequences):
    result = json.loads(machine.output_of(
        [machine.PYTHON, os.path.join(machine.PEERS, "transformers_decode.py"), os.path.join(MODEL, "hf"), "--sequences",
         str(sequences), "--prompt", str(PROMPT), "--new", str(NEW)], env={"OMP_NUM_THREADS": str(THREADS)}))
    return result["prompt_tokens_per_second"], result["decode_tokens_per_second"]


def compare_decoding(name, what, peer, theirs, own, sequences, asked, pairs):
    a, b = machine.interleave(own, theirs, pairs)
    rows = []
    for index, part in enumerate(["prompts", "answers"]):
        title = f"100M Llama, {name}, {sequences} sequence{'s' * (sequences > 1)}, {part}"
        row = machine.compare(title, "tokens/s", [x[index] for x in a], [x[index] for x in b], peer,
                              asked if part == "answers" else what)
        print(f"  {title}: ours {row['ours']:,.0f}, {peer} {row['theirs']:,.0f}: {row['ratio']:.2f}")
        rows.append(row)
    return rows


def measure_decoding(pairs):
    print(f"\n100M Llama, {PROMPT} tokens of prompt and {NEW} of answer, {THREADS} threads")
    rows = []
    for name, (precision, kind) in FORMATS.items():
        for sequences in (1, 8):
            rows += compare_decoding(name, 0.95, f"llama.cpp {kind.upper()}", lambda: llama(kind, sequences),
                                     lambda: ours(precision, sequences), sequences, DECODE[name][sequences], pairs)
    for sequences in (1, 8):
        rows += compare_decoding("float32", 0.95, "transformers", lambda: transformers(sequences),
                                 lambda: ours("float32-packed", sequences), sequences, 2.0, pairs)
    return rows


# A server with streaming clients.

async def one(session, side, key, draw, times):
    body = {"model": "llama", "prompt": [draw.randint(300, 31000) for _ in range(PROMPT)], "max_tokens": NEW,
            "temperature": 0, "stream": True, "ignore_eos": True} | ({"cache_prompt": False} if side == "llama" else {})
    begin, first = time.perf_counter(), None
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with session.post(f"http://127.0.0.1:{PORTS[side]}/v1/completions", json=body, headers=headers) as answer:
        if answer.status != 200:
            sys.exit(f"error: {side} answered {answer.status}: {(await answer.text())[:500]}")
        done = False
        async for line in answer.content:
            if line.startswith(b"data: ") and first is None and b'"text"' in line or b'"content"' in line:
                first = first or time.perf_counter() - begin
            done = done or line.startswith(b"data: [DONE]")
    if not done or first is None:
        sys.exit(f"error: a stream of {side} was cut off")
    times.append(first)


def load(side, key):
    """Tokens a second of all clients together, and the median time to the first token in seconds.

    The prompts are new each time: none may come from a cache."""
    async def run():
        times, draw = [], random.Random()
        timeout = aiohttp.ClientTimeout(600)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
            async def client():
                for _ in range(2):
                    await one(session, side, key, draw, times)
            begin = time.perf_counter()
            await asyncio.gather(*[client() for _ in range(CLIENTS)])
            return 2 * CLIENTS * NEW / (time.perf_counter() - begin), statistics.median(times)
    return asyncio.run(run())


def wait_for(side, path, key, process, seconds=120):
    async def get():
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{PORTS[side]}{path}", headers=headers) as answer:
                return answer.status == 200
    end = time.time() + seconds
    while time.time() < end and process.poll() is None:
        try:
            if asyncio.run(get()):
                return
        except aiohttp.ClientError:
            pass
        time.sleep(0.1)
    sys.exit(f"error: {side} is not ready")


def replica_memory():
    """Resident bytes of the process that has the model, without pages of files that the kernel can drop."""
    found = subprocess.run(["pgrep", "-f", "martlet-engine"], capture_output=True, text=True).stdout.split()
    sizes = []
    for pid in found:
        with open(f"/proc/{pid}/status", encoding="utf-8") as status:
            fields = dict(line.split(":", 1) for line in status)
        sizes.append(int(fields["RssAnon"].split()[0]) << 10)
    return max(sizes, default=0)


def first_answer(home, key):
    """Seconds to the first answer of a model that is not loaded. Its files are in the system's cache, as after an import."""
    for folder, _, names in os.walk(home):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                while file.read(1 << 24):
                    pass

    async def ask():
        body = {"model": "llama", "prompt": [300, 301, 302], "max_tokens": 1}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(600)) as session:
            async with session.post(f"http://127.0.0.1:{PORTS['ours']}/v1/completions", json=body,
                                    headers={"Authorization": f"Bearer {key}"}) as answer:
                if answer.status != 200:
                    sys.exit(f"error: ours answered {answer.status}: {(await answer.text())[:500]}")
                await answer.read()
    with running(serve_command(home), stderr=subprocess.DEVNULL) as process:
        wait_for("ours", "/health/ready", "", process)
        begin = time.perf_counter()
        asyncio.run(ask())
        return time.perf_counter() - begin


def serve_command(home):
    return [machine.MARTLET, "--home", home, "serve", "--listen", f"127.0.0.1:{PORTS['ours']}"]


def measure_server(pairs):
    print(f"\n100M Llama as a server, {CLIENTS} streaming clients")
    rows = []
    with tempfile.TemporaryDirectory() as home:
        machine.output_of([machine.MARTLET, "--home", home, "--json", "models", "import", os.path.join(MODEL, "hf"),
                           "--name", "llama"])
        machine.output_of([machine.MARTLET, "--home", home, "--json", "stop"])
        with open(os.path.join(home, "admin.key"), encoding="utf-8") as file:
            key = file.read().strip()
        cold = [first_answer(home, key) for _ in range(pairs)]
        print(f"  first answer after a cold load: {statistics.median(cold):.2f} s ({min(cold):.2f}-{max(cold):.2f})")
        rows.append(machine.compare("100M Llama, 1 / first answer after a cold load", "1/s", [1 / x for x in cold],
                                    [1.0] * len(cold), "one second", 1.0))
        theirs = [os.path.join(LLAMA, "llama-server"), "-m", os.path.join(MODEL, "f16.gguf"), "--host", "127.0.0.1",
                  "--port", str(PORTS["llama"]), "-np", str(CLIENTS), "-c", "4096", "-t", str(THREADS), "-tb",
                  str(THREADS), "--no-webui"]
        with running(serve_command(home)) as process, running(theirs, stderr=subprocess.DEVNULL) as peer:
            wait_for("ours", "/health/ready", "", process)
            wait_for("llama", "/health", "", peer)
            load("ours", key), load("llama", "")
            a, b = machine.interleave(lambda: load("ours", key), lambda: load("llama", ""), pairs)
            print(f"  memory of the replica: {replica_memory() >> 20} MiB")
        row = machine.compare(f"100M Llama, {CLIENTS} streaming clients", "tokens/s", [x[0] for x in a],
                              [x[0] for x in b], "llama-server F16", 1.5)
        print(f"  ours {row['ours']:,.0f} tokens/s, llama-server {row['theirs']:,.0f}: {row['ratio']:.2f}")
        rows.append(row)
        # Faster is more, as everywhere: first tokens a second.
        row = machine.compare(f"100M Llama, {CLIENTS} streaming clients, 1 / time to the first token", "1/s",
                              [1 / x[1] for x in a], [1 / x[1] for x in b], "llama-server F16", 1 / 0.7)
        print(f"  first token: ours {1000 / row['ours']:,.0f} ms, llama-server {1000 / row['theirs']:,.0f} ms")
        rows.append(row)
    return rows


# Memory of a replica's process. Its cache is small here, so that all of it is used.

CACHE_MIB = 64


def memory(*more):
    """What `bench-generate` says after each round."""
    done = subprocess.run(
        [machine.ENGINE, "bench-generate", os.path.join(MODEL, "hf"), "--precision", "float16", "--prompt", str(PROMPT),
         "--new", "64", "--threads", str(THREADS), "--cache-mb", str(CACHE_MIB), "--repeat", "3", *more],
        capture_output=True, text=True, env=dict(os.environ, **machine.ENGINE_ENVIRONMENT))
    if done.returncode != 0:
        sys.exit(f"error: bench-generate ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure_memory():
    print("\n100M Llama, memory")
    peak = memory("--sequences", "8")[-1]
    allowed = peak["weight_bytes"] + (CACHE_MIB << 20) + 250_000_000
    print(f"  weights {peak['weight_bytes'] / 1e6:,.0f} MB, cache {(CACHE_MIB << 20) / 1e6:,.0f} MB; at most "
          f"{peak['peak_bytes'] / 1e6:,.0f} MB resident, {peak['anonymous_bytes'] / 1e6:,.0f} MB of its own at the end")
    rounds = memory("--sequences", "10", "--adapters", "10")
    base = [row for row in rounds if row["adapter_bytes"] == 0][-1]
    ten = [row for row in rounds if row["adapters"] > 0][-1]
    bound = 1.1 * (base["anonymous_bytes"] + ten["adapter_bytes"])
    print(f"  base {base['anonymous_bytes'] / 1e6:,.0f} MB, ten adapters of {ten['adapter_bytes'] / 1e6:,.0f} MB, "
          f"together {ten['anonymous_bytes'] / 1e6:,.0f} MB")
    return [
        machine.compare("100M Llama, memory: weights, cache and 250 MB / most", "MB", [allowed / 1e6],
                        [peak["peak_bytes"] / 1e6], "itself", 1.0),
        machine.compare("100M Llama and ten adapters, memory: their sum and 10 % / all", "MB", [bound / 1e6],
                        [ten["anonymous_bytes"] / 1e6], "itself", 1.0),
    ]


def measure(pairs):
    make_model()
    return measure_decoding(pairs) + measure_server(pairs) + measure_memory()

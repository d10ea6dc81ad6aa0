"""Requests a second: the CNN behind HTTP, one image of 784 numbers a request, at 1, 16 and 64 connections."""
import contextlib
import gzip
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import machine

CONNECTIONS = [1, 16, 64]
PORTS = {"ours": 18380, "torch": 18381, "onnx": 18382}
PATH = "/v2/models/bench-cnn/infer"
NAMES = {"torch": "FastAPI + torch", "onnx": "async FastAPI + onnxruntime + orjson"}
# peer → connections → the ratio that the project promises; elsewhere not to be worse.
ASKED = {"torch": {16: 5.0}, "onnx": {16: 1.5}}


def url(side):
    return f"http://127.0.0.1:{PORTS[side]}{PATH}"


def write_body(folder):
    """One test image as the Open Inference Protocol's JSON."""
    with gzip.open(os.path.join(machine.IMAGES, "t10k-images-idx3-ubyte.gz")) as file:
        pixels = list(file.read(16 + 784)[16:])
    body = {"inputs": [{"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": [round(p / 255, 4) for p in pixels]}]}
    path = os.path.join(folder, "body.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(body, out)
    return path


def wait_until_it_answers(side, body, key, process, seconds=120):
    """The first right answer; the server's end or the time's ends the run."""
    with open(body, "rb") as file:
        data = file.read()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    end, last = time.time() + seconds, "no answer"
    while time.time() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url(side), data, headers), timeout=10) as answer:
                reply = json.load(answer)
                if len(reply["outputs"]) > 0:
                    return
        except urllib.error.HTTPError as error:
            last = f"{error.code} {error.read()[:300]!r}"
        except (OSError, ValueError, KeyError) as error:
            last = str(error)
        time.sleep(0.2)
    sys.exit(f"error: {side} does not answer at {url(side)}: {last}")


@contextlib.contextmanager
def running(command, **options):
    """A server for as long as the block runs, with everything that it starts."""
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def peer(name, folder):
    command = [machine.PYTHON, "serve.py", name, "--port", str(PORTS[name]), "--model", os.path.join(folder, "cnn.onnx")]
    return running(command, cwd=machine.PEERS, env=dict(os.environ, OMP_NUM_THREADS="2", PYTHONWARNINGS="ignore"))


def deploy_ours(home):
    """A CNN trained for a few steps and deployed; speed does not depend on how good it is."""
    machine.output_of([machine.MARTLET, "--home", home, "--json", "train", machine.recipe("cnn")])
    machine.output_of([machine.MARTLET, "--home", home, "--json", "stop"])


def load(side, connections, body, key, seconds):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s",
               "-s", os.path.join(machine.ROOT, "Benchmarks/infer.lua"), url(side), "--", body]
    result = json.loads(machine.output_of(command, env={"BENCH_KEY": key if side == "ours" else ""}))
    if result["failed"]:
        sys.exit(f"error: {result['failed']} requests to {side} failed at {connections} connections")
    return result


def compare_at(connections, name, body, key, pairs, seconds):
    latencies = {"ours": [], name: []}

    def once(side):
        result = load(side, connections, body, key, seconds)
        latencies[side].append((result["p50_ms"], result["p99_ms"]))
        return result["requests_per_second"]

    for side in ("ours", name):
        load(side, connections, body, key, 2)
    a, b = machine.interleave(lambda: once("ours"), lambda: once(name), pairs)
    row = machine.compare(f"CNN over HTTP, {connections} connections", "requests/s", a, b, NAMES[name],
                          ASKED[name].get(connections, 0.95))
    for side, times in latencies.items():
        p50, p99 = (statistics.median(values) for values in zip(*times))
        row[f"latency_{side}"] = {"p50_ms": p50, "p99_ms": p99}
        speed = row["ours"] if side == "ours" else row["theirs"]
        print(f"  {connections:3} connections, {NAMES.get(side, 'ours')}: {speed:,.0f} requests/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    return row


def measure(pairs, seconds):
    print("\nCNN over HTTP, Open Inference Protocol JSON, one image a request")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        body, home = write_body(folder), os.path.join(folder, "home")
        deploy_ours(home)
        with open(os.path.join(home, "admin.key"), encoding="utf-8") as file:
            key = file.read().strip()
        serve = [machine.MARTLET, "--home", home, "serve", "--listen", f"127.0.0.1:{PORTS['ours']}"]
        with running(serve) as ours:
            wait_until_it_answers("ours", body, key, ours)
            for name in NAMES:
                with peer(name, folder) as process:
                    wait_until_it_answers(name, body, "", process)
                    for connections in CONNECTIONS:
                        rows.append(compare_at(connections, name, body, key, pairs, seconds))
    return rows

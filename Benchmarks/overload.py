"""A server beyond its capacity: the 100M-parameter Llama under requests that come whether it has room or not.

The requests are written and read here on plain sockets: the generator shares the machine with the server, and an HTTP
client of some comfort takes a millisecond of a processor for each refusal, which then shows as the server's loss.
"""
import itertools
import os
import random
import selectors
import socket
import subprocess
import tempfile
import time

import language
import machine
from serving import running

PROMPT, NEW = 64, 32
QUEUE = 32
FACTORS = [2, 5, 20]
# What the project promises: answers a second against the peak, and how fast a refusal comes.
SERVED, REFUSED_SECONDS = 0.95, 0.050
TOKENS = [str(token).encode() for token in range(300, 31000)]
# No two prompts begin alike, so none is found in the cache; that the rest is the same costs the generator less.
DRAWN = 8
REST = b",".join(TOKENS[:PROMPT - DRAWN])
# A connection that waited this long is not used again: the server may be closing it.
IDLE_SECONDS = 5
# Nothing at all came for so long: the server hangs.
SILENT_SECONDS = 60
SEEDS = itertools.count()


class Connection:
    """One request at a time; its answer's status and times."""

    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", language.PORTS["ours"]))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.idle_since = 0.0

    def send(self, request):
        self.begin, self.first, self.received = time.perf_counter(), None, b""
        self.socket.sendall(request)

    def read(self):
        """Takes what has come; whether the answer is whole."""
        data = self.socket.recv(65536)
        if not data:
            raise SystemExit("error: an answer was cut off")
        now = time.perf_counter()
        self.received += data
        if self.first is None and b"data: " in self.received:
            self.first = now - self.begin
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return False
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        if b"content-length" in fields:
            whole = len(body) >= int(fields[b"content-length"])
        else:
            whole = body.endswith(b"0\r\n\r\n")
        if whole:
            self.status, self.seconds, self.end = int(head[9:12]), now - self.begin, now
            if self.status == 503 and b"retry-after" not in fields:
                raise SystemExit("error: a refusal without Retry-After")
            if self.status not in (200, 503) or (self.status == 200 and b"data: [DONE]" not in body):
                raise SystemExit(f"error: answered {self.status}, or a stream was cut off")
        return whole


class Load:
    """Sends requests of its own drawing over connections that it keeps, and collects the answers."""

    def __init__(self, key):
        self.draw = random.Random(next(SEEDS))
        self.head = (f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
                     "Content-Type: application/json\r\nContent-Length: ").encode()
        self.selector, self.idle = selectors.DefaultSelector(), []
        # status, seconds to the first token, seconds to the end, the moment of the end
        self.results = []

    def send(self):
        body = (b'{"model":"llama","max_tokens":%d,"temperature":0,"stream":true,"ignore_eos":true,"prompt":[%s,%s]}'
                % (NEW, b",".join(self.draw.choices(TOKENS, k=DRAWN)), REST))
        connection = self.idle.pop() if self.idle else None
        if connection is None or time.perf_counter() - connection.idle_since > IDLE_SECONDS:
            connection = Connection()
        connection.send(b"%s%d\r\n\r\n%s" % (self.head, len(body), body))
        self.selector.register(connection.socket, selectors.EVENT_READ, connection)

    def collect(self, seconds):
        """Reads what comes within so many seconds; how many answers are whole."""
        done = 0
        for event, _ in self.selector.select(max(0, seconds)):
            connection = event.data
            if connection.read():
                self.selector.unregister(connection.socket)
                connection.idle_since = connection.end
                self.idle.append(connection)
                self.results.append((connection.status, connection.first, connection.seconds, connection.end))
                done += 1
        return done

    def finish(self):
        while self.selector.get_map():
            before = time.perf_counter()
            self.collect(SILENT_SECONDS)
            if time.perf_counter() - before >= SILENT_SECONDS:
                raise SystemExit(f"error: nothing came for {SILENT_SECONDS} s, and answers are missing")


def p99(values):
    return sorted(values)[int(0.99 * (len(values) - 1))] if values else 0.0


def rate(times):
    """Things a second. Requests that began together end together, so time is taken between one and the same one of a
    later round of `QUEUE`."""
    rounds = (len(times) - 1) // QUEUE
    if rounds < 1:
        raise SystemExit(f"error: {len(times)} answers are too few to measure; give --seconds more")
    spans = [times[i + rounds * QUEUE] - times[i] for i in range(len(times) - rounds * QUEUE)]
    return rounds * QUEUE * len(spans) / sum(spans)


def told(results, begin, end):
    """Answers a second that ended between two moments; of the requests since the first one the p99 of the first token and
    of a refusal, and how many were refused."""
    answers = [r for r in results if r[0] == 200]
    refused = [r[2] for r in results if r[0] == 503 and r[3] - r[2] >= begin]
    return {"answers": rate(sorted(r[3] for r in answers if begin <= r[3] < end)),
            "first": p99([r[1] for r in answers if r[3] - r[2] >= begin]), "refusal": p99(refused), "refused": len(refused)}


def closed(key, seconds):
    """The peak: as many requests as the queue holds, never more."""
    load, begin = Load(key), time.perf_counter()
    for _ in range(QUEUE):
        load.send()
    while time.perf_counter() < begin + seconds:
        for _ in range(load.collect(begin + seconds - time.perf_counter())):
            load.send()
    load.finish()
    return told(load.results, begin + seconds / 4, begin + seconds)


def poisson(key, rate, seconds):
    """Requests at random moments, `rate` a second."""
    load, begin = Load(key), time.perf_counter()
    following = begin
    while following < begin + seconds:
        while time.perf_counter() < following:
            load.collect(following - time.perf_counter())
        load.send()
        following += load.draw.expovariate(rate)
    load.finish()
    return told(load.results, begin + seconds / 4, begin + seconds)


def measure(pairs, seconds):
    language.make_model()
    print(f"\n100M Llama beyond its capacity, prompts of {PROMPT} and answers of {NEW} tokens, {QUEUE} may wait")
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

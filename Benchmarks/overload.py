"""A server beyond its capacity: the 100M-parameter Llama under requests that come whether it has room or not."""
import asyncio
import os
import random
import subprocess
import tempfile
import time

import aiohttp

import language
import machine
from serving import running

PROMPT, NEW = 64, 32
QUEUE = 32
FACTORS = [2, 5, 20]
# What the project promises: answers a second against the peak, and how fast a refusal comes.
SERVED, REFUSED_SECONDS = 0.95, 0.050


async def ask(session, key, draw, results):
    body = {"model": "llama", "prompt": [draw.randint(300, 31000) for _ in range(PROMPT)], "max_tokens": NEW,
            "temperature": 0, "stream": True, "ignore_eos": True}
    begin, first, done = time.perf_counter(), None, False
    async with session.post(f"http://127.0.0.1:{language.PORTS['ours']}/v1/completions", json=body,
                            headers={"Authorization": f"Bearer {key}"}) as answer:
        if answer.status == 200:
            async for line in answer.content:
                first = first or time.perf_counter() - begin
                done = done or line.startswith(b"data: [DONE]")
        else:
            await answer.read()
    if answer.status not in (200, 503) or (answer.status == 200 and not done):
        raise SystemExit(f"error: answered {answer.status}, or a stream was cut off")
    if answer.status == 503 and "Retry-After" not in answer.headers:
        raise SystemExit("error: a refusal without Retry-After")
    results.append((answer.status, first, time.perf_counter() - begin, time.perf_counter()))


def p99(values):
    return sorted(values)[int(0.99 * (len(values) - 1))] if values else 0.0


def told(results, begin, end):
    """Answers a second that ended between two moments, the p99 of their first tokens, that of refusals, and how many."""
    answers = [r for r in results if r[0] == 200 and begin <= r[3] < end]
    refused = [r[2] for r in results if r[0] == 503]
    return {"answers": len(answers) / (end - begin), "first": p99([r[1] for r in answers]), "refusal": p99(refused),
            "refused": len(refused)}


def closed(key, seconds):
    """The peak: as many requests as the model takes side by side and its queue holds, never more."""
    async def run():
        results, draw = [], random.Random(1)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(600), connector=aiohttp.TCPConnector(limit=0)) as session:
            begin = time.perf_counter()

            async def client():
                while time.perf_counter() < begin + seconds:
                    await ask(session, key, draw, results)
            await asyncio.gather(*[client() for _ in range(QUEUE)])
        return told(results, begin + seconds / 4, begin + seconds)
    return asyncio.run(run())


def poisson(key, rate, seconds):
    """Requests at random moments, `rate` a second."""
    async def run():
        results, draw = [], random.Random(2)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(600), connector=aiohttp.TCPConnector(limit=0)) as session:
            begin = next_one = time.perf_counter()
            tasks = []
            while next_one < begin + seconds:
                await asyncio.sleep(max(0, next_one - time.perf_counter()))
                tasks.append(asyncio.create_task(ask(session, key, draw, results)))
                next_one += draw.expovariate(rate)
            await asyncio.gather(*tasks)
        return told(results, begin + seconds / 4, begin + seconds)
    return asyncio.run(run())


def measure(seconds):
    language.make_model()
    print(f"\n100M Llama beyond its capacity, prompts of {PROMPT} and answers of {NEW} tokens, {QUEUE} may wait")
    rows = []
    with tempfile.TemporaryDirectory() as home:
        machine.output_of([machine.MARTLET, "--home", home, "--json", "models", "import", os.path.join(language.MODEL, "hf"),
                           "--name", "llama"])
        machine.output_of([machine.MARTLET, "--home", home, "--json", "stop"])
        with open(os.path.join(home, "admin.key"), encoding="utf-8") as file:
            key = file.read().strip()
        with running(language.serve_command(home), stderr=subprocess.DEVNULL,
                     env=dict(os.environ, MARTLET_REPLICA_QUEUE_LIMIT=str(QUEUE))) as process:
            language.wait_for("ours", "/health/ready", "", process)
            closed(key, 5)
            before = closed(key, seconds)
            found = {factor: poisson(key, factor * before["answers"], seconds) for factor in FACTORS}
            after = closed(key, seconds)
        peak = (before["answers"] + after["answers"]) / 2
        print(f"  peak {before['answers']:.1f} answers/s before and {after['answers']:.1f} after")
        for factor, result in found.items():
            print(f"  {factor} times as many: {result['answers']:.1f} answers/s, first token p99 {result['first']:.2f} s, "
                  f"{result['refused']} refused, p99 {1000 * result['refusal']:.0f} ms")
            rows.append(machine.compare(f"100M Llama under {factor} times its capacity", "answers/s", [result["answers"]],
                                        [peak], "its peak", SERVED))
            rows.append(machine.compare("… 1 / p99 of a refusal", "1/s", [1 / max(result["refusal"], 1e-6)],
                                        [1 / REFUSED_SECONDS], "50 ms", 1.0))
        longest = max(result["first"] for result in found.values())
        rows.append(machine.compare("… 1 / p99 of admitted first tokens, the worst against 2 times", "1/s", [1 / longest],
                                    [1 / found[2]["first"]], "2 times", 0.8))
    return rows

"""Many clients at once on one small model. The cases' ids stand in the tests' names; what was measured is printed."""

import asyncio
import json
import os
import random
import signal
import socket
import time
import urllib.parse

import pytest

import conftest
import load
import raw_http


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A server that computes eight sequences at a time and lets sixteen wait."""
    home = tmp_path_factory.mktemp("narrow") / "home"
    home.mkdir()
    (home / "config.yaml").write_text("max_sequences: 8\nreplica_queue_limit: 24\n")
    narrow = conftest.Martlet(home)
    try:
        narrow.json("models", "import", str(conftest.ROOT / "Tests/Golden/tiny-llama"), "--name", "tiny")
        raw_http.alive(narrow)
        yield narrow
    finally:
        narrow.run("stop")


def keys(server, count, name):
    return [server.json("keys", "create", "--name", f"{name}-{index}")["secret"] for index in range(count)]


def test_200_chats_at_once_are_whole_and_keep_apart(server, capsys):
    """Each answer can only be its own canary; nothing but it comes, or the server says that it is full."""
    raw_http.alive(server)

    def canary(index):
        name = f"canary-{index:03d}-{index * 7919 % 1000:03d}"
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": [name]}}}
        return json.dumps(name), load.request(server, load.chat(
            f"stream {index}", stream=True, max_tokens=40, response_format=form))

    # Token t of the tiny model is byte t.
    def letter(index):
        token = 33 + index % 94
        return chr(token) * 40, load.request(server, load.chat(
            f"stream {index}", stream=True, max_tokens=40, ignore_eos=True, logit_bias={str(token): 100}))

    asked = [canary(index) if index % 2 else letter(index) for index in range(200)]

    async def everything():
        return await asyncio.gather(*[load.send(server, data) for _, data in asked])

    replies = asyncio.run(everything())
    assert {reply.status for reply in replies} <= {200, 429, 503}
    admitted = [(reply, expected) for reply, (expected, _) in zip(replies, asked) if reply.status == 200]
    assert len(admitted) > 20
    for reply, expected in admitted:
        assert reply.is_whole and reply.text.strip() == expected
        ends = [c["choices"][0]["finish_reason"] for c in reply.chunks if c["choices"] and c["choices"][0]["finish_reason"]]
        assert ends in (["stop"], ["length"])
    for reply in replies:
        assert reply.status == 200 or b"retry-after" in reply.headers.lower()
    first = [reply.first for reply, _ in admitted]
    with capsys.disabled():
        print(f"\n200 chats at once: {len(admitted)} admitted, first token p50 {load.quantile(first, .5):.3f} s, "
              f"p99 {load.quantile(first, .99):.3f} s")
    raw_http.alive(server)


async def poisson(server, data, rate, seconds, source):
    """Requests at random moments, whether or not earlier ones are answered."""
    loop, tasks = asyncio.get_running_loop(), []
    end, at = loop.time() + seconds, loop.time()
    while at < end:
        await asyncio.sleep(max(0, at - loop.time()))
        tasks.append(asyncio.create_task(load.send(server, data)))
        at += source.expovariate(rate)
    return await asyncio.gather(*tasks)


async def closed(server, data, clients, seconds):
    """As many clients, each asking again as soon as it has its answer."""
    end, replies = time.monotonic() + seconds, []

    async def client():
        while time.monotonic() < end:
            replies.append(await load.send(server, data))

    await asyncio.gather(*[client() for _ in range(clients)])
    return replies


def test_L01_overload_is_refused_and_what_is_admitted_is_served(narrow, capsys):
    """Short: seconds in place of ten minutes. What is compared with is measured before and after. The client and the
    refusals share the machine with the model: where they leave its process less time of the processor than it had
    before, it is to serve so much less and no more. Whatever the time, the bill has the answers that came, each with its
    tokens, and nothing of what was refused."""
    key = narrow.json("keys", "create", "--name", "L01")
    data = load.request(narrow, load.chat(max_tokens=120, ignore_eos=True, n=2), key["secret"])
    [replica] = narrow.replicas()
    answered = 0

    def usual():
        spent = replica.cpu_seconds
        seconds = [reply.total for reply in asyncio.run(closed(narrow, data, 8, 2)) if reply.status == 200]
        nonlocal answered
        answered += len(seconds)
        return len(seconds) / 2, load.quantile(seconds, .99), (replica.cpu_seconds - spent) / 2

    source = random.Random(5)
    for factor in (2, 5):
        before = usual()
        started, spent = time.monotonic(), replica.cpu_seconds
        replies = asyncio.run(poisson(narrow, data, factor * before[0], 4, source))
        seconds, spent = time.monotonic() - started, replica.cpu_seconds - spent
        after = usual()
        peak, slowest = min(before[0], after[0]), max(before[1], after[1])
        share = min(1, spent / seconds / max(before[2], after[2]))
        assert {reply.status for reply in replies} <= {200, 429, 503}
        admitted = [reply.total for reply in replies if reply.status == 200]
        refused = [reply for reply in replies if reply.status != 200]
        answered += len(admitted)
        told = [reply.total for reply in refused] or [0]
        with capsys.disabled():
            print(f"\nL01 {factor}x of {before[0]:.0f} requests/s (after: {after[0]:.0f}): "
                  f"{len(admitted) / seconds:.0f}/s served, p50 {load.quantile(admitted, .5):.3f} s, p99 "
                  f"{load.quantile(admitted, .99):.3f} s (alone {slowest:.3f} s), {len(refused)} refused in p50 "
                  f"{load.quantile(told, .5) * 1000:.0f} ms; the model had {share:.0%} of its time")
        assert len(admitted) / seconds > share * peak / 4
        # No more wait than the queue holds: three rounds of eight, and as much again for the machine.
        assert load.quantile(admitted, .99) < 8 * slowest + 2
        assert load.quantile(told, .5) < load.quantile(admitted, .5)
        for reply in refused:
            assert b"retry-after" in reply.headers.lower() and b'"error"' in reply.body
    bill = [row for row in narrow.json("usage")["data"] if key["id"] in row.values()]
    assert sum(row["requests"] for row in bill) == answered
    assert sum(row["completion_tokens"] for row in bill) == answered * 2 * 120
    raw_http.alive(narrow)


def test_L02_one_key_with_many_requests_does_not_hold_up_ten_with_one(server, capsys):
    """In order of arrival all would wait equally long; by turns the ten wait for a turn, and the crowd for itself."""
    crowd, *ten = keys(server, 11, "L02")
    data = load.chat(max_tokens=60, ignore_eos=True, n=4)
    requests, many = [load.request(server, data, key) for key in ten], load.request(server, data, crowd)

    async def rounds(count):
        seconds = []
        for _ in range(count):
            replies = await asyncio.gather(*[load.send(server, request) for request in requests])
            assert {reply.status for reply in replies} == {200}
            seconds += [reply.total for reply in replies]
        return seconds

    async def beside():
        waited, since = [], {}

        async def one(index):
            while True:
                since[index] = time.monotonic()
                reply = await load.send(server, many)
                assert reply.status == 200
                waited.append(reply.total)

        tasks = [asyncio.create_task(one(index)) for index in range(200)]
        try:
            # The crowd waits in the queue before the ten come.
            await asyncio.sleep(1)
            del waited[:]
            found = await rounds(3)
            # Those that still wait have waited at least so long.
            return found, waited + [time.monotonic() - start for start in since.values()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    alone, (few, waited) = asyncio.run(rounds(3)), asyncio.run(beside())
    with capsys.disabled():
        print(f"\nL02: ten keys alone p50 {load.quantile(alone, .5):.3f} s, p99 {max(alone):.3f} s; beside a key with "
              f"200 at once p50 {load.quantile(few, .5):.3f} s, p99 {max(few):.3f} s; that key's own p50 "
              f"{load.quantile(waited, .5):.3f} s")
    assert load.quantile(few, .5) * 2 < load.quantile(waited, .5)


@pytest.mark.parametrize("streamed", [True, False])
def test_L03_a_client_that_leaves_frees_its_place_and_is_billed_for_work_done(server, streamed):
    url = urllib.parse.urlparse(server.url)
    key = server.json("keys", "create", "--name", f"L03-{streamed}")
    data = load.request(server, load.chat(max_tokens=450, ignore_eos=True, n=32, stream=streamed), key["secret"])
    asked = 12 * 32 * 450
    sockets = []
    for _ in range(12):
        connection = socket.create_connection((url.hostname, url.port))
        connection.sendall(data)
        sockets.append(connection)
    # Some are computed, some wait.
    time.sleep(0.3)
    for connection in sockets:
        connection.close()
    answer = raw_http.chat(server)
    assert answer.status == 200 and answer.computed < 3, answer.computed
    server.standing()
    assert server.billed(key) < asked / 2, "nothing more is computed for it"


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_L07_a_replica_that_dies_or_hangs_ends_its_streams_and_comes_back(server, fault, capsys):
    raw_http.alive(server)
    data = load.request(server, load.chat(max_tokens=450, ignore_eos=True, n=64, stream=True))

    async def struck():
        task = asyncio.create_task(load.send(server, data))
        await asyncio.sleep(0.15)
        struck = [process.pid for process in server.replicas()]
        for pid in struck:
            os.kill(pid, fault)
        return struck, await asyncio.wait_for(task, 60)

    started = time.monotonic()
    struck, reply = asyncio.run(struck())
    ended = time.monotonic() - started
    if not reply.is_whole:
        assert reply.status == 503 or reply.chunks[-1]["error"]["type"] == "server_error"
    while time.monotonic() - started < 60 and raw_http.chat(server).status != 200:
        time.sleep(0.1)
    with capsys.disabled():
        print(f"\nL07 {fault.name}: the stream ended after {ended:.1f} s, the model answered again after "
              f"{time.monotonic() - started:.1f} s")
    # Those of other models are replaced too, each in its own time.
    while {process.pid for process in server.replicas()} & set(struck):
        assert time.monotonic() - started < 60, "a replica that hangs is still there"
        time.sleep(0.1)
    raw_http.alive(server)


def test_L11_what_another_project_asked_cannot_be_told_from_the_time(server, capsys):
    """Beginnings that another project asked before, and beginnings that nobody did, in turns."""
    server.run("projects", "create", "probe", code=None)
    mine = server.json("keys", "create", "--name", "L11")["secret"]
    other = server.json("keys", "create", "--name", "L11-probe", "--project", "probe", code=None)
    server.run("models", "import", str(conftest.ROOT / "Tests/Golden/tiny-llama"), "--name", "tiny", "--api-key",
               other["secret"])
    source = random.Random(11)

    def ask(text, key):
        answer = raw_http.chat(server, {
            "messages": [{"role": "user", "content": text}], "max_tokens": 1}, key=key)
        assert answer.status == 200, answer.text
        return answer.seconds, answer.json["usage"]["prompt_tokens_details"]["cached_tokens"]

    known, fresh, own = [], [], []
    for _ in range(1000):
        beginnings = ["".join(source.choices("abcdefgh", k=400)) for _ in range(2)]
        ask(beginnings[0], mine)
        # What comes first is not always the same.
        for beginning, seconds in source.sample(list(zip(beginnings, (known, fresh))), 2):
            taken, cached = ask(beginning, other["secret"])
            assert cached == 0
            seconds.append(taken)
        taken, cached = ask(beginnings[0], mine)
        assert cached > 300
        own.append(taken)
    # How often the one is slower than the other, by all pairs: one half where nothing can be told.
    guess = sum((a > b) + (a == b) / 2 for a in known for b in fresh) / (len(known) * len(fresh))
    middle = [load.quantile(seconds, .5) * 1000 for seconds in (known, fresh, own)]
    with capsys.disabled():
        print("\nL11: asked before by another project {:.2f} ms, by nobody {:.2f} ms, by the same {:.2f} ms; "
              "slower {:.0%} of the time".format(*middle, guess))
    assert 0.4 < guess < 0.6
    assert 0.7 < middle[0] / middle[1] < 1.4

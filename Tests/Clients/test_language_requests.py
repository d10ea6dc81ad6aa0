"""Requests that must be refused, and leave all others undisturbed. The cases' ids stand in the tests' names."""

import json
import threading
import time

import pytest

from raw_http import alive, ask, chat, exchange, post

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def refused(answer, param=None, within=5):
    assert answer.status == 400, answer.text[:500]
    error = answer.error
    assert error["type"] == "invalid_request_error"
    if param:
        assert error["param"] == param, answer.text
    assert answer.computed < within, answer.computed


@pytest.mark.parametrize("field", [
    "__internal", "tenant", "owner", "is_background", "isBackground", "adapter", "deadline_microseconds", "triton_x",
    "lora_path", "api_base"])
def test_A08_reserved_fields_are_refused_by_name(server, field):
    for path, body in [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}), ("/v1/completions", {"prompt": "x"}),
        ("/v1/responses", {"input": "x"}), ("/v1/embeddings", {"input": "x"}), ("/tokenize", {"prompt": "x"}),
    ]:
        refused(post(server, path, {"model": "tiny", **body, field: "other"}), field)


def test_A08_headers_do_not_say_who_asks(server):
    """What a proxy or another server would take from a header is not taken: the usage is the key's own project's."""
    before = [row for row in server.json("usage")["data"] if row["resource"] == "tiny@1"]
    answer = chat(server, headers={
        "X-Tenant": "other", "X-Forwarded-User": "admin", "OpenAI-Project": "other", "X-Project-Id": "other",
        "triton_request_id": "1", "X-Martlet-Role": "admin"})
    assert answer.status == 200
    projects = {row.get("project") for row in server.json("usage")["data"] if row["resource"] == "tiny@1"}
    assert projects == {row.get("project") for row in before} or not before and len(projects) == 1


# A request behind them would be found where the one or the other length of the first is believed.
AMBIGUOUS = {
    "both lengths": [b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}"],
    "two lengths": [b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} "],
    "a list of lengths": [b"Content-Length: 2, 3\r\n\r\n{}", b"Content-Length: 2, 3\r\n\r\n{} "],
    "NUL": [b"X-A: one\x00two\r\nContent-Length: 2\r\n\r\n{}", b"X-A: one\r\n two\x00\r\nContent-Length: 2\r\n\r\n{}"],
    "NUL in a name": [b"X-\x00A: one\r\nContent-Length: 2\r\n\r\n{}"],
    "CR": [b"X-A: a\rb\r\nContent-Length: 2\r\n\r\n{}"],
    "CR before a header": [b"X-A: a\rContent-Length: 2\r\n\r\n{}", b"X-A: a\rContent-Length: 2\r\n\r\n"],
    "unknown coding": [b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", b"Transfer-Encoding: xchunked\r\n\r\n"],
    "chunked twice": [b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
                      b"Transfer-Encoding: chunked, chunked\r\n\r\n"],
    "signed length": [b"Content-Length: +2\r\n\r\n{}", b"Content-Length: +2\r\n\r\n"],
    "a length that wraps": [b"Content-Length: 18446744073709551618\r\n\r\n{}"],
    "space in name": [b"Content-Length : 2\r\n\r\n{}", b"Content-Length : 2\r\n\r\n"],
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_H07_ambiguous_requests_are_refused_and_nothing_follows_them(server, kind):
    smuggled = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\n".encode()
    for data in AMBIGUOUS[kind]:
        said = exchange(server, head + data + smuggled)
        assert said == b"" or said.startswith(b"HTTP/1.1 400"), said[:300]
        assert b" 200 " not in said, "the bytes after it were taken as a request"
    alive(server)


@pytest.mark.parametrize("path", [b"/health/li\x00ve", b"/health/li\rve", b"/health/live\nX-A: b"], ids=["NUL", "CR", "LF"])
def test_H07_a_path_holds_no_end_of_a_line(server, path):
    said = exchange(server, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert said == b"" or said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404")), said[:300]
    alive(server)


@pytest.mark.parametrize("path, fields, param", [
    ("chat", {"n": 16385}, "n"), ("chat", {"n": 0}, "n"), ("chat", {"n": 65}, "n"), ("chat", {"n": -2**63}, "n"),
    ("chat", {"logprobs": True, "top_logprobs": 10**9}, "top_logprobs"), ("chat", {"top_k": -2**63}, "top_k"),
    ("chat", {"top_k": -2}, "top_k"), ("chat", {"min_p": 1.5}, "min_p"),
    ("text", {"n": 16385}, "n"), ("text", {"best_of": 10**9}, "best_of"), ("text", {"logprobs": 10**9}, "logprobs"),
    ("text", {"n": 64, "prompt": ["x"] * 64}, "prompt"),
])
def test_I03_counts_beyond_their_range(server, path, fields, param):
    answer = chat(server, fields) if path == "chat" else post(
        server, "/v1/completions", {"model": "tiny", "prompt": "x", "max_tokens": 1, **fields})
    refused(answer, param)


def test_I03_each_choice_takes_a_place(server):
    """The queue's room that the answer tells is of requests; what is billed is of every choice."""
    whole = chat(server, {"n": 64, "max_tokens": 3, "ignore_eos": True}).json
    assert len(whole["choices"]) == 64 and whole["usage"]["completion_tokens"] == 3 * 64


@pytest.mark.parametrize("number", ["2147483648", "9223372036854775808", "-1", "1e400", "1.5", "0", '"7"', "[7]"])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_I04_lengths_that_are_none(server, name, number):
    body = '{"model":"tiny","messages":[{"role":"user","content":"x"}],"%s":%s}' % (name, number)
    answer = post(server, "/v1/chat/completions", body.encode())
    refused(answer)
    assert name in answer.text or "1e400" in answer.text


def test_I04_the_longest_that_may_be_asked_ends_at_the_context(server):
    whole = chat(server, {"max_tokens": 2**31 - 2, "ignore_eos": True}).json
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["total_tokens"] <= 512
    alive(server)


@pytest.mark.parametrize("path, body", [
    ("/v1/completions", {"prompt": "x", "prompt_embeds": "gASVCgAAAAAAAACMBWhlbGxvlC4="}),
    ("/v1/completions", {"prompt": {"tensor": "gASVCgAAAAAAAACMBWhlbGxvlC4="}}),
    ("/v1/completions", {"prompt": [[0.1, 0.2]]}),
    ("/v1/completions", {"prompt": [[1, 2], [2**63 - 1]]}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [
        {"type": "image_embeds", "image_embeds": "gASVCgAAAAAAAACMBWhlbGxvlC4="}]}]}),
    ("/v1/embeddings", {"input": [[0.5]]}),
    ("/v1/embeddings", {"input": [{"embedding": [0.5]}]}),
])
def test_I07_tensors_in_place_of_texts(server, path, body):
    refused(post(server, path, {"model": "tiny", **body}))
    alive(server)


def deep(depth):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


SCHEMAS = {
    "a pattern that is none": {"type": "string", "pattern": "(["},
    "a catastrophic pattern": {"type": "string", "pattern": "^(a+)+(a+)+(a+)+$" * 40},
    "a counted pattern": {"type": "string", "pattern": "((a{0,1000}){0,1000}){0,1000}"},
    "a type that is none": {"type": "robot"},
    "a count past all bounds": {"type": "array", "items": {"type": "string"}, "minItems": 2**62},
    "a length below none": {"type": "string", "minLength": -1},
    "a reference to itself alone": {"$ref": "#"},
    "a reference to elsewhere": {"$ref": "http://169.254.169.254/latest"},
    "nesting": deep(28),
    "ten megabytes": {"enum": ["x%d" % i + "y" * 1000 for i in range(10_000)]},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_I08_schemas_that_cannot_be_are_answered_within_a_second(server, name):
    """Twice where a form may be followed after all; meanwhile another client is answered as ever."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMAS[name]}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {"a": SCHEMAS[name]}}}}]
    others, stop = [], threading.Event()

    def ask_meanwhile():
        while not stop.is_set():
            others.append(chat(server))
            time.sleep(0.02)

    thread = threading.Thread(target=ask_meanwhile)
    thread.start()
    try:
        for fields in ({"response_format": form}, {"tools": tools, "tool_choice": "required"}):
            answer = chat(server, fields)
            assert answer.status in (200, 400), answer.text[:300]
            if answer.status == 400:
                assert answer.error["message"]
            # A second for the work; the rest is for sending ten megabytes and for a busy machine.
            assert answer.computed < 4, answer.computed
    finally:
        stop.set()
        thread.join()
    assert all(other.status == 200 for other in others)
    assert max(other.computed for other in others) < 4


@pytest.mark.parametrize("text", ["a" * 100_000, "^" * 1_000_000, " " * 1_000_000, "{%s}" % ",".join(
    '"k%d":[%d,{"a":null}]' % (i, i) for i in range(500))], ids=["a", "caret", "spaces", "json"])
def test_I09_long_texts_are_read_in_time_linear_in_their_length(server, text):
    """Ten times the text may take ten times as long, and as much again for the bytes' own way on a busy machine; work
    that grows with the square would take a hundred times. TokenizerLinearTests measures the tokenizer alone."""
    def tokenized(part):
        read = post(server, "/tokenize", {"model": "tiny", "prompt": part})
        assert read.status == 200 and read.json["count"] > 0
        return read.seconds

    def refused_as_too_long(part):
        answer = chat(server, {"messages": [{"role": "user", "content": part}]})
        refused(answer, within=20)
        assert answer.error["code"] == "context_length_exceeded"
        return answer.seconds

    tenth = text[:len(text) // 10]
    for taken in (tokenized, refused_as_too_long):
        small = min(taken(tenth) for _ in range(3))
        whole = min(taken(text) for _ in range(2))
        assert whole < 1 + 30 * small, (whole, small)


@pytest.mark.parametrize("path, body", [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
    ("/v1/completions", {"prompt": "x"}), ("/v1/responses", {"input": "x"}),
    ("/tokenize", {"messages": [{"role": "user", "content": "x"}]}),
])
@pytest.mark.parametrize("field, value", [
    ("chat_template", "{% for i in range(10**9) %}x{% endfor %}"), ("chat_template", "{{ ''.__class__.__mro__ }}"),
    ("chat_template_kwargs", {"chat_template": "{{ 1 }}"}), ("chat_template_kwargs", {"tokenize": True}),
    ("chat_template_kwargs", {"messages": []}), ("chat_template_kwargs", "x"),
])
def test_I11_a_request_brings_no_template(server, path, body, field, value):
    refused(post(server, path, {"model": "tiny", **body, field: value}), field)
    alive(server)


def test_I15_a_call_that_never_closes_ends_with_its_stream(server):
    """The token of `a` is forced on, so that the argument's text goes on for ever: the limit ends it, and says so."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": False}}}
    answer = chat(server, {
        "stream": True, "tools": [tool], "tool_choice": "required", "logit_bias": {"97": 100}, "max_tokens": 400})
    assert answer.status == 200
    chunks = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert chunks[-1] == "[DONE]"
    read = [json.loads(chunk) for chunk in chunks[:-1]]
    arguments = "".join(
        call["function"].get("arguments") or "" for chunk in read for choice in chunk.get("choices", [])
        for call in choice["delta"].get("tool_calls", []))
    finish = [choice["finish_reason"] for chunk in read for choice in chunk.get("choices", []) if choice["finish_reason"]]
    assert finish in (["length"], ["tool_calls"])
    assert arguments.startswith('{"x"') and len(arguments) < 4096
    if finish == ["tool_calls"]:
        json.loads(arguments)
    alive(server)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_I06_numbers_that_are_none(server, number):
    for name in ("temperature", "top_p", "presence_penalty"):
        body = '{"model":"tiny","messages":[{"role":"user","content":"x"}],"%s":%s}' % (name, number)
        refused(post(server, "/v1/chat/completions", body.encode()))
    refused(chat(server, {"logit_bias": {"999999999": 1}}), "logit_bias")
    assert ask(server, "GET", "/health/ready").status == 200

"""The unmodified `openai` client's batches, kept chats, evals and webhooks against a real server with a tiny model."""

import base64
import http.server
import json
import pathlib
import queue
import shutil
import tempfile
import threading
import time

import openai
import pytest

from conftest import ROOT, Martlet

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
EVENTS = queue.Queue()


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes webhooks; the first is refused, so that it must come again."""

    refused = set()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        first = not Receiver.refused
        if first:
            Receiver.refused.add(self.headers["webhook-id"])
        else:
            EVENTS.put((body, dict(self.headers.items())))
        self.send_response(500 if first else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="martlet-batches-"))
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "config.yaml").write_text("webhook_file: hooks.yaml\noutbound_hosts: 127.0.0.1\n")
    (home / "hooks.yaml").write_text(f"- url: http://127.0.0.1:{receiver.server_port}/hook\n  secret: {SECRET}\n")
    martlet = Martlet(home)
    try:
        martlet.json("models", "import", str(ROOT / "Tests/Golden/tiny-llama"), "--name", "tiny")
        yield martlet
    finally:
        martlet.run("stop")
        receiver.shutdown()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(
        base_url=server.url + "/v1", api_key=server.key, _strict_response_validation=True, timeout=60
    ) as client:
        yield client


@pytest.fixture(scope="module")
def lenient(server):
    """Without strict validation: the client's types have no null in an eval run's `error`, OpenAI's server does."""
    with openai.OpenAI(base_url=server.url + "/v1", api_key=server.key, timeout=60, webhook_secret=SECRET) as client:
        yield client


def upload(client, lines, purpose):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return client.files.create(file=("lines.jsonl", text.encode()), purpose=purpose)


def until(get, states, seconds=240):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        thing = get()
        if thing.status in states:
            return thing
        time.sleep(0.1)
    raise AssertionError(f"it is {thing.status}")


def line(index, **body):
    return {
        "custom_id": f"line-{index}", "method": "POST", "url": "/v1/chat/completions",
        "body": {
            "model": "tiny", "messages": [{"role": "user", "content": f"Hi {index}"}], "temperature": 0,
            "max_tokens": 4, **body}}


def test_a_batch_of_a_thousand_lines(server, client):
    lines = [line(index) for index in range(998)] + [line(998, model="nobody"), line(999, max_tokens=-1)]
    file = upload(client, lines, "batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"use": "test"},
        output_expires_after={"anchor": "created_at", "seconds": 7200})
    assert batch.status == "validating" and batch.request_counts.total == 0
    # Someone who waits goes first.
    client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hi"}], max_tokens=4)
    assert client.batches.retrieve(batch.id).request_counts.completed < 500
    done = until(lambda: client.batches.retrieve(batch.id), ["completed", "failed", "expired", "cancelled"])
    assert done.status == "completed", done.errors
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (1000, 998, 2)
    output = [json.loads(text) for text in client.files.content(done.output_file_id).text.splitlines()]
    assert [each["custom_id"] for each in output] == [f"line-{index}" for index in range(998)]
    assert len({each["id"] for each in output}) == 998
    assert all(each["response"]["status_code"] == 200 and each["error"] is None for each in output)
    assert sum(each["response"]["body"]["usage"]["completion_tokens"] for each in output) == done.usage.output_tokens
    errors = [json.loads(text) for text in client.files.content(done.error_file_id).text.splitlines()]
    assert [each["response"]["status_code"] for each in errors] == [404, 400]
    kept = client.files.retrieve(done.output_file_id)
    assert kept.purpose == "batch_output" and kept.expires_at == kept.created_at + 7200
    assert batch.id in [each.id for each in client.batches.list(limit=1)]


def test_a_batch_that_is_wrong_or_not_wanted(client):
    file = upload(client, [line(0), line(0)], "batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    failed = until(lambda: client.batches.retrieve(batch.id), ["completed", "failed"])
    assert failed.status == "failed"
    assert failed.errors.data[0].code == "duplicate_custom_id" and failed.errors.data[0].line == 2
    many = upload(client, [line(index, max_tokens=200) for index in range(3000)], "batch")
    batch = client.batches.create(
        input_file_id=many.id, endpoint="/v1/chat/completions", completion_window="24h")
    until(lambda: client.batches.retrieve(batch.id), ["in_progress"])
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    until(lambda: client.batches.retrieve(batch.id), ["cancelled"], seconds=10)
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


def test_kept_chats(client, lenient):
    made = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "Keep this"}], max_tokens=4, store=True,
        metadata={"use": "kept"})
    client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Forget this"}], max_tokens=4)
    assert [each.id for each in client.chat.completions.list()] == [made.id]
    assert [each.id for each in client.chat.completions.list(metadata={"use": "other"})] == []
    assert client.chat.completions.retrieve(made.id).choices == made.choices
    # The client's type knows only messages of assistants here.
    messages = lenient.chat.completions.messages.list(made.id).data
    assert [(each.role, each.content) for each in messages] == [("user", "Keep this")]
    assert client.chat.completions.update(made.id, metadata={"use": "changed"}).id == made.id
    assert [each.id for each in client.chat.completions.list(metadata={"use": "changed"}, model="tiny")] == [made.id]
    assert client.chat.completions.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(made.id)


def test_an_eval_of_a_model(client, lenient):
    answers = {}
    for question in ["one", "two", "three"]:
        answers[question] = client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": f"Say {question}"}], temperature=0, max_tokens=6
        ).choices[0].message.content
    answers["three"] = "something else entirely"
    made = client.evals.create(
        name="sayings",
        data_source_config={
            "type": "custom", "include_sample_schema": True,
            "item_schema": {
                "type": "object", "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
                "required": ["question", "answer"]}},
        testing_criteria=[
            {"type": "string_check", "name": "exact", "operation": "eq", "input": "{{sample.output_text}}",
             "reference": "{{item.answer}}"},
            {"type": "text_similarity", "name": "near", "evaluation_metric": "fuzzy_match", "pass_threshold": 0.9,
             "input": "{{sample.output_text}}", "reference": "{{item.answer}}"},
            {"type": "label_model", "name": "judge", "model": "tiny", "labels": ["a", "b"],
             "passing_labels": ["a", "b"], "input": [{"role": "user", "content": "Label {{sample.output_text}}"}]}],
        metadata={"use": "test"})
    assert made.name == "sayings" and client.evals.retrieve(made.id).id == made.id
    # The client's type of a file does not know the purpose that its own parameters have.
    file = upload(
        lenient, [{"item": {"question": question, "answer": answer}} for question, answer in answers.items()], "evals")
    run = lenient.evals.runs.create(
        made.id, name="first",
        data_source={
            "type": "completions", "model": "tiny", "source": {"type": "file_id", "id": file.id},
            "sampling_params": {"temperature": 0, "max_completion_tokens": 6},
            "input_messages": {
                "type": "template", "template": [{"role": "user", "content": "Say {{item.question}}"}]}})
    done = until(lambda: lenient.evals.runs.retrieve(run.id, eval_id=made.id), ["completed", "failed", "canceled"])
    counts = done.result_counts
    assert done.status == "completed" and (counts.total, counts.passed, counts.failed, counts.errored) == (3, 2, 1, 0)
    results = {each.testing_criteria: (each.passed, each.failed) for each in done.per_testing_criteria_results}
    assert results == {"exact": (2, 1), "near": (2, 1), "judge": (3, 0)}
    assert done.per_model_usage[0].invocation_count == 6
    items = list(lenient.evals.runs.output_items.list(run.id, eval_id=made.id))
    assert [item.status for item in items] == ["pass", "pass", "fail"]
    item = lenient.evals.runs.output_items.retrieve(items[2].id, eval_id=made.id, run_id=run.id)
    assert item.datasource_item["question"] == "three" and item.results[0].score == 0
    assert [each.id for each in lenient.evals.runs.list(made.id, status="completed")] == [run.id]
    assert client.evals.update(made.id, name="renamed").name == "renamed"
    assert lenient.evals.runs.delete(run.id, eval_id=made.id).deleted
    assert client.evals.delete(made.id).deleted


def test_webhooks_are_signed_as_the_client_wants(lenient):
    seen = {}
    end = time.monotonic() + 60
    wanted = {"batch.completed", "batch.failed", "batch.cancelled", "eval.run.succeeded"}
    while time.monotonic() < end and not wanted <= set(seen):
        body, headers = EVENTS.get(timeout=60)
        event = lenient.webhooks.unwrap(body, headers)
        seen[event.type] = event
        with pytest.raises(openai.InvalidWebhookSignatureError):
            lenient.webhooks.unwrap(body + b" ", headers)
    assert wanted <= set(seen)
    assert seen["batch.completed"].data.id.startswith("batch_")
    # The one that was refused came again, under the same id.
    assert Receiver.refused <= {event.id for event in seen.values()}

"""The unmodified `openai` client's files, uploads and fine-tuning against a real server with a tiny random model."""

import csv
import hashlib
import io
import json
import subprocess
import sys
import time

import openai
import pytest

from conftest import ROOT

COLOURS = ["red", "blue", "green", "white"]


def example(index):
    colour = COLOURS[index % len(COLOURS)]
    return {"messages": [
        {"role": "user", "content": f"bird {index % 16}"}, {"role": "assistant", "content": colour}]}


def lines(examples):
    return "".join(json.dumps(each) + "\n" for each in examples).encode()


@pytest.fixture(scope="module")
def server(martlet):
    martlet.json("models", "import", str(ROOT / "Tests/Golden/tiny-llama"), "--name", "tunable")
    return martlet


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(
        base_url=server.url + "/v1", api_key=server.key, _strict_response_validation=True, timeout=60
    ) as client:
        yield client


@pytest.fixture(scope="module")
def training_file(client):
    return client.files.create(file=("birds.jsonl", lines(map(example, range(64)))), purpose="fine-tune")


def finished(client, job, status="succeeded"):
    end = time.monotonic() + 240
    while time.monotonic() < end:
        job = client.fine_tuning.jobs.retrieve(job.id)
        if job.status in ("succeeded", "failed", "cancelled"):
            assert job.status == status, job.error
            return job
        time.sleep(0.2)
    raise AssertionError(f"{job.id} is {job.status}")


# Files and uploads


def test_files(server, client, training_file, tmp_path):
    assert training_file.status == "processed" and training_file.expires_at is None
    assert client.files.retrieve(training_file.id) == training_file
    assert client.files.content(training_file.id).read() == lines(map(example, range(64)))
    assert training_file.id in [file.id for file in client.files.list(purpose="fine-tune", limit=1)]
    assert "birds" in [row["name"] for row in server.json("data", "list")["data"]]

    # Names in any script, from a path, with an expiry; and a name with a quote and a backslash.
    path = tmp_path / "雨燕 data.jsonl"
    path.write_bytes(lines(map(example, range(3))))
    made = client.files.create(
        file=path, purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})
    assert made.filename == path.name and made.expires_at == made.created_at + 3600
    odd = client.files.create(file=('a"b.txt', b"x"), purpose="user_data")
    assert odd.filename == 'a"b.txt'
    for file in [made, odd]:
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file.id)


@pytest.mark.parametrize("fields, param", [
    ({"purpose": "batch_output"}, "purpose"), ({"purpose": "x"}, "purpose"), ({"file": ("a", b"")}, "file"),
    ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
    ({"extra_body": {"colour": "red"}}, "colour"),
])
def test_bad_files(client, fields, param):
    with pytest.raises(openai.BadRequestError) as failure:
        client.files.create(**{"file": ("a.jsonl", b"{}\n"), "purpose": "fine-tune", **fields})
    assert failure.value.param == param


def test_uploads(client, tmp_path):
    content = lines(map(example, range(1000)))
    upload = client.uploads.create(
        bytes=len(content), filename="parts.jsonl", mime_type="text/jsonl", purpose="fine-tune")
    half = len(content) // 2
    second = client.uploads.parts.create(upload.id, data=content[half:])
    first = client.uploads.parts.create(upload.id, data=content[:half])
    with pytest.raises(openai.BadRequestError):
        client.uploads.complete(upload.id, part_ids=[first.id], md5=hashlib.md5(content).hexdigest())
    done = client.uploads.complete(
        upload.id, part_ids=[first.id, second.id], md5=hashlib.md5(content).hexdigest())
    assert done.status == "completed" and client.files.content(done.file.id).read() == content
    # The client's own way with a large file.
    path = tmp_path / "chunks.jsonl"
    path.write_bytes(content)
    chunked = client.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="fine-tune", part_size=10_000)
    assert client.files.content(chunked.file.id).read() == content
    given_up = client.uploads.create(bytes=3, filename="x", mime_type="text/plain", purpose="user_data")
    assert client.uploads.cancel(given_up.id).status == "cancelled"


# Jobs


@pytest.fixture(scope="module")
def tuned(client, training_file):
    job = client.fine_tuning.jobs.create(
        model="tunable", training_file=training_file.id, validation_file=training_file.id, suffix="birds",
        metadata={"team": "north"}, seed=1,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}}})
    assert job.object == "fine_tuning.job" and job.fine_tuned_model is None and job.seed == 1
    return finished(client, job)


def test_job(server, client, tuned):
    assert tuned.fine_tuned_model.startswith("ft:tunable:default:birds:")
    assert tuned.hyperparameters.n_epochs == 2 and isinstance(tuned.hyperparameters.batch_size, int)
    assert tuned.trained_tokens > 0 and tuned.finished_at >= tuned.created_at
    assert tuned.metadata == {"team": "north"} and tuned.method.type == "supervised"
    assert tuned.id in [job.id for job in client.fine_tuning.jobs.list(metadata={"team": "north"})]
    assert tuned.id not in [job.id for job in client.fine_tuning.jobs.list(metadata={"team": "south"})]
    jobs = {job["id"]: job for job in server.json("jobs", "list")["data"]}
    assert jobs[tuned.id]["kind"] == "fine_tune"


def test_events_and_results(client, tuned):
    events = list(client.fine_tuning.jobs.list_events(tuned.id, limit=5))
    assert events[0].message == "The job has successfully completed"
    assert events[-1].message == f"Created fine-tuning job: {tuned.id}"
    assert len({event.id for event in events}) == len(events)
    steps = [event.data for event in events if event.type == "metrics"]
    assert len(steps) > 2 and steps[0]["step"] > steps[-1]["step"]
    assert steps[0]["train_loss"] < steps[-1]["train_loss"]
    table = list(csv.DictReader(io.StringIO(client.files.content(tuned.result_files[0]).text)))
    assert [int(row["step"]) for row in table] == [step["step"] for step in reversed(steps)]
    assert float(table[-1]["train_loss"]) == pytest.approx(steps[0]["train_loss"])


def ask(client, model):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "bird 1"}], max_tokens=4, temperature=0)


def test_tuned_model_and_checkpoints_answer(client, tuned):
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(tuned.id, limit=1))
    assert len(checkpoints) == 2 and checkpoints[0].step_number > checkpoints[1].step_number
    assert checkpoints[0].metrics.step == checkpoints[0].step_number
    ids = [model.id for model in client.models.list()]
    for name in [tuned.fine_tuned_model, *[point.fine_tuned_model_checkpoint for point in checkpoints]]:
        assert name in ids and client.models.retrieve(name).id == name
        answer = ask(client, name)
        assert answer.model == name and answer.usage.completion_tokens > 0
    with pytest.raises(openai.NotFoundError):
        ask(client, tuned.fine_tuned_model + "x")


def test_a_retry_makes_one_job_and_a_second_run_makes_a_second(server, client, training_file):
    """The first answer is lost on the way; the client repeats the request by itself."""
    fields = {"model": "tunable", "training_file": training_file.id, "suffix": "once"}
    body = {"headers": {"x-stainless-retry-count": "0"}}
    first = client.fine_tuning.jobs.create(**fields, extra_headers=body["headers"])
    again = client.fine_tuning.jobs.create(**fields, extra_headers={"x-stainless-retry-count": "1"})
    second = client.fine_tuning.jobs.create(**fields)
    assert first.id == again.id != second.id
    for job in [first, second]:
        client.fine_tuning.jobs.cancel(job.id)
        finished(client, job, "cancelled")


def test_pause_and_resume(server, client, training_file):
    lenient = openai.OpenAI(base_url=server.url + "/v1", api_key=server.key)
    job = lenient.fine_tuning.jobs.create(
        model="tunable", training_file=training_file.id, hyperparameters={"n_epochs": 1})
    lenient.fine_tuning.jobs.pause(job.id)
    end = time.monotonic() + 60
    while (job := lenient.fine_tuning.jobs.retrieve(job.id)).status not in ("paused", "succeeded"):
        assert job.status != "failed" and time.monotonic() < end
        time.sleep(0.1)
    if job.status == "paused":
        lenient.fine_tuning.jobs.resume(job.id)
    assert finished(lenient, job).fine_tuned_model


@pytest.mark.parametrize("fields, param", [
    ({"model": "flowers"}, "model"), ({"training_file": "file-0"}, "training_file"), ({"suffix": "x" * 65}, "suffix"),
    ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
    ({"extra_body": {"epochs": 3}}, "epochs"),
])
def test_bad_jobs(client, training_file, fields, param):
    with pytest.raises(openai.BadRequestError) as failure:
        client.fine_tuning.jobs.create(**{"model": "tunable", "training_file": training_file.id, **fields})
    assert failure.value.param == param
    with pytest.raises(openai.NotFoundError) as failure:
        client.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=training_file.id)
    assert failure.value.code == "model_not_found"


def test_a_broken_line_is_named(client):
    data = lines(map(example, range(4710))) + b'{"messages": [\n' + lines([example(1)])
    file = client.files.create(file=("broken.jsonl", data), purpose="fine-tune")
    job = finished(client, client.fine_tuning.jobs.create(model="tunable", training_file=file.id), "failed")
    assert "4711" in job.error.message and job.error.code and job.fine_tuned_model is None


def test_leaving_a_hosted_account(server, client, tuned, tmp_path):
    """The migration script, with this server in place of the account that is left."""
    def run(*arguments):
        result = subprocess.run(
            [sys.executable, str(ROOT / "scripts/leave-openai"), *arguments, "--url", server.url + "/v1", "--key",
             server.key], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        return result.stdout

    folder = tmp_path / "account"
    run("export", str(folder))
    kept = json.loads((folder / "jobs" / f"{tuned.id}.json").read_text())
    assert kept["checkpoints"] and kept["events"]
    assert (folder / "files" / f"{tuned.training_file}.data").read_bytes() == lines(map(example, range(64)))
    for path in (folder / "jobs").glob("*.json"):
        if path.stem != tuned.id:
            path.unlink()
    assert tuned.id in run("replay", str(folder), "--model", "tunable=tunable", "--dry-run")
    made = run("replay", str(folder), "--model", "tunable=tunable").split(": ")[1].strip()
    job = client.fine_tuning.jobs.retrieve(made)
    assert made != tuned.id and job.metadata == tuned.metadata and job.hyperparameters.n_epochs == 2
    client.fine_tuning.jobs.cancel(made)

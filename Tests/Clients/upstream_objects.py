"""What the client's own tests ask for, made on a real server."""

import json
import time

PART = b"Example data"
CHAT = [{"role": "user", "content": "the man"}]


def batch_lines(count):
    return b"".join(json.dumps({
        "custom_id": f"line-{index}", "method": "POST", "url": "/v1/responses",
        "body": {"model": "tiny", "input": "the man", "max_output_tokens": 2}}).encode() + b"\n"
        for index in range(count))


class Objects:
    """The things on one server that the tests ask for."""

    def __init__(self, server, client, folder):
        self.server, self.client, self.folder = server, client, folder
        self.spares = 0
        self.made, self.all = {}, {}

    def begin(self):
        """For the next test: what belongs together in one test is made once in it, and no job of the last one runs on."""
        if "job" in self.made or "created" in self.made:
            self.cancel_jobs()
        self.made = {}

    def once(self, name, make):
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def kept(self, name, make):
        """Once for all tests."""
        if name not in self.all:
            self.all[name] = make()
        return self.all[name]

    def model(self):
        return "tiny"

    def spare_model(self):
        """A model that may be deleted."""
        self.spares += 1
        name = f"spare-{self.spares}"
        self.server.json("models", "import", str(self.folder), "--name", name)
        return name

    def response(self):
        return self.once("response", lambda: self.client.responses.create(
            model="tiny", input="the man", max_output_tokens=2, store=True).id)

    def item(self):
        kept = self.response()
        return self.client.responses.input_items.list(kept).data[0].id

    def completion(self):
        return self.once("completion", lambda: self.client.chat.completions.create(
            model="tiny", messages=CHAT, max_tokens=2, store=True).id)

    def upload(self, data, purpose):
        return self.client.files.create(file=("lines.jsonl", data), purpose=purpose).id

    def cancel_jobs(self):
        for job in self.client.fine_tuning.jobs.list(limit=100):
            if job.status not in ("succeeded", "failed", "cancelled"):
                self.client.fine_tuning.jobs.cancel(job.id)

    def training_file(self):
        """Also a mark that a job is made of it, which is to be ended."""
        self.made["created"] = True
        return self.kept("training file", lambda: self.upload(
            b"".join(json.dumps({"messages": [*CHAT, {"role": "assistant", "content": "in the"}]}).encode() + b"\n"
                     for _ in range(16)), "fine-tune"))

    def create_job(self, epochs):
        return self.client.fine_tuning.jobs.create(
            model="tiny", training_file=self.training_file(), metadata={"foo": "string"},
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs}}})

    def job(self):
        """One that has long to go."""
        return self.once("job", lambda: self.create_job(1000).id)

    def paused_job(self):
        job = self.job()
        self.client.fine_tuning.jobs.pause(job)
        self.wait(job, "paused")
        return job

    def finished_job(self):
        def make():
            job = self.create_job(2).id
            self.wait(job, "succeeded")
            return job
        return self.kept("finished job", make)

    def wait(self, job, status):
        end = time.monotonic() + 240
        while (found := self.client.fine_tuning.jobs.retrieve(job)).status != status:
            assert found.status not in ("failed", "cancelled") and time.monotonic() < end, found
            time.sleep(0.2)

    def job_event(self):
        return self.client.fine_tuning.jobs.list_events(self.finished_job()).data[0].id

    def checkpoint(self):
        return self.client.fine_tuning.jobs.checkpoints.list(self.finished_job()).data[0].id

    def begun_upload(self):
        return self.once("upload", lambda: self.client.uploads.create(
            bytes=len(PART), filename="x.txt", mime_type="text/plain", purpose="user_data").id)

    def part(self):
        return self.once("part", lambda: self.client.uploads.parts.create(self.begun_upload(), data=PART).id)

    def file(self):
        return self.once("file", lambda: self.upload(b'{"foo": "bar"}', "user_data"))

    def batch_file(self):
        return self.kept("batch file", lambda: self.upload(batch_lines(3), "batch"))

    def batch(self):
        return self.once("batch", lambda: self.client.batches.create(
            completion_window="24h", endpoint="/v1/responses", input_file_id=self.batch_file()).id)

    def running_batch(self):
        """One that has far more to do than is done before it is cancelled."""
        return self.once("running batch", lambda: self.client.batches.create(
            completion_window="24h", endpoint="/v1/responses",
            input_file_id=self.upload(batch_lines(5_000), "batch")).id)

    def finished_batch(self):
        def make():
            batch = self.batch()
            self.until(lambda: self.client.batches.retrieve(batch).status == "completed")
            return batch
        return self.kept("finished batch", make)

    def evaluation(self):
        return self.once("evaluation", lambda: self.client.evals.create(
            data_source_config={"type": "custom", "item_schema": {
                "type": "object", "properties": {"foo": {"type": "string"}}, "required": ["foo"]}},
            testing_criteria=[{"type": "string_check", "name": "same", "operation": "eq", "input": "{{ item.foo }}",
                               "reference": "bar"}]).id)

    def run(self):
        return self.once("run", lambda: self.client.evals.runs.create(
            self.evaluation(), data_source={"type": "jsonl", "source": {
                "type": "file_content", "content": [{"item": {"foo": "bar"}}, {"item": {"foo": "baz"}}]}}).id)

    def finished_run(self):
        run = self.run()
        self.until(lambda: self.client.evals.runs.retrieve(run, eval_id=self.evaluation()).status == "completed")
        return run

    def output_item(self):
        run = self.finished_run()
        return self.client.evals.runs.output_items.list(run, eval_id=self.evaluation()).data[0].id

    def until(self, holds):
        end = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < end, "it takes too long"
            time.sleep(0.1)

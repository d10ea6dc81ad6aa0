"""What stands in the client's own tests for things that a real server must know, and what to give in its place.

`REAL[(method, argument)]` makes the value; an argument is a keyword or the place among the plain ones. A method ending
in `*` stands for all of a resource. Each value is made anew for each test where tests change or delete it.
"""

import functools
import hashlib

from upstream_objects import PART, Objects

def has(method, argument):
    return find(method, argument) is not None


def value(objects, method, argument, given=None):
    """The value for an argument that the test gives as `given`."""
    found = find(method, argument) or EXTRA[method, argument]
    return found(objects, given) if getattr(found, "takes_given", False) else found(objects)


@functools.cache
def find(method, argument):
    resource = method.rpartition(".")[0] + ".*"
    return REAL.get((method, argument)) or REAL.get((resource, argument))


def is_absent(error, message):
    """No route of this server has that method and path."""
    return error.status_code == 405 or (error.status_code == 404 and message.startswith("there is nothing at "))


def constant(value):
    return lambda objects: value


def within(**names):
    """What the test gives, with the values of these names in it replaced, however deep."""
    def fit(objects, given):
        if isinstance(given, list):
            return [fit(objects, item) for item in given]
        if not isinstance(given, dict):
            return given
        return {key: names[key](objects) if key in names else fit(objects, value) for key, value in given.items()}
    fit.takes_given = True
    return fit


MODEL = Objects.model
SCHEMA = {"type": "object", "properties": {"foo": {"type": "string"}}, "required": ["foo"]}
BIAS = constant({"65": 0})

REAL = {
    ("models.retrieve", 0): MODEL,
    ("models.delete", 0): Objects.spare_model,
    ("completions.create", "model"): MODEL,
    ("completions.create", "best_of"): constant(1),
    ("completions.create", "logit_bias"): BIAS,
    ("chat.completions.create", "model"): MODEL,
    ("chat.completions.create", "logit_bias"): BIAS,
    ("chat.completions.create", "max_tokens"): constant(16),
    ("chat.completions.create", "max_completion_tokens"): constant(16),
    ("chat.completions.list", "model"): MODEL,
    ("chat.completions.list", "after"): Objects.completion,
    ("chat.completions.list", "limit"): constant(1),
    ("chat.completions.*", 0): Objects.completion,
    ("chat.completions.*", "completion_id"): Objects.completion,
    ("chat.completions.messages.list", "after"): Objects.completion,
    ("embeddings.create", "model"): MODEL,
    ("responses.create", "model"): MODEL,
    ("responses.create", "previous_response_id"): Objects.response,
    ("responses.create", "max_tool_calls"): constant(1),
    ("responses.compact", "model"): MODEL,
    ("responses.compact", "previous_response_id"): Objects.response,
    ("responses.*", 0): Objects.response,
    ("responses.*", "response_id"): Objects.response,
    ("responses.input_items.list", "response_id"): Objects.response,
    ("responses.input_items.list", "after"): Objects.item,
    ("responses.input_items.list", "limit"): constant(1),
    ("responses.input_tokens.count", "model"): MODEL,
    ("responses.input_tokens.count", "previous_response_id"): Objects.response,
    ("files.*", 0): Objects.file,
    ("files.list", "after"): Objects.file,
    ("files.list", "limit"): constant(1),
    ("files.list", "purpose"): constant("user_data"),
    ("files.create", "purpose"): constant("user_data"),
    ("uploads.create", "bytes"): constant(len(PART)),
    ("uploads.create", "mime_type"): constant("text/plain"),
    ("uploads.create", "purpose"): constant("user_data"),
    ("uploads.*", 0): Objects.begun_upload,
    ("uploads.*", "upload_id"): Objects.begun_upload,
    ("uploads.parts.create", "upload_id"): Objects.begun_upload,
    ("uploads.complete", "part_ids"): lambda objects: [objects.part()],
    ("uploads.complete", "md5"): constant(hashlib.md5(PART).hexdigest()),
    ("batches.create", "input_file_id"): Objects.batch_file,
    ("batches.retrieve", 0): Objects.finished_batch,
    ("batches.cancel", 0): Objects.running_batch,
    ("batches.list", "after"): Objects.finished_batch,
    ("batches.list", "limit"): constant(1),
    ("evals.create", "data_source_config"): within(item_schema=constant(SCHEMA)),
    ("evals.create", "testing_criteria"): within(model=MODEL, role=constant("user")),
    ("evals.*", 0): Objects.evaluation,
    ("evals.*", "eval_id"): Objects.evaluation,
    ("evals.list", "after"): Objects.evaluation,
    ("evals.list", "limit"): constant(1),
    ("evals.runs.*", "eval_id"): Objects.evaluation,
    ("evals.runs.*", "run_id"): Objects.run,
    ("evals.runs.list", "after"): Objects.run,
    ("evals.runs.list", "limit"): constant(1),
    ("evals.runs.output_items.*", "eval_id"): Objects.evaluation,
    ("evals.runs.output_items.*", "run_id"): Objects.finished_run,
    ("evals.runs.output_items.*", "output_item_id"): Objects.output_item,
    ("evals.runs.output_items.list", "after"): Objects.output_item,
    ("evals.runs.output_items.list", "limit"): constant(1),
    ("fine_tuning.alpha.graders.run", "model"): MODEL,
    ("fine_tuning.jobs.create", "model"): MODEL,
    ("fine_tuning.jobs.create", "training_file"): Objects.training_file,
    ("fine_tuning.jobs.create", "validation_file"): Objects.training_file,
    ("fine_tuning.jobs.retrieve", 0): Objects.finished_job,
    ("fine_tuning.jobs.cancel", 0): Objects.job,
    ("fine_tuning.jobs.pause", 0): Objects.paused_job,
    ("fine_tuning.jobs.resume", 0): Objects.paused_job,
    ("fine_tuning.jobs.list", "after"): Objects.finished_job,
    ("fine_tuning.jobs.list", "limit"): constant(1),
    ("fine_tuning.jobs.list_events", "fine_tuning_job_id"): Objects.finished_job,
    ("fine_tuning.jobs.list_events", "after"): Objects.job_event,
    ("fine_tuning.jobs.list_events", "limit"): constant(1),
    ("fine_tuning.jobs.checkpoints.list", "fine_tuning_job_id"): Objects.finished_job,
    ("fine_tuning.jobs.checkpoints.list", "after"): Objects.checkpoint,
    ("fine_tuning.jobs.checkpoints.list", "limit"): constant(1),
}

# What a call must have here though the client lets it be left out: {method: [argument]} and the values.
ADDED = {
    "responses.create": ["model", "input"],
    "responses.input_tokens.count": ["model", "input"],
    "responses.compact": ["input"],
}
EXTRA = {(method, "input"): constant("the man") for method in ADDED}

# What does not pass though the server does as it should: {call: (the places that the client's type is too narrow for, why)}.
ERRORS = "where there is no error, 'error' is null, as OpenAI's reference has it; the client's type has an object there always"
PAUSED = "a paused job's status is 'paused', as OpenAI's reference has it; the client's own type lacks that word"
CLIENT = {
    "embeddings.create": (
        {"embedding"},
        "the client asks for base64 where it is not told otherwise, and in strict mode refuses the string that it "
        "asked for before its own decoder sees it; without strict validation the call is tested in test_openai.py"),
    "completions.create": (
        {"choices.logprobs.token_logprobs", "choices.logprobs.top_logprobs"},
        "an echoed prompt's first token has no probability and is null, as OpenAI's server sends it; the client's type "
        "has a number there always"),
    "fine_tuning.jobs.pause": ({"status"}, PAUSED),
    "fine_tuning.jobs.resume": ({"status"}, PAUSED),
    "evals.runs.create": ({"error"}, ERRORS),
    "evals.runs.retrieve": ({"error"}, ERRORS),
    "evals.runs.cancel": ({"error"}, ERRORS),
    "evals.runs.list": ({"error"}, ERRORS),
    "evals.runs.output_items.retrieve": (
        {"sample.error", "sample.max_completion_tokens", "sample.seed"},
        ERRORS + "; and numbers where the graded text was given and not sampled"),
    "evals.runs.output_items.list": (
        {"sample.error", "sample.max_completion_tokens", "sample.seed"},
        ERRORS + "; and numbers where the graded text was given and not sampled"),
}


def client_limit(call, error):
    """Why the client refuses what is right, where nothing else is wrong with it."""
    places, why = CLIENT.get(call, (set(), ""))
    cause = error.__cause__
    if not hasattr(cause, "errors"):
        return None
    found = {".".join(str(step) for step in item["loc"] if not isinstance(step, int) and step != "data")
             for item in cause.errors()}
    return why if found <= places else None

"""What stands in the client's own tests for things that a real server must know, and what to give in its place.

`REAL[(method, argument)]` makes the value; an argument is a keyword or the place among the plain ones. A method ending
in `*` stands for all of a resource. Each value is made anew for each test where tests change or delete it.
"""

import functools

CHAT = [{"role": "user", "content": "the man"}]


class Objects:
    """The things on one server that the tests ask for."""

    def __init__(self, server, client, folder):
        self.server, self.client, self.folder = server, client, folder
        self.spares = 0
        self.made = {}

    def value(self, method, argument):
        return (find(method, argument) or EXTRA[method, argument])(self)

    def begin(self):
        """For the next test: what belongs together in one test is made once in it."""
        self.made = {}

    def once(self, name, make):
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

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

    def file(self):
        return self.once("file", lambda: self.upload(b'{"foo": "bar"}', "user_data"))


def has(method, argument):
    return find(method, argument) is not None


@functools.cache
def find(method, argument):
    resource = method.rpartition(".")[0] + ".*"
    return REAL.get((method, argument)) or REAL.get((resource, argument))


def is_absent(error, message):
    """No route of this server has that method and path."""
    return error.status_code == 405 or (error.status_code == 404 and message.startswith("there is nothing at "))


def constant(value):
    return lambda objects: value


MODEL = Objects.model
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
}

# What a call must have here though the client lets it be left out: {method: [argument]} and the values.
ADDED = {
    "responses.create": ["model", "input"],
    "responses.input_tokens.count": ["model", "input"],
    "responses.compact": ["input"],
}
EXTRA = {(method, "input"): constant("the man") for method in ADDED}

# What does not pass though the server does as it should: {(resource, error): why}.
CLIENT = {
    ("embeddings", "APIResponseValidationError"):
        "the client asks for base64 where it is not told otherwise, and in strict mode refuses the string that it "
        "asked for before its own decoder sees it; without strict validation the call is tested in test_openai.py",
}

"""The client's own tests of its API calls, taken from its source release and fitted to a real server.

Those tests are written for a server that answers anything: ids, models and some values in them name nothing. Here each
call of a resource has such arguments replaced in the test's syntax tree (see upstream_values.py); the client itself and
what it checks stay as they are. Of a call with every parameter, those that the server refuses by name are left out one
after another, and told.
"""

import ast
import asyncio
import dataclasses
import functools
import hashlib
import pathlib
import re
import subprocess
import sys
import tarfile
import unittest.mock

import openai
import pytest

import upstream_values

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PIN = HERE / "openai-source.txt"

# In the order of the table that is printed.
MODULES = {
    "models": ["test_models"],
    "chat.completions": ["chat/test_completions"],
    "completions": ["test_completions"],
    "embeddings": ["test_embeddings"],
    "responses": ["test_responses", "responses/test_input_items", "responses/test_input_tokens"],
    "files": ["test_files"],
    "uploads": ["test_uploads", "uploads/test_parts"],
    "fine_tuning": [
        "fine_tuning/test_jobs", "fine_tuning/jobs/test_checkpoints", "fine_tuning/checkpoints/test_permissions",
        "fine_tuning/alpha/test_graders"],
    "batches": ["test_batches"],
    "evals": ["test_evals", "evals/test_runs", "evals/runs/test_output_items"],
}


@functools.cache
def source():
    """The folder of the source release; fetched once, and refused where its hash is not the pinned one."""
    pin = re.search(r"^openai==(\S+) --hash=sha256:([0-9a-f]{64})$", PIN.read_text(), re.MULTILINE)
    version, digest = pin.groups()
    assert openai.__version__ == version, f"{PIN.name} names {version}, installed is {openai.__version__}"
    folder = ROOT / ".deps" / f"openai-source-{digest[:12]}"
    tree = folder / f"openai-{version}"
    if not (tree / "tests").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--no-binary", "openai", "--require-hashes", "-r", str(PIN), "-d", str(folder)], check=True)
        archive = folder / f"openai-{version}.tar.gz"
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == digest, f"{archive} is not what {PIN.name} names"
        with tarfile.open(archive) as members:
            members.extractall(folder, filter="data")
    return tree


@dataclasses.dataclass(frozen=True)
class Test:
    """One test function of the client's own."""

    resource: str
    module: str
    name: str
    is_async: bool

    @property
    def call(self):
        """`chat.completions.create` of `test_streaming_response_create_overload_2` in `chat/test_completions`."""
        name = re.sub(r"^test_(method|raw_response|streaming_response|path_params)_", "", self.name)
        name = re.sub(r"(_with_all_params)?(_overload_\d+)?$", "", name)
        return f"{self.module.replace('test_', '').replace('/', '.')}.{name}"

    @property
    def id(self):
        return f"{self.module}::{'async ' if self.is_async else ''}{self.name}"


@dataclasses.dataclass
class Outcome:
    """`passed`, `partly` (what the server refuses by name was left out), `refused`, `absent`, `client` (a limit of the
    client's own) or `failed`."""

    state: str
    reason: str = ""
    left_out: dict = dataclasses.field(default_factory=dict)


@functools.cache
def tree(module):
    return ast.parse((source() / "tests/api_resources" / f"{module}.py").read_text())


def functions(module):
    for item in tree(module).body:
        if isinstance(item, ast.ClassDef):
            for function in item.body:
                if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) and function.name.startswith("test"):
                    yield item, function


def tests(resources=MODULES):
    return [
        Test(resource, module, function.name, isinstance(function, ast.AsyncFunctionDef))
        for resource in resources for module in MODULES[resource]
        if (source() / "tests/api_resources" / f"{module}.py").exists()
        for _, function in functions(module)
    ]


def called(node):
    """`chat.completions.create` of a call like `client.chat.completions.with_raw_response.create(…)`."""
    names, at = [], node.func
    while isinstance(at, ast.Attribute):
        names.append(at.attr)
        at = at.value
    if not isinstance(at, ast.Name) or at.id not in ("client", "async_client"):
        return None
    return ".".join(name for name in reversed(names) if name not in ("with_raw_response", "with_streaming_response"))


class Fitting(ast.NodeTransformer):
    """Real values in place of those that name nothing, and without what is left out."""

    def __init__(self, left_out):
        self.left_out = left_out

    def visit_Call(self, node):
        self.generic_visit(node)
        method = called(node)
        if method is None:
            return node
        for index, argument in enumerate(node.args):
            node.args[index] = self.fitted(method, index, argument)
        for keyword in node.keywords:
            keyword.value = self.fitted(method, keyword.arg, keyword.value)
        given = {keyword.arg for keyword in node.keywords}
        for name in upstream_values.ADDED.get(method, []):
            if name not in given:
                node.keywords.append(ast.keyword(name, self.real(method, name, ast.Constant(None))))
        for path in self.left_out:
            leave_out(node, path)
        return node

    def fitted(self, method, name, node):
        if not upstream_values.has(method, name):
            return node
        # An empty id is what some tests are about.
        return node if isinstance(node, ast.Constant) and node.value == "" else self.real(method, name, node)

    @staticmethod
    def real(method, name, given):
        return ast.Call(ast.Name("real", ast.Load()), [ast.Constant(method), ast.Constant(name), given], [])


def leave_out(call, path):
    """Takes `tools[0].async`, or `store`, out of a call's arguments as they are written."""
    first, *rest = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]
    keyword = next((keyword for keyword in call.keywords if keyword.arg == first), None)
    if keyword is None:
        return
    node = keyword.value
    if isinstance(node, ast.Call):
        node = node.args[-1]
    for step in rest[:-1]:
        node = inside(node, step)
    if rest and isinstance(node, ast.Dict) and inside(node, rest[-1]) is not None:
        index = next(index for index, key in enumerate(node.keys) if key.value == rest[-1])
        del node.keys[index], node.values[index]
    else:
        call.keywords.remove(keyword)


def inside(node, step):
    if isinstance(node, ast.List) and isinstance(step, int) and step < len(node.elts):
        return node.elts[step]
    if isinstance(node, ast.Dict):
        return next((value for key, value in zip(node.keys, node.values) if key.value == step), None)
    return None


def function(test, left_out, real):
    """The test as a function of (self, client…), with `real(method, argument, given)` giving the values."""
    whole = tree(test.module)
    holder, found = next(
        (holder, found) for holder, found in functions(test.module)
        if found.name == test.name and isinstance(found, ast.AsyncFunctionDef) == test.is_async)
    fitted = Fitting(left_out).visit(ast.parse(ast.unparse(found)).body[0])
    fitted.decorator_list = []
    body = [item for item in whole.body if not isinstance(item, ast.ClassDef)] + [fitted]
    code = compile(ast.fix_missing_locations(ast.Module(body, [])), f"{test.module}.py", "exec")
    if str(source()) not in sys.path:
        sys.path.insert(0, str(source()))
    space = {"__name__": f"tests.api_resources.{test.module.replace('/', '.')}", "real": real}
    exec(code, space)
    return space[test.name], [argument.arg for argument in found.args.args]


def attempt(test, left_out, real, url, key):
    call, names = function(test, left_out, real)
    options = {"base_url": url, "api_key": key, "admin_api_key": key, "timeout": 300, "max_retries": 0}
    # Answers of the server take the place of the few that the client's tests make up.
    others = {name: unittest.mock.MagicMock() for name in names if name not in ("self", "client", "async_client")}

    async def asynchronously():
        async with openai.AsyncOpenAI(**options, _strict_response_validation=True) as client:
            await call(None, async_client=client, **others)

    if test.is_async:
        asyncio.run(asynchronously())
    else:
        with openai.OpenAI(**options, _strict_response_validation=True) as client:
            call(None, client=client, **others)


def run(test, objects, url, key):
    """Runs the test, leaving out one parameter after another that the server refuses by its name."""
    left_out = {}
    last = None
    while True:
        try:
            objects.begin()
            real = functools.partial(upstream_values.value, objects)
            attempt(test, left_out, real, url, key)
            return Outcome("partly", left_out=left_out) if left_out else Outcome("passed")
        except (openai.APIStatusError, pytest.fail.Exception) as error:
            # An expected warning that did not come hides the error that came in its place.
            error = error.__context__ if isinstance(error.__context__, openai.APIStatusError) else error
            if not isinstance(error, openai.APIStatusError):
                return failure(test, error, left_out)
            message = (error.body or {}).get("message", str(error)) if isinstance(error.body, dict) else str(error)
            param = error.body.get("param") if isinstance(error.body, dict) else None
            if error.status_code >= 500:
                return Outcome("failed", f"{error.status_code}: {message}", left_out)
            if upstream_values.is_absent(error, message):
                return Outcome("absent", message)
            last = f"{error.status_code}: {message}"
            may_go = "all_params" in test.name and error.status_code == 400 and param
            if not may_go or param in left_out or len(left_out) > 24:
                return Outcome("refused", last, left_out)
            left_out[param] = message
        except TypeError as error:
            if left_out and "Missing required arguments" in str(error):
                return Outcome("refused", last, left_out)
            return Outcome("failed", f"TypeError: {error}"[:300], left_out)
        except Exception as error:
            return failure(test, error, left_out)


def failure(test, error, left_out):
    known = upstream_values.client_limit(test.call, error)
    if known:
        return Outcome("client", known, left_out)
    told = f"{type(error).__name__}: {error}; {error.__cause__ or ''}"
    return Outcome("failed", " ".join(told.split())[:300], left_out)


"""The routes that OpenAI publishes, read from the installed client's own sources, and what this server says to each."""

import ast
import collections
import pathlib
import re
import urllib.error
import urllib.request

import json
import openai

METHODS = {"_get": "GET", "_post": "POST", "_put": "PUT", "_patch": "PATCH", "_delete": "DELETE", "_get_api_list": "GET"}


def published():
    """(method, path) of every call that the client's resources make, with `{name}` for what a caller fills in."""
    routes = set()
    for file in (pathlib.Path(openai.__file__).parent / "resources").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            path = template(node.args[0])
            if node.func.attr in METHODS and path:
                given = [k.value.value for k in node.keywords if k.arg == "method" and isinstance(k.value, ast.Constant)]
                routes.add((given[0].upper() if given else METHODS[node.func.attr], path))
    return sorted(routes, key=lambda route: (route[1], route[0]))


def template(node):
    """A path as it is written: a text, or the first argument of `path_template`."""
    if isinstance(node, ast.Call) and node.args:
        node = node.args[0]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/"):
        return node.value.split("?")[0]
    return None


def ours(url):
    """(method, path) of every route in this server's own description."""
    with urllib.request.urlopen(f"{url}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    return {(method.upper(), bare(path)) for path, operations in paths.items() for method in operations}


def bare(path):
    return re.sub(r"\{[^}]*\}", "{}", path)


def state(url, key, method, path, known):
    """`answered`, or `refused` with the server's words where it says that it does not offer this, or `absent`."""
    if (method, "/v1" + bare(path)) in known:
        return "answered", ""
    request = urllib.request.Request(
        f"{url}/v1{bare(path).replace('{}', 'x')}", method=method, headers={"Authorization": f"Bearer {key}"},
        data=b"{}" if method in ("POST", "PUT", "PATCH") else None)
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        message = json.load(error)["error"]["message"]
        if "is not offered" in message:
            return "refused", message.partition("is not offered: ")[2]
    return "absent", ""


def coverage(url, key):
    """[(method, path, state, reason)] of what is published."""
    known = ours(url)
    return [(method, path, *state(url, key, method, path, known)) for method, path in published()]


def group(path):
    """What a route belongs to: its first step, or the first two of a fine-tuning or an organisation's route."""
    steps = path.strip("/").split("/")
    return steps[0]


def table(routes):
    """Rows of (group, published, answered, refused, absent), the best answered first."""
    counts = collections.defaultdict(collections.Counter)
    for _, path, state, _ in routes:
        counts[group(path)][state] += 1
    rows = [(name, sum(c.values()), c["answered"], c["refused"], c["absent"]) for name, c in counts.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))

"""docs/openai-coverage.md: how much of OpenAI's published API this server answers, made by running it.

Run by scripts/openai-coverage, and by test_api_resources.py against what is committed.
"""

import collections
import re

import openai

import openai_routes
import upstream_tests

PAGE = upstream_tests.ROOT / "docs/openai-coverage.md"

STATES = {
    "passed": "passed", "partly": "passed without what is refused by name", "refused": "refused",
    "absent": "no such route", "client": "the client's own limit", "failed": "failed",
}


def steady(text):
    """Without what differs from run to run: ids and numbers of times."""
    kinds = "resp|chatcmpl|cmpl|file|upload|part|batch|eval|evalrun|ftjob|job|msg|fc|outputitem"
    text = re.sub(rf"\b({kinds})[_-][0-9A-Za-z_-]{{6,}}", r"\1…", text)
    return re.sub(r"spare-\d+|\b\d{9,}\b", "…", text)


def summary(outcomes):
    """Rows of (resource, tests, passed, partly, refused, absent, client, failed)."""
    counts = collections.defaultdict(collections.Counter)
    for test, outcome in outcomes:
        counts[test.resource][outcome.state] += 1
    rows = [(name, sum(c.values()), *[c[state] for state in STATES]) for name, c in counts.items()]
    return rows + [("all", *[sum(column) for column in list(zip(*rows))[1:]])]


def markdown(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]


def left_out(outcomes):
    """(method, parameter, reason) of what was left out, each once; the same for both overloads and async."""
    rows = {}
    for test, outcome in outcomes:
        for name, reason in outcome.left_out.items():
            rows[test.call, name] = steady(reason)
    return [(call, f"`{parameter}`", reason) for (call, parameter), reason in rows.items()]


def not_passed(outcomes):
    """(call, how many, state, reason) of what neither passed nor passed in part."""
    rows = collections.Counter(
        (test.call, STATES[outcome.state], steady(outcome.reason))
        for test, outcome in outcomes if outcome.state not in ("passed", "partly"))
    return [(call, count, state, reason) for (call, state, reason), count in rows.items()]


def page(outcomes, routes):
    answered = sum(state == "answered" for *_, state, _ in routes)
    offered = {openai_routes.group(path) for _, path, state, _ in routes if state == "answered"}
    within = [state for _, path, state, _ in routes if openai_routes.group(path) in offered]
    unsent = sum(test.name.startswith("test_path_params") for test, _ in outcomes)
    reasons = dict.fromkeys(
        (openai_routes.group(path), reason) for _, path, state, reason in routes if state == "refused")
    lines = [
        "# How much of OpenAI's API is answered", "",
        f"Made by `scripts/openai-coverage` with `openai` {openai.__version__}, and compared by `make test-clients`; "
        "not edited by hand.", "",
        "## The client's own tests of its calls", "",
        "The tests in the client's source release (`tests/api_resources`) run against a real `martlet serve` with a "
        "tiny random model, the client unmodified, strict validation on, sync and async. They are written for a "
        "server that answers anything: ids, model names and some values in them name nothing, so those are replaced "
        "by real ones (`Tests/Clients/upstream_values.py`). Of a call with every parameter, those that are refused "
        "by name are left out one after another, and listed. "
        f"{unsent} of the tests are about an empty id, which the client itself refuses: they pass with any server.",
        "",
        *markdown(["resource", "tests", *STATES.values()], summary(outcomes)), "",
        "### Left out, as the server refuses them by name", "",
        *markdown(["call", "parameter", "what the server says"], left_out(outcomes)), "",
        "### What does not pass, and why", "",
        *markdown(["call", "tests", "state", "reason"], not_passed(outcomes)), "",
        "## Published routes", "",
        f"The client's sources name {len(routes)} routes (method and path; websockets are not counted). {answered} "
        f"are answered: {answered} of {len(within)} in the groups of which any is answered. The rest is refused "
        "with a reason, or absent.", "",
        *markdown(["group", "published", "answered", "refused by name", "absent"], openai_routes.table(routes)), "",
        "### Answered", "", *[f"- `{method} {path}`" for method, path, state, _ in routes if state == "answered"], "",
        "### Not answered, of the groups above", "",
        *([f"- `{method} {path}`{': ' + reason if reason else ''}" for method, path, state, reason in routes
           if state != "answered" and openai_routes.group(path) in offered] or ["None."]), "",
        "### Refused by name", "", *[f"- {name}: {reason}" for name, reason in reasons],
    ]
    return "\n".join(lines) + "\n"


def told(outcomes, routes):
    """What is printed: the two figures and everything that failed."""
    *_, row = summary(outcomes)
    states = dict(zip(STATES, row[2:]))
    lines = [f"client's own tests: {row[1]}: " + ", ".join(f"{count} {STATES[name]}" for name, count in states.items())]
    counts = collections.Counter(state for *_, state, _ in routes)
    lines.append(
        f"published routes: {len(routes)}: {counts['answered']} answered, {counts['refused']} refused by name, "
        f"{counts['absent']} absent")
    return lines + [f"failed: {test.id}: {outcome.reason}" for test, outcome in outcomes if outcome.state == "failed"]


def write(outcomes, routes):
    PAGE.write_text(page(outcomes, routes), encoding="utf-8")

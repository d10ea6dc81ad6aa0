"""The client's own tests of its calls and the published routes, against a real server; see openai_coverage.py."""

import os
import warnings

import openai
import pytest

import openai_coverage
import openai_routes
import upstream_tests
from upstream_objects import Objects

OUTCOMES = []
TESTS = upstream_tests.tests()


@pytest.fixture(scope="session")
def objects(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key=server.key) as client:
        yield Objects(server, client, upstream_tests.ROOT / "Tests/Golden/tiny-llama")


@pytest.mark.parametrize("test", TESTS, ids=[test.id for test in TESTS])
def test_upstream(test, objects, server):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = upstream_tests.run(test, objects, server.url + "/v1", server.key)
    OUTCOMES.append((test, outcome))
    assert outcome.state != "failed", outcome.reason


def test_the_page_is_current(server, capsys):
    """Written anew where MARTLET_COVERAGE is set, as scripts/openai-coverage does; else compared."""
    if len(OUTCOMES) < len(TESTS):
        pytest.skip("only some of the client's tests ran")
    routes = openai_routes.coverage(server.url, server.key)
    if os.environ.get("MARTLET_COVERAGE"):
        openai_coverage.write(OUTCOMES, routes)
    with capsys.disabled():
        print("\n" + "\n".join(openai_coverage.told(OUTCOMES, routes)))
    made = openai_coverage.page(OUTCOMES, routes).splitlines()
    kept = openai_coverage.PAGE.read_text(encoding="utf-8").splitlines()
    new, gone = [l for l in made if l not in kept], [l for l in kept if l not in made]
    assert not new and not gone, f"run scripts/openai-coverage; new: {new}; gone: {gone}"

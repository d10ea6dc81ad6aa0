"""Models in the forms that users hold them in, from the file to the client: the continuations are those of transformers."""

import json
import math

import openai
import pytest
import torch
import transformers

import conftest
import raw_http
from adapters import write_adapter
from conftest import ROOT

GOLDEN = json.loads((ROOT / "Tests/Clients/golden/served.json").read_text())


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A server that computes in float32, with each of the golden models."""
    folder = tmp_path_factory.mktemp("exact")
    (folder / "home").mkdir()
    (folder / "home/config.yaml").write_text("language_precision: float32\n")
    exact = conftest.Martlet(folder / "home")
    try:
        exact.json("models", "import", str(ROOT / "Tests/Golden/tiny-llama"), "--name", "tiny")
        adapter = write_adapter(folder / "adapter", "someone/tiny")
        exact.json("models", "import", str(adapter), "--name", "adapted", "--base", "tiny")
        gguf = ROOT / "Tests/MartletModelsTests/Golden/gguf/llama.gguf"
        exact.json("models", "import", str(gguf), "--name", "gguf")
        yield exact
    finally:
        exact.run("stop")


@pytest.mark.parametrize("model", GOLDEN)
def test_greedy_continuations_are_those_of_transformers(exact, model):
    client = openai.OpenAI(base_url=exact.url + "/v1", api_key=exact.key)
    for case in GOLDEN[model]:
        for fields in ({}, {"n": 3}):
            made = client.completions.create(
                model=model, prompt=case["prompt"], max_tokens=len(case["tokens"]), temperature=0, logprobs=1,
                extra_body={"ignore_eos": True}, **fields)
            for choice in made.choices:
                assert choice.logprobs.token_logprobs == pytest.approx(case["logprobs"], abs=2e-4)
        if model != "gguf":
            # Ids are not in the answer; what they spell is. A run of broken bytes is spelt whole by the file's decoder.
            spelt = raw_http.post(exact, "/detokenize", {"model": model, "tokens": case["tokens"]}).json["prompt"]
            assert made.choices[0].text == spelt


def test_texts_are_measured_as_transformers_does(exact, tmp_path):
    """Each text on its own; a long one in windows of the context, each from the token that ends the one before."""
    source = str(ROOT / "Tests/Golden/tiny-llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    texts = ["the swift in the wind", "雨燕 in the rain\n" * 90, "a"]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    losses = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for start in range(0, len(ids) - 1, 512):
            window = torch.tensor([ids[start:start + 513]])
            with torch.no_grad():
                logits = model(window[:, :-1]).logits[0]
            losses += torch.nn.functional.cross_entropy(logits, window[0, 1:], reduction="none").tolist()
    assert len(losses) > 600
    measured = exact.json("evaluate", "tiny", str(tmp_path / "texts.jsonl"))["result"]
    assert measured["precision"] == "float32" and measured["texts"] == 3 and measured["tokens"] == len(losses)
    assert measured["metrics"]["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)
    assert measured["metrics"]["perplexity"] == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-5)
    # What an adapter changes is measured with it, and what cannot be measured says what to do.
    adapted = exact.json("evaluate", "adapted", str(tmp_path / "texts.jsonl"))["result"]
    assert adapted["tokens"] == len(losses) and adapted["metrics"]["loss"] != measured["metrics"]["loss"]


def test_a_gguf_file_chats_by_its_own_template(exact):
    client = openai.OpenAI(base_url=exact.url + "/v1", api_key=exact.key, _strict_response_validation=True)
    made = client.chat.completions.create(
        model="gguf", messages=[{"role": "user", "content": "the man"}], max_tokens=8, temperature=0)
    assert made.usage.prompt_tokens > 0 and made.choices[0].finish_reason in ("stop", "length")
    card = exact.json("models", "show", "gguf")
    assert "float16" in json.dumps(card), "what became of its blocks is told"

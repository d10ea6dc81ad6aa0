"""Folders that martlet exports load in transformers, whole, and give the logits of the folders that were imported.

The models are those of `scripts/golden/make_language.py`; their logits, which the Swift tests hold Martlet to, come from
transformers as well.
"""

import json
import pathlib
import sys

import numpy
import openai
import pytest
import safetensors.torch
import torch
import transformers

import conftest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts/golden"))
from make_language import ROWS, TEXTS, prompt, text, weight  # noqa: E402

LANGUAGE = ROOT / "Tests/MartletModelsTests/Golden/language"
NAMES = sorted(path.name for path in LANGUAGE.iterdir() if not path.name.startswith("adapter-"))
GGUF = ROOT / "Tests/MartletModelsTests/Golden/gguf"


def loaded(folder):
    """The model of a folder, with nothing missing and nothing left over."""
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    name = config["architectures"][0]
    # As its AutoConfig takes one whose layers differ.
    name = name.replace("Mistral", "Ministral") if "layer_types" in config else name
    kind = getattr(transformers, name)
    model, found = kind.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not found[problem], (problem, found[problem])
    # Version 5 takes every UMT5 as tied, and scales its logits so; the folder says what it is.
    model.config.tie_word_embeddings = config.get("tie_word_embeddings", model.config.tie_word_embeddings)
    return model.eval()


def results(model, keys):
    """What the golden file has of a model, computed again."""
    name = type(model).__name__
    for key in sorted(keys):
        kind, _, number = key.partition("/")
        if kind == "greedy":
            continue
        if "T5" in name:
            length, start = TEXTS[int(number)]
            source, answer = torch.tensor([text(length, start)]), torch.tensor([[0] + text(59, 7)])
            yield key, model(input_ids=source, decoder_input_ids=answer).logits[0, -3:]
        elif name.endswith(("CausalLM", "LMHeadModel")):
            yield key, model(torch.tensor([prompt(int(number))])).logits[0, -ROWS:]
        else:
            length, start = TEXTS[int(number)]
            given = {"input_ids": torch.tensor([text(length, start)])}
            if "Roberta" not in name:
                given["token_type_ids"] = torch.tensor([[0] * (length // 2) + [1] * (length - length // 2)])
            output = model(**given, output_hidden_states=True)
            yield key, output.hidden_states[-1][0, -4:] if kind == "hidden" else getattr(output, kind)[0]


# An import wants a tokenizer; which one is all the same here.
WORDS = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
    "model": {"type": "WordLevel", "vocab": {f"w{number}": number for number in range(131)}, "unk_token": "w0"}}


def exported(server, source, name, tmp_path):
    server.json("models", "import", str(source), "--name", name)
    try:
        server.run("models", "export", name, str(tmp_path / "exported"))
    finally:
        server.run("models", "delete", name, "--force")
    return tmp_path / "exported"


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_folder_gives_the_same_logits(server, name, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text((LANGUAGE / name / "config.json").read_text())
    (source / "tokenizer.json").write_text(json.dumps(WORDS))
    shapes = json.loads((LANGUAGE / name / "shapes.json").read_text())
    weights = {tensor: weight(tensor, shape) for tensor, shape in shapes.items()}
    safetensors.torch.save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    model = loaded(exported(server, source, f"export-{name}", tmp_path))
    expected = safetensors.torch.load_file(LANGUAGE / name / "expected.safetensors")
    with torch.no_grad():
        computed = dict(results(model, expected))
    assert computed
    for key, value in computed.items():
        assert (value - expected[key]).abs().max() <= 1e-4, key


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2", "gemma3", "phi3"])
def test_a_gguf_file_comes_out_as_a_folder_with_its_logits(server, name, tmp_path):
    model = loaded(exported(server, GGUF / f"{name}.gguf", f"export-gguf-{name}", tmp_path))
    count = model.config.vocab_size
    tokens = [(7 * i * i + 13 * i + 5) % (count - 3) + 3 for i in range(40)]
    expected = safetensors.torch.load_file(GGUF / f"{name}.safetensors")["logits"]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0, -3:]
    # Its blocks are kept as float16.
    assert (logits - expected).abs().max() <= 1e-3 * expected.abs().max()


RECIPE = """
name: {name}
data: {{source: words.txt, split: {{train: 0.9, validation: 0.1, test: 0}}}}
model: {{architecture: {name}, layers: 2, heads: 4, width: 32, context: 48, tokenizer: characters}}
training: {{steps: 30, batch_size: 8, optimizer: {{type: adamw, learning_rate: 0.01}}, seed: 1}}
"""


@pytest.mark.parametrize("name", ["gpt", "llama", "qwen2", "qwen3", "mistral"])
def test_a_model_trained_here_gives_in_transformers_what_it_gives_here(name, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/config.yaml").write_text("language_precision: float32\n")
    (tmp_path / "words.txt").write_text("the swift is a bird that never lands, and so it goes on.\n" * 60)
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(name=name))
    server = conftest.Martlet(tmp_path / "home")
    try:
        server.json("train", str(tmp_path / "recipe.yaml"))
        server.run("models", "export", name, str(tmp_path / "exported"))
        client = openai.OpenAI(base_url=server.url + "/v1", api_key=server.key)
        made = client.completions.create(
            model=name, prompt="a bird that lands", max_tokens=0, echo=True, logprobs=0).choices[0]
    finally:
        server.run("stop")
    model = loaded(tmp_path / "exported")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "exported/tokenizer.json"))
    ids = tokenizer("a bird that lands", add_special_tokens=False)["input_ids"]
    assert made.text == "a bird that lands" and len(ids) == 17
    with torch.no_grad():
        chances = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    expected = [chances[place, token].item() for place, token in enumerate(ids[1:])]
    assert numpy.abs(numpy.array(made.logprobs.token_logprobs[1:]) - expected).max() <= 1e-4

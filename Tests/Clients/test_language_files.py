"""Model files that must be refused, or taken without what is dangerous in them. The cases' ids stand in the names."""

import json
import shutil
import struct

import pytest

from adapters import write_adapter
from conftest import ROOT
from raw_http import alive, chat, post

TINY = ROOT / "Tests/Golden/tiny-llama"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(TINY, tmp_path / "model")
    return tmp_path / "model"


def refused(server, path, *words, options=()):
    """The import fails with the reason, leaves nothing, and the server goes on."""
    before = [model["name"] for model in server.json("models", "list")["data"]]
    result = server.run("models", "import", str(path), "--name", "bad", *options, code=None)
    assert result.returncode in (65, 66), f"{result.returncode}: {result.stderr}"
    assert "ended with code" not in result.stderr and "started again" not in result.stderr, result.stderr
    assert all(word in result.stderr for word in words), result.stderr
    assert [model["name"] for model in server.json("models", "list")["data"]] == before
    alive(server)


def split(data):
    length, = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length]), data[8 + length:]


def joined(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def change(name, edit):
    def changed(whole):
        header, data = split(whole)
        names = [key for key in header if key != "__metadata__"]
        edit(header, names)
        return joined(header, data)
    changed.__name__ = name
    return changed


def overlap(header, names):
    header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]


def hole(header, names):
    last = max(names, key=lambda name: header[name]["data_offsets"][1])
    begin, end = header[last]["data_offsets"]
    header[last]["data_offsets"] = [begin + 4, end + 4]


def overflow(header, names):
    header[names[0]]["shape"] = [2**62, 2**62]


def negative(header, names):
    header[names[0]]["data_offsets"] = [-4, 0]


def twice(whole):
    header, data = split(whole)
    text = json.dumps(header).encode()
    name = next(key for key in header if key != "__metadata__")
    entry = b',' + json.dumps(name).encode() + b':' + json.dumps(header[name]).encode()
    return joined(text[:-1] + entry + b'}', data)


BROKEN = {
    "a header past the end": lambda whole: struct.pack("<Q", 2**40) + whole[8:],
    "a header of 2^63": lambda whole: struct.pack("<Q", 2**63) + whole[8:],
    "a header over 100 MB": lambda whole: struct.pack("<Q", 200 << 20) + whole[8:],
    "overlapping": change("overlap", overlap),
    "a hole": change("hole", hole),
    "a shape that overflows": change("overflow", overflow),
    "an offset below none": change("negative", negative),
    "a name twice": twice,
    "bytes behind": lambda whole: whole + b"PK\x03\x04",
    "another beginning": lambda whole: whole[:8] + b"PK" + whole[10:],
    "cut": lambda whole: whole[:-1000],
    "empty": lambda whole: b"",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_M03_broken_safetensors_are_refused(server, folder, kind):
    file = folder / "model.safetensors"
    file.write_bytes(BROKEN[kind](file.read_bytes()))
    refused(server, folder, "model.safetensors")


def sharded(folder):
    """Cuts the weights in two files; the index of which tensor is where."""
    header, data = split((folder / "model.safetensors").read_bytes())
    names = sorted((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
    index = {}
    for number, part in enumerate((names[:5], names[5:]), 1):
        start, end = header[part[0]]["data_offsets"][0], header[part[-1]]["data_offsets"][1]
        own = {name: {**header[name], "data_offsets": [place - start for place in header[name]["data_offsets"]]}
               for name in part}
        file = f"model-0000{number}-of-00002.safetensors"
        (folder / file).write_bytes(joined(own, data[start:end]))
        index |= dict.fromkeys(part, file)
    (folder / "model.safetensors").unlink()
    return index


def test_M03_a_sharded_folder_is_taken_whole_and_from_nowhere_else(server, folder, tmp_path):
    index = sharded(folder)

    def write(names):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))

    write(index)
    server.json("models", "import", str(folder), "--name", "sharded")
    server.run("models", "delete", "sharded", "--force")
    last = folder / "model-00002-of-00002.safetensors"
    whole = last.read_bytes()
    last.write_bytes(whole[:-1000])
    refused(server, folder, last.name)
    last.write_bytes(whole)
    # What is named is there, and would be good.
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(whole)
    for target, reason in [("missing.safetensors", "not in the folder"), ("../outside.safetensors", "same folder"),
                           (str(outside), "same folder"), ("/etc/passwd", "same folder")]:
        write({name: target if file == last.name else file for name, file in index.items()})
        refused(server, folder, reason)


def test_what_an_import_left_out_is_on_the_models_card(server, folder):
    """Tiny as the text part of a Llava, beside a tower that is left out."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "text_config": config,
        "vision_config": {"model_type": "clip_vision_model"}, "tie_word_embeddings": False}))
    header, data = split((folder / "model.safetensors").read_bytes())
    named = {name if name == "__metadata__" else f"language_model.{name}": entry for name, entry in header.items()}
    for number in range(2):
        begin = len(data) + 32 * number
        named[f"vision_tower.{number}"] = {"dtype": "F32", "shape": [2, 4], "data_offsets": [begin, begin + 32]}
    (folder / "model.safetensors").write_bytes(joined(named, data + bytes(64)))
    server.run("models", "import", str(folder), "--name", "seeing")
    try:
        told = ("the text part of LlavaForConditionalGeneration was taken, as LlamaForCausalLM; what sees pictures was "
                "left out: 2 tensors of 64 bytes")
        assert told in server.json("models", "show", "seeing")["card"]["environment"]["import"]
        assert told in server.run("models", "show", "seeing").stdout
        assert chat(server, {"model": "seeing"}).json["choices"] == chat(server).json["choices"]
    finally:
        server.run("models", "delete", "seeing", "--force")


def test_a_tokenizer_with_more_tokens_than_the_embedding_is_refused(server, folder):
    count = json.loads((folder / "config.json").read_text())["vocab_size"]
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][-1], "id": count, "content": "<|past|>"})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused(server, folder, "<|past|>", str(count))


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(tensors=1, pairs=0, rest=b""):
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + rest + bytes(256)


def tensor(dimensions, kind=0, offset=0, rank=None):
    rank = len(dimensions) if rank is None else rank
    return text("a") + struct.pack("<I", rank) + b"".join(struct.pack("<Q", d) for d in dimensions) + struct.pack(
        "<IQ", kind, offset)


HOSTILE = {
    "past the end": gguf(rest=tensor([4], offset=1 << 20)),
    "a sum that wraps": gguf(rest=tensor([4], offset=2**64 - 32)),
    "a product that wraps": gguf(rest=tensor([2**40, 2**40])),
    "five dimensions": gguf(rest=tensor([1] * 5)),
    "2^32 dimensions": gguf(rest=tensor([], rank=2**32 - 1)),
    "alignment 0": gguf(0, 1, text("general.alignment") + struct.pack("<II", 4, 0)),
    "a text of 2^60": gguf(0, 1, text("a") + struct.pack("<IQ", 8, 2**60)),
    "a list of 2^60": gguf(0, 1, text("a") + struct.pack("<IIQ", 9, 4, 2**60)),
    "2^60 tensors": gguf(2**60),
    "2^60 pairs": gguf(0, 2**60),
    "an unknown format": gguf(rest=tensor([4], kind=999)),
    "another version": b"GGUF" + struct.pack("<IQQ", 77, 0, 0),
    "nothing": b"GGUF",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_M04_hostile_gguf_is_refused(server, tmp_path, kind):
    file = tmp_path / "hostile.gguf"
    file.write_bytes(HOSTILE[kind])
    refused(server, file, "hostile.gguf")


TEMPLATES = {
    "a walk over attributes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "a long loop": "{% for i in range(10**9) %}{% set x = i %}{% endfor %}",
    "a large output": "{% for i in range(10**7) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
    "a large text": "{{ 'a' * 10**10 }}",
    "a large power": "{{ 10 ** 10 ** 10 }}",
    "recursion": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "a file": "{% include '/etc/passwd' %}",
    "deep nesting": "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
    "a deep expression": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_M10_hostile_templates_stop_within_their_budget(server, folder, kind):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = TEMPLATES[kind]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    result = server.run("models", "import", str(folder), "--name", "hostile", code=None)
    assert "ended with code" not in result.stderr, result.stderr
    if result.returncode == 0:
        try:
            assert chat(server, {"model": "hostile"}).status == 400
            again = chat(server, {"model": "hostile"})
            assert again.status == 400 and again.error["message"], again.text
            # A second is its budget; the rest is for a busy machine.
            assert again.computed < 3, again.computed
            assert "uid=" not in again.text and "root:" not in again.text
        finally:
            server.run("models", "delete", "hostile", "--force")
    else:
        assert result.returncode == 65 and "template" in result.stderr, result.stderr
    alive(server)


def test_I11_variables_of_a_request_are_in_the_templates_budget(server, folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = (
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking is defined and not enable_thinking %}"
        "<no thoughts>{% endif %}{% for i in many or [] %}{% for j in many %}{{ bos_token ~ j }}{% endfor %}{% endfor %}"
        "{{ 1 + (more or 0) }}")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    server.run("models", "import", str(folder), "--name", "variables")
    try:
        def asked(variables):
            return chat(server, {"model": "variables", "max_tokens": 2, "chat_template_kwargs": variables})

        def counted(variables):
            return post(server, "/tokenize", {
                "model": "variables", "messages": [{"role": "user", "content": "Hi"}],
                "chat_template_kwargs": variables}).json["count"]

        plain, silent = asked({}), asked({"enable_thinking": False, "nobody_reads_this": [1]})
        assert plain.status == silent.status == 200, silent.text
        counts = [answer.json["usage"]["prompt_tokens"] for answer in (plain, silent)]
        assert counts[1] > counts[0] and counts == [counted({}), counted({"enable_thinking": False})]
        for variables in ({"many": list(range(20_000))}, {"more": "x"}):
            answer = asked(variables)
            assert answer.status == 400 and answer.error["param"] == "chat_template_kwargs", answer.text
            assert answer.computed < 5, answer.computed
    finally:
        server.run("models", "delete", "variables", "--force")
    alive(server)


def test_tokens_of_a_response_are_those_that_are_billed(server, folder):
    """Also where the tokenizer puts a mark before each text, which a chat's template has to write itself."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    start = next(token for token in tokenizer["added_tokens"] if token["content"] == "<|start|>")
    mark, text = {"SpecialToken": {"id": "<|start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing", "single": [mark, text], "pair": [mark, text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|start|>": {"id": "<|start|>", "ids": [start["id"]], "tokens": ["<|start|>"]}}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    server.run("models", "import", str(folder), "--name", "marked")
    try:
        given = {"model": "marked", "input": "One", "instructions": "Be brief."}
        counted = post(server, "/v1/responses/input_tokens", given)
        made = post(server, "/v1/responses", {**given, "max_output_tokens": 2})
        assert counted.json["input_tokens"] == made.json["usage"]["input_tokens"], (counted.text, made.text)
        texts = [post(server, "/tokenize", {"model": "marked", "prompt": "One", "add_special_tokens": special}).json
                 for special in (True, False)]
        assert texts[0]["count"] == texts[1]["count"] + 1
    finally:
        server.run("models", "delete", "marked", "--force")


def test_M11_code_in_a_folder_is_not_run_but_reported(server, folder, tmp_path):
    mark = tmp_path / "ran"
    (folder / "modeling_evil.py").write_text(f"open({str(mark)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}, "trust_remote_code": True}
    (folder / "config.json").write_text(json.dumps(config))
    result = server.run("models", "import", str(folder), "--name", "mapped")
    shown = server.run("models", "show", "mapped").stdout + server.run("models", "show", "mapped", "--json").stdout
    assert "auto_map" in result.stderr + result.stdout + shown
    assert chat(server, {"model": "mapped"}).status == 200
    assert not mark.exists()
    server.run("models", "delete", "mapped", "--force")


def test_M13_an_adapter_fits_its_base_or_is_refused(server, tmp_path):
    refused(server, write_adapter(tmp_path / "alone", "someone/tiny"), "base")
    refused(server, write_adapter(tmp_path / "wide", "someone/tiny", width=48), "not for this base",
            options=("--base", "tiny"))
    for base in ("nobody", "flowers"):
        refused(server, write_adapter(tmp_path / base, "someone/tiny"), base, options=("--base", base))
    server.json("models", "import", str(write_adapter(tmp_path / "good", "someone/tiny")), "--name", "added", "--base", "tiny")
    fields = {"ignore_eos": True, "max_tokens": 12, "logprobs": True}
    base, tuned = chat(server, fields).json, chat(server, {"model": "added", **fields}).json
    assert tuned["choices"][0]["logprobs"] != base["choices"][0]["logprobs"]


def test_M13_no_request_brings_an_adapter_and_an_inference_key_imports_none(server):
    for field in ("adapter", "lora_path", "lora_request", "adapters"):
        answer = chat(server, {field: "/etc/passwd"})
        assert answer.status == 400 and answer.error["param"] == field
    key = server.json("keys", "create", "--name", "reader", "--role", "inference")["secret"]
    assert chat(server, key=key).status == 200
    answer = post(server, "/api/v1/jobs", {"kind": "import", "name": "x"}, key=key)
    assert answer.status == 403, answer.text

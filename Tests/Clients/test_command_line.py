"""The command line as scripts use it: exit codes, one JSON document on standard output, forms of rows."""

import json


def test_training_reports_the_model(martlet):
    assert martlet.training["job"]["state"] == "succeeded"
    assert martlet.training["job"]["deployment"] == "flowers"
    assert martlet.training["model"]["card"]["metrics"]["test"]["accuracy"] >= 0.8


def test_lineage(martlet):
    model = martlet.json("models", "show", "flowers@1")
    data = martlet.json("data", "show", "flowers@1")
    assert list(model["card"]["data"].values()) == [data["content_hash"]]
    assert model["job"] == martlet.training["job"]["id"]
    text = martlet.run("models", "show", "flowers").stdout
    assert data["content_hash"] in text and "雨燕" in text


def test_the_same_content_is_the_same_version(martlet):
    again = martlet.json("data", "add", "flowers", str(martlet.recipe.with_suffix(".csv")))
    assert again["version"] == 1


def test_predict_prints_what_it_was_given(martlet):
    csv = "length,width,colour\n1.0,0.2,blue\n6.1,2.2,yellow\n"
    lines = martlet.run("predict", "flowers", "--input", "-", text=csv).stdout.splitlines()
    assert lines[0].split(",")[0] == "kind"
    assert [line.split(",")[0] for line in lines[1:]] == ["雨燕", "tulip"]
    rows = '{"length": 1.0, "width": 0.2, "colour": "blue"}\n{"length": 6.1, "width": 2.2, "colour": "yellow"}\n'
    lines = martlet.run("predict", "flowers", "--input", "-", text=rows).stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["雨燕", "tulip"]
    answer = martlet.json("predict", "flowers", "--input", "-", text="[" + rows.strip().replace("\n", ",") + "]")
    assert [row["kind"] for row in answer["predictions"]] == ["雨燕", "tulip"]


def test_export(martlet, tmp_path):
    martlet.run("models", "export", "flowers@1", str(tmp_path / "bundle"))
    assert {path.name for path in (tmp_path / "bundle").iterdir()} >= {
        "model.safetensors", "config.json", "preprocessing.json", "signature.json", "card.json"}
    martlet.run("models", "export", "flowers@1", str(tmp_path / "bundle"), code=65)


def test_exit_codes(martlet, tmp_path):
    martlet.run("no-such-command", code=64)
    martlet.run("train", code=64)
    martlet.run("train", str(tmp_path / "missing.yaml"), code=66)
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\ndata: {source: flowers}\noutput: {}\n")
    refused = martlet.run("train", str(bad), code=65)
    assert "output" in refused.stderr and "bad.yaml:3" in refused.stderr
    martlet.run("models", "show", "nothing", code=66)
    martlet.run("models", "list", "--api-key", "garbage", code=77)
    martlet.run("models", "list", "--url", "http://127.0.0.1:1", code=69)


def test_json_is_alone_on_standard_output(martlet):
    for command in [("data", "list"), ("jobs", "list"), ("models", "list"), ("deployments", "list"), ("usage",),
                    ("audit", "list"), ("audit", "verify"), ("keys", "list"), ("projects", "list"), ("config",),
                    ("gc", "--dry-run")]:
        martlet.json(*command)


def test_what_is_needed_is_not_deleted(martlet):
    refused = martlet.run("models", "delete", "flowers@1", code=65)
    assert "flowers" in refused.stderr
    martlet.run("models", "show", "flowers@1")


def test_keys_with_a_role(martlet):
    key = martlet.run("keys", "create", "--name", "reader", "--role", "inference").stdout.strip()
    martlet.run("jobs", "list", "--api-key", key, code=77)
    csv = "length,width,colour\n1.0,0.2,blue\n"
    martlet.run("predict", "flowers", "--input", "-", "--api-key", key, text=csv)
    listed = next(k for k in martlet.json("keys", "list")["data"] if k["name"] == "reader")
    martlet.run("keys", "revoke", listed["id"])
    martlet.run("deployments", "list", "--api-key", key, code=77)

"""tritonclient.http, unmodified: JSON and binary tensors, compression, metadata, statistics, errors."""

import numpy
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

NAME = "flowers"
ROWS = [(1.0, 0.2, "blue"), (6.1, 2.2, "yellow"), (4.0, 1.3, "red")]
KINDS = ["雨燕", "tulip", "rose"]


@pytest.fixture(scope="module")
def client(martlet):
    with triton.InferenceServerClient(martlet.url.removeprefix("http://")) as client:
        yield client


# The client writes its own headers into the dictionary that it is given, so each test has a new one.
@pytest.fixture
def headers(martlet):
    return {"Authorization": f"Bearer {martlet.key}"}


def inputs(binary, rows=ROWS):
    columns = list(zip(*rows))
    made = []
    for name, type, values in [
        ("length", "FP32", numpy.array(columns[0], dtype=numpy.float32)),
        ("width", "FP32", numpy.array(columns[1], dtype=numpy.float32)),
        ("colour", "BYTES", numpy.array([c.encode() for c in columns[2]], dtype=object)),
    ]:
        tensor = triton.InferInput(name, [len(rows)], type)
        tensor.set_data_from_numpy(values, binary_data=binary)
        made.append(tensor)
    return made


def outputs(binary):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in ["kind", "kind_probabilities"]]


def kinds(result):
    return [value.decode() if isinstance(value, bytes) else value for value in result.as_numpy("kind").flatten()]


def test_health(client):
    assert client.is_server_live()
    assert client.is_server_ready()


def test_server_metadata(client, headers):
    metadata = client.get_server_metadata(headers=headers)
    assert metadata["name"] == "martlet"
    assert "binary_tensor_data" in metadata["extensions"]


def test_model_metadata(client, headers):
    assert client.is_model_ready(NAME, headers=headers)
    metadata = client.get_model_metadata(NAME, headers=headers)
    assert metadata["name"] == NAME
    assert metadata["versions"] == ["1"]
    assert {(i["name"], i["datatype"]) for i in metadata["inputs"]} == {
        ("length", "FP32"), ("width", "FP32"), ("colour", "BYTES")}
    assert {o["name"] for o in metadata["outputs"]} >= {"kind", "kind_probabilities"}
    assert client.get_model_metadata(NAME, model_version="1", headers=headers)["name"] == NAME


def test_model_config(client, headers):
    config = client.get_model_config(NAME, headers=headers)
    assert config["max_batch_size"] > 1
    assert {i["data_type"] for i in config["input"]} == {"TYPE_FP32", "TYPE_STRING"}


def test_repository_index(client, headers):
    index = client.get_model_repository_index(headers=headers)
    assert {"name": NAME, "version": "1", "state": "READY", "reason": ""} in index


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tensors(client, headers, binary_in, binary_out):
    result = client.infer(NAME, inputs(binary_in), outputs=outputs(binary_out), headers=headers, request_id="r-1")
    assert kinds(result) == KINDS
    probabilities = result.as_numpy("kind_probabilities")
    assert probabilities.shape == (3, 3)
    assert numpy.allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    assert result.get_response()["id"] == "r-1"
    assert result.get_response()["model_name"] == NAME


def test_defaults_are_binary(client, headers):
    assert kinds(client.infer(NAME, inputs(True), headers=headers)) == KINDS


def test_version(client, headers):
    result = client.infer(NAME, inputs(True), model_version="1", headers=headers)
    assert kinds(result) == KINDS
    with pytest.raises(InferenceServerException, match="version"):
        client.infer(NAME, inputs(True), model_version="9", headers=headers)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compressed_requests(client, headers, algorithm, binary):
    result = client.infer(
        NAME, inputs(binary, ROWS * 50), outputs=outputs(binary), headers=headers,
        request_compression_algorithm=algorithm)
    assert kinds(result) == KINDS * 50


def test_compressed_answers_may_be_asked_for(client, headers):
    result = client.infer(NAME, inputs(True), headers=headers, response_compression_algorithm="gzip")
    assert kinds(result) == KINDS


def test_many_at_once(martlet, headers):
    with triton.InferenceServerClient(martlet.url.removeprefix("http://"), concurrency=8) as client:
        asked = [client.async_infer(NAME, inputs(True), headers=headers) for _ in range(64)]
        assert all(kinds(answer.get_result()) == KINDS for answer in asked)


def test_statistics(client, headers):
    before = client.get_inference_statistics(NAME, headers=headers)["model_stats"][0]["inference_stats"]["success"]
    client.infer(NAME, inputs(True), headers=headers)
    after = client.get_inference_statistics(NAME, headers=headers)["model_stats"][0]
    assert after["inference_stats"]["success"]["count"] == before["count"] + 1
    assert after["inference_stats"]["success"]["ns"] > before["ns"]
    assert after["version"] == "1"


def test_errors(client, headers):
    with pytest.raises(InferenceServerException, match="nothing") as caught:
        client.infer("nothing", inputs(True), headers=headers)
    assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException) as caught:
        client.infer(NAME, inputs(True))
    assert caught.value.status() == "401"
    with pytest.raises(InferenceServerException, match="colour") as caught:
        client.infer(NAME, inputs(True)[:1], headers=headers)
    assert caught.value.status() == "400"


def test_wrong_shapes_and_sizes(client, headers):
    short = inputs(True)
    short[0]._raw_data = short[0]._raw_data[:-1]
    with pytest.raises(InferenceServerException) as caught:
        client.infer(NAME, short, headers=headers)
    assert caught.value.status() == "400"
    huge = inputs(False)
    huge[0].set_shape([1 << 40, 1 << 40])
    with pytest.raises(InferenceServerException) as caught:
        client.infer(NAME, huge, headers=headers)
    assert caught.value.status() == "400"
    assert kinds(client.infer(NAME, inputs(True), headers=headers)) == KINDS

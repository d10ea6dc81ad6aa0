#!/usr/bin/env python3
"""Serves the CNN over the Open Inference Protocol's JSON.

usage: serve.py torch|onnx --port P [--threads 2] [--model FILE]
torch: FastAPI with a checked body and PyTorch, as most people write it.
onnx: an async handler, orjson both ways and onnxruntime: the fastest that we know in Python.
"""
import argparse
import os

import numpy
import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()
path = "/v2/models/bench-cnn/infer"


def output(result):
    return {"name": "label", "shape": list(result.shape), "datatype": "FP32"}


def use_torch(threads):
    import torch
    from pydantic import BaseModel

    import nets

    class Tensor(BaseModel):
        name: str
        shape: list[int]
        datatype: str
        data: list[float]

    class Body(BaseModel):
        inputs: list[Tensor]

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    net = nets.cnn().eval()

    @app.post(path)
    def infer(body: Body):
        tensor = body.inputs[0]
        with torch.inference_mode():
            result = torch.softmax(net(torch.tensor(tensor.data).reshape(tensor.shape) / 255), dim=1)
        return {"model_name": "bench-cnn", "outputs": [output(result) | {"data": result.flatten().tolist()}]}


def export(file):
    import torch

    import nets

    torch.manual_seed(1)
    net = torch.nn.Sequential(nets.cnn(), torch.nn.Softmax(dim=1)).eval()
    torch.onnx.export(net, (torch.rand(1, 1, 28, 28),), file + ".new", input_names=["image"], output_names=["label"],
                      dynamic_axes={"image": {0: "rows"}, "label": {0: "rows"}}, dynamo=False)
    os.rename(file + ".new", file)


def use_onnx(threads, file):
    import onnxruntime
    import orjson

    if not os.path.exists(file):
        export(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    @app.post(path)
    async def infer(request: Request):
        tensor = orjson.loads(await request.body())["inputs"][0]
        image = numpy.asarray(tensor["data"], dtype=numpy.float32).reshape(tensor["shape"]) / numpy.float32(255)
        result = session.run(None, {"image": image})[0]
        answer = {"model_name": "bench-cnn", "outputs": [output(result) | {"data": result.ravel()}]}
        return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("backend", choices=["torch", "onnx"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="cnn.onnx")
    arguments = parser.parse_args()
    if arguments.backend == "torch":
        use_torch(arguments.threads)
    else:
        use_onnx(arguments.threads, arguments.model)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="error", access_log=False)


main()

"""Adapters in PEFT's form for the tiny model, drawn from a seed so that goldens can be made for them."""

import json
import struct

import numpy


def adapter_tensors(rank=4, width=32):
    """LoRA parts for the queries of both layers, by PEFT's names."""
    generator = numpy.random.default_rng(3)
    return {
        f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{part}.weight":
            generator.normal(0, 0.3, shape).astype("<f4")
        for layer in range(2) for part, shape in (("A", (rank, width)), ("B", (width, rank)))
    }


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        there = len(data) + values.nbytes
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), there]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_adapter(path, base, rank=4, width=32):
    path.mkdir()
    (path / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": rank, "lora_alpha": 8,
        "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False, "target_modules": ["q_proj"]}))
    write_safetensors(path / "adapter_model.safetensors", adapter_tensors(rank, width))
    return path

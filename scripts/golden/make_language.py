#!/usr/bin/env python3
"""Small random language models and their logits from transformers, for Tests/MartletModelsTests.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==2.13.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6 \\
        peft==0.21.2
    /tmp/golden/bin/python scripts/golden/make_language.py

Weights are not stored: both sides draw them from `weight(name, shape)`. A model is its config.json and, in
`expected.safetensors`, the logits of the last rows for prompts of 1, 17 and 300 tokens and a greedy continuation.
"""
import json
import pathlib
import zlib

import numpy
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "MartletModelsTests" / "Golden" / "language"
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
VOCABULARY = 131
LENGTHS = (1, 17, 300)
ROWS = 3
GREEDY = 64


def uniform(name, count):
    """Numbers of -1 up to 1 from the name and their places: SplitMix64's output function over a counter."""
    z = numpy.arange(count, dtype=numpy.uint64) + (numpy.uint64(zlib.crc32(name.encode())) << numpy.uint64(32))
    with numpy.errstate(over="ignore"):
        z = (z + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float64) / float(1 << 23) - 1


def weight(name, shape):
    count = int(numpy.prod(shape))
    scale = 0.2 if len(shape) > 1 else 0.1
    values = uniform(name, count) * scale
    if len(shape) == 1 and "norm" in name.rsplit(".", 2)[-2:][0] or ".ln_" in name:
        values += 1 if name.endswith("weight") else 0
    return torch.from_numpy(values.astype(numpy.float32).reshape(shape))


def prompt(length):
    return [(7 * i * i + 13 * i + 5) % (VOCABULARY - 3) + 3 for i in range(length)]


def fill(model, **settings):
    """Gives every tensor of the checkpoint its drawn values, by the names that `save_pretrained` writes."""
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        path = pathlib.Path(folder)
        stored = load_file(path / "model.safetensors")
        drawn = {name: weight(name, tensor.shape) for name, tensor in stored.items()}
        save_file(drawn, path / "model.safetensors", metadata={"format": "pt"})
        config = {**json.loads((path / "config.json").read_text()), **settings}
        loaded = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    for key, value in settings.items():
        setattr(loaded.config, key, value)
    return loaded.eval(), config, {name: list(tensor.shape) for name, tensor in stored.items()}


def decoder(name, model, greedy=True):
    expect(name, *fill(model), greedy)


def expect(name, model, config, shapes, greedy=True):
    expected = {}
    with torch.no_grad():
        for length in LENGTHS:
            logits = model(torch.tensor([prompt(length)])).logits[0]
            expected[f"logits/{length}"] = logits[-ROWS:].float().contiguous()
        if greedy:
            tokens = prompt(17)
            for _ in range(GREEDY):
                tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
            expected["greedy"] = torch.tensor(tokens[17:], dtype=torch.int64)
    save(name, config, shapes, expected)


def save(name, config, shapes, expected):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "shapes.json").write_text(json.dumps(shapes) + "\n")
    save_file(expected, folder / "expected.safetensors", metadata={
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}"})
    print(name, sum(numpy.prod(s) for s in shapes.values()))


def given(name, cls, decode=None, rename=None, **config):
    """A model of a config.json as it is written here, without the keys that are left out.
    `rename` drops or renames tensors of the checkpoint, as other programs write them."""
    import tempfile
    kind = getattr(transformers, cls)
    config = dict(architectures=[config.pop("architecture", cls)], **{k: v for k, v in config.items() if v is not None})
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "config.json").write_text(json.dumps(config))
        torch.manual_seed(0)
        made = kind(kind.config_class.from_pretrained(folder))
        made.save_pretrained(folder)
        stored = load_file(path / "model.safetensors")
        shapes = {n: list(t.shape) for n, t in stored.items()}
        shapes = rename(shapes) if rename else shapes
        save_file({n: weight(n, s) for n, s in shapes.items()}, path / "model.safetensors", metadata={"format": "pt"})
        (path / "config.json").write_text(json.dumps(config))
        experts = dict(experts_implementation="eager") if "experts" in str(config) else {}
        model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **experts).eval()
    (decode or expect)(name, model, config, shapes)


def causal(name, kind, **settings):
    shape = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                 num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
                 bos_token_id=1, eos_token_id=2, pad_token_id=0)
    shape.update(settings)
    config = transformers.AutoConfig.for_model(kind, **{k: v for k, v in shape.items() if v is not None})
    torch.manual_seed(0)
    decoder(name, AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


def rope(kind, **settings):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=10000.0, **settings))


def llama():
    causal("llama", "llama")
    causal("llama-tied-bias", "llama", tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
           num_key_value_heads=4, rms_norm_eps=1e-5)
    causal("llama-head-20", "llama", head_dim=20, num_key_value_heads=1, hidden_size=60, num_attention_heads=5)
    causal("llama-linear", "llama", **rope("linear", factor=4.0))
    causal("llama-dynamic", "llama", max_position_embeddings=128, **rope("dynamic", factor=2.0))
    causal("llama-llama3", "llama", **rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                           original_max_position_embeddings=64))
    causal("llama-yarn", "llama", **rope("yarn", factor=4.0, original_max_position_embeddings=128))
    causal("llama-yarn-mscale", "llama", **rope("yarn", factor=8.0, original_max_position_embeddings=64, mscale=0.7,
                                                mscale_all_dim=1.2, beta_fast=16, beta_slow=2, truncate=False))
    factors = [1.0 + 0.25 * i for i in range(8)]
    causal("llama-longrope", "llama", **rope("longrope", short_factor=factors, long_factor=[2 * f for f in factors],
                                             original_max_position_embeddings=128, factor=4.0))


def others():
    causal("mistral", "mistral", sliding_window=32)
    causal("qwen2", "qwen2")
    causal("qwen2-window", "qwen2", use_sliding_window=True, sliding_window=24, max_window_layers=1,
           tie_word_embeddings=True)
    causal("qwen3", "qwen3", head_dim=24)
    causal("mixtral", "mixtral", num_local_experts=4, num_experts_per_tok=2)
    causal("qwen2-moe", "qwen2_moe", num_experts=5, num_experts_per_tok=2, moe_intermediate_size=40,
           shared_expert_intermediate_size=56)
    causal("qwen3-moe", "qwen3_moe", num_experts=6, num_experts_per_tok=3, moe_intermediate_size=40, head_dim=16,
           norm_topk_prob=True, mlp_only_layers=[0])
    causal("phi3", "phi3", sliding_window=48)
    factors = [1.0 + 0.5 * i for i in range(6)]
    causal("phi3-longrope", "phi3", original_max_position_embeddings=128,
           rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75,
                                short_factor=factors, long_factor=[3 * f for f in factors]))
    causal("gemma2", "gemma2", head_dim=20, sliding_window=40, query_pre_attn_scalar=24)
    causal("gemma3", "gemma3_text", head_dim=16, sliding_window=40, num_hidden_layers=3, sliding_window_pattern=2,
           query_pre_attn_scalar=16,
           rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0),
                                sliding_attention=dict(rope_type="default", rope_theta=10000.0)))
    gpt2 = dict(vocab_size=VOCABULARY, n_embd=60, n_layer=2, n_head=5, n_positions=320)
    for name, more in (("gpt2", {}), ("gpt2-scaled", dict(
            n_inner=100, tie_word_embeddings=False, scale_attn_by_inverse_layer_idx=True, activation_function="gelu"))):
        decoder(name, AutoModelForCausalLM.from_config(transformers.GPT2Config(**gpt2, **more)))


def configs():
    """Configs as they are found: older spellings, both spellings, keys that are left out."""
    shape = dict(vocab_size=VOCABULARY, hidden_size=48, intermediate_size=64, num_hidden_layers=3,
                 num_attention_heads=4, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    factors = [1.0 + 0.25 * i for i in range(6)]
    long = dict(short_factor=factors, long_factor=[2.5 * f for f in factors])
    given("given-llama-both", "LlamaForCausalLM", model_type="llama", **shape, rope_theta=50000,
          original_max_position_embeddings=64, rope_parameters=dict(rope_type="default", rope_theta=777.0),
          rope_scaling=dict(type="yarn", factor=8.0, original_max_position_embeddings=1024))
    given("given-mistral-types", "MinistralForCausalLM", architecture="MistralForCausalLM", model_type="mistral",
          **shape, head_dim=12, sliding_window=20, hidden_act="gelu_python",
          layer_types=["full_attention", "sliding_attention", "full_attention"],
          rope_scaling=dict(rope_type="longrope", original_max_position_embeddings=400, **long))
    given("given-qwen2-moe-window", "Qwen2MoeForCausalLM", model_type="qwen2_moe", **shape, num_experts=3,
          num_experts_per_tok=2, moe_intermediate_size=24, shared_expert_intermediate_size=32,
          use_sliding_window=True, sliding_window=12, max_window_layers=2)
    given("given-qwen3-moe-window", "Qwen3MoeForCausalLM", model_type="qwen3_moe", **shape, num_experts=3,
          num_experts_per_tok=2, moe_intermediate_size=24, use_sliding_window=True, sliding_window=12,
          max_window_layers=2)
    given("given-phi3-longrope", "Phi3ForCausalLM", model_type="phi3", **shape, max_position_embeddings=16384,
          rope_scaling=dict(type="yarn", original_max_position_embeddings=128, factor=2.0, **long))
    given("given-gemma3", "Gemma3ForCausalLM", model_type="gemma3_text",
          **{**shape, "num_attention_heads": 8, "num_key_value_heads": None}, head_dim=12, attn_logit_softcapping=2.0,
          sliding_window=9, rope_theta=300.0,
          rope_local_base_freq=5000.0, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
          rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=900.0),
                               sliding_attention=dict(rope_type="default")),
          rope_scaling=dict(rope_type="linear", factor=4.0))
    # One of two names of one weight is all that some programs write; others write both, and what is in them differs.
    given("given-llama-head-alone", "LlamaForCausalLM", model_type="llama", **shape, tie_word_embeddings=True,
          rename=lambda s: {n.replace("model.embed_tokens", "lm_head"): v for n, v in s.items()})
    given("given-gpt2-head-apart", "GPT2LMHeadModel", model_type="gpt2", vocab_size=VOCABULARY, n_embd=60, n_layer=2,
          n_head=5, max_position_embeddings=320,
          rename=lambda s: {**s, "lm_head.weight": s["transformer.wte.weight"]})


NEWER = (("model.language_model.", "language_model.model."), ("lm_head.", "language_model.lm_head."),
         ("model.vision_tower.", "vision_tower."), ("model.multi_modal_projector.", "multi_modal_projector."),
         ("model.image_newline", "image_newline"))
NEWER_QWEN = (("model.language_model.", "model."), ("model.visual.", "visual."))


def spelled(newer, is_newer=False):
    """Names of tensors as older programs write them, or as newer ones do, however they were."""
    def rename(shapes):
        found = {}
        for name, shape in shapes.items():
            pairs = newer if any(name.startswith(new) for new, _ in newer) else [(old, new) for new, old in newer]
            written_newer = pairs is newer
            if written_newer != is_newer:
                name = next((to + name[len(start):] for start, to in pairs if name.startswith(start)), name)
            found[name] = shape
        return found
    return rename


def wrapped():
    """Models that take pictures too, asked without any; their configs leave out much, as those that are found do."""
    shape = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2)
    heads = dict(num_attention_heads=4, num_key_value_heads=2)
    clip = dict(model_type="clip_vision_model", hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                num_attention_heads=2, image_size=28, patch_size=14)
    siglip = {**clip, "model_type": "siglip_vision_model", "image_size": 56}
    ends = dict(eos_token_id=[1, 106])
    # Its class gives the logits as they are, whatever the cap.
    given("wrapped-gemma3", "Gemma3ForConditionalGeneration", rename=spelled(NEWER), model_type="gemma3",
          text_config={**shape, "model_type": "gemma3_text", "num_hidden_layers": 7, "sliding_window": 40,
                       "final_logit_softcapping": 2.0, "rope_scaling": dict(rope_type="linear", factor=8.0)},
          vision_config=siglip, mm_tokens_per_image=4, **ends)
    given("wrapped-mistral3", "Mistral3ForConditionalGeneration", model_type="mistral3",
          rename=lambda s: spelled(NEWER)({**s, "lm_head.weight": [VOCABULARY, 32]}),
          text_config={**shape, **heads, "model_type": "mistral", "head_dim": 12, "rope_theta": 1e9,
                       "sliding_window": None, "rms_norm_eps": 1e-5},
          vision_config={**clip, "model_type": "pixtral", "head_dim": 8}, spatial_merge_size=2)
    given("wrapped-llava", "LlavaForConditionalGeneration", rename=spelled(NEWER, is_newer=True), model_type="llava",
          text_config={**shape, "model_type": "llama", "hidden_size": 64, "rms_norm_eps": 1e-5},
          vision_config=clip)
    given("wrapped-llava-next", "LlavaNextForConditionalGeneration", rename=spelled(NEWER), model_type="llava_next",
          text_config={**shape, **heads, "model_type": "mistral", "sliding_window": 20, "intermediate_size": 40},
          vision_config=clip)
    given("wrapped-llava-onevision", "LlavaOnevisionForConditionalGeneration", rename=spelled(NEWER),
          model_type="llava_onevision",
          text_config={**shape, **heads, "model_type": "qwen2", "tie_word_embeddings": True, "rope_theta": 1e6},
          vision_config=siglip)
    given("wrapped-internvl", "InternVLForConditionalGeneration", rename=spelled(NEWER), model_type="internvl",
          text_config={**shape, **heads, "model_type": "qwen3", "head_dim": 12},
          vision_config=dict(model_type="internvl_vision", hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                             num_attention_heads=2, image_size=[28, 28], patch_size=[14, 14]))
    mrope = dict(type="mrope", mrope_section=[2, 1, 1])
    qwen = dict(**{**shape, "hidden_size": 64}, num_attention_heads=8)
    given("wrapped-qwen2-vl", "Qwen2VLForConditionalGeneration", rename=spelled(NEWER_QWEN), model_type="qwen2_vl",
          **qwen, rope_scaling=mrope, vision_start_token_id=7, image_token_id=9,
          vision_config=dict(depth=1, embed_dim=16, hidden_size=64, num_heads=2, mlp_ratio=2))
    given("wrapped-qwen2-5-vl", "Qwen2_5_VLForConditionalGeneration", rename=spelled(NEWER_QWEN, is_newer=True),
          model_type="qwen2_5_vl", tie_word_embeddings=True,
          text_config={**qwen, "model_type": "qwen2_5_vl_text", "num_key_value_heads": 4, "rms_norm_eps": 1e-6,
                       "rope_parameters": dict(rope_type="default", rope_theta=5e5, mrope_section=[2, 1, 1])},
          vision_config=dict(depth=1, hidden_size=16, out_hidden_size=64, num_heads=2, intermediate_size=16))


TEXTS = ((5, 0), (23, 100), (60, 40), (1, 70), (17, 3), (300, 20))


def text(length, start):
    return [(7 * i * i + 13 * i + 5) % (VOCABULARY - 3) + 3 for i in range(start, start + length)]


def encoders():
    shape = dict(vocab_size=VOCABULARY, hidden_size=60, intermediate_size=88, num_hidden_layers=2,
                 num_attention_heads=5, max_position_embeddings=320)
    for name, cls, config in (
            ("bert", "BertModel", transformers.BertConfig), ("bert-masked", "BertForMaskedLM", transformers.BertConfig),
            ("bert-classes", "BertForSequenceClassification", transformers.BertConfig),
            ("bert-answers", "BertForQuestionAnswering", transformers.BertConfig),
            ("roberta", "RobertaModel", transformers.RobertaConfig),
            ("roberta-classes", "RobertaForSequenceClassification", transformers.RobertaConfig),
            ("xlm-roberta-answers", "XLMRobertaForQuestionAnswering", transformers.XLMRobertaConfig)):
        torch.manual_seed(0)
        model, config, shapes = fill(getattr(transformers, cls)(config(**shape, num_labels=3 if "classes" in name else 2)))
        expected = {}
        with torch.no_grad():
            for index, (length, start) in enumerate(TEXTS):
                tokens = torch.tensor([text(length, start)])
                types = torch.tensor([[0] * (length // 2) + [1] * (length - length // 2)])
                tensors = dict(input_ids=tokens) if "roberta" in name else dict(input_ids=tokens, token_type_ids=types)
                output = model(**tensors, output_hidden_states=True)
                expected[f"hidden/{index}"] = output.hidden_states[-1][0, -4:].contiguous()
                for key in ("pooler_output", "logits", "start_logits", "end_logits"):
                    if getattr(output, key, None) is not None and "masked" not in name:
                        expected[f"{key}/{index}"] = getattr(output, key)[0].contiguous()
        save(name, config, shapes, expected)


def t5():
    shape = dict(vocab_size=VOCABULARY, d_model=48, d_kv=12, d_ff=80, num_layers=2, num_decoder_layers=3, num_heads=4,
                 relative_attention_num_buckets=16, relative_attention_max_distance=40, decoder_start_token_id=0)
    gated = dict(feed_forward_proj="gated-gelu")
    for name, kind, more in (
            ("t5", "T5", {}), ("t5-gated", "T5", dict(gated, tie_word_embeddings=False)), ("umt5", "UMT5", gated),
            ("mt5", "MT5", gated), ("umt5-untied", "UMT5", gated),
            ("t5-buckets", "T5", dict(relative_attention_num_buckets=10, feed_forward_proj="gated-silu"))):
        torch.manual_seed(0)
        config = getattr(transformers, kind + "Config")(**{**shape, **more})
        model, settings = getattr(transformers, kind + "ForConditionalGeneration")(config), {}
        if name == "umt5-untied":
            # As Google's files have it. transformers 5 ignores the setting and scales; version 4 did not.
            settings = dict(tie_word_embeddings=False)
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
            model.config.tie_word_embeddings = False
        model, config, shapes = fill(model, **settings)
        assert ("lm_head.weight" in shapes) == (name == "umt5-untied")
        expected = {}
        with torch.no_grad():
            for index, (length, start) in enumerate(TEXTS):
                source, answer = torch.tensor([text(length, start)]), torch.tensor([[0] + text(59, 7)])
                logits = model(input_ids=source, decoder_input_ids=answer).logits[0]
                expected[f"logits/{index}"] = logits[-3:].contiguous()
            tokens = [0]
            source = torch.tensor([text(23, 100)])
            for _ in range(64):
                tokens.append(int(model(input_ids=source, decoder_input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
            expected["greedy"] = torch.tensor(tokens[1:])
        save(name, config, shapes, expected)


def adapters():
    """LoRA as PEFT writes it, over two of the models above; the expected logits are of the merged model."""
    import peft
    import tempfile
    for base, targets, more in (
            ("llama", ["q_proj", "v_proj", "down_proj"], dict(lora_alpha=12)),
            ("gpt2", ["c_attn", "c_fc"], dict(lora_alpha=6, fan_in_fan_out=True, use_rslora=True))):
        config = transformers.AutoConfig.from_pretrained(OUT / base)
        model, _, _ = fill(AutoModelForCausalLM.from_config(config, attn_implementation="eager"))
        settings = peft.LoraConfig(r=3, target_modules=targets, task_type="CAUSAL_LM", **more)
        model.name_or_path = f"someone/{base}"
        tuned = peft.get_peft_model(model, settings)
        tuned.peft_config["default"].base_model_name_or_path = f"someone/{base}"
        with tempfile.TemporaryDirectory() as folder:
            tuned.save_pretrained(folder)
            path = pathlib.Path(folder)
            stored = load_file(path / "adapter_model.safetensors")
            drawn = {name: weight(name, tensor.shape) for name, tensor in stored.items()}
            adapter = json.loads((path / "adapter_config.json").read_text())
        missing = peft.set_peft_model_state_dict(tuned, drawn)
        assert not missing.unexpected_keys
        merged = tuned.merge_and_unload()
        with torch.no_grad():
            logits = merged(torch.tensor([prompt(40)])).logits[0, -ROWS:]
        save(f"adapter-{base}", adapter, {n: list(t.shape) for n, t in stored.items()}, {"logits": logits.contiguous()})


if __name__ == "__main__":
    import sys
    wanted = sys.argv[1:]
    for make in (llama, others, configs, wrapped, encoders, t5, adapters):
        if not wanted or make.__name__ in wanted:
            make()

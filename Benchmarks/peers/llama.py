"""Makes the Llama that language models are measured with: 100M random weights, as Hugging Face's folder and as GGUF.

usage: llama.py FOLDER     writes FOLDER/hf and FOLDER/f32.gguf

Speed does not depend on what the weights are. The tokenizer is byte-level BPE whose tokens are pairs of bytes, so that
every id is some text in both programs.
"""
import os
import sys

import gguf
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LAYERS, WIDTH, HEADS, GROUPS, INNER, VOCABULARY, CONTEXT = 12, 768, 12, 4, 2048, 32000, 2048


def vocabulary():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens, merges = ["<unk>", "<s>", "</s>", *alphabet], []
    for a in alphabet:
        for b in alphabet:
            if len(tokens) == VOCABULARY:
                return tokens, merges
            tokens.append(a + b)
            merges.append((a, b))
    return tokens, merges


def write_folder(model, tokens, merges, folder):
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>",
                            unk_token="<unk>").save_pretrained(folder)


def interleaved(x, heads):
    """Rows in the order in which llama.cpp rotates them: pairs side by side."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, x.shape[1]).swapaxes(1, 2).reshape(x.shape)


def write_gguf(model, tokens, merges, path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token.encode() for token in tokens])
    writer.add_token_types([2, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    parts = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        values = tensor.float().numpy()
        if name not in whole:
            _, _, layer, rest = name.split(".", 3)
            part = rest.rsplit(".", 1)[0]
            if part.endswith("q_proj"):
                values = interleaved(values, HEADS)
            if part.endswith("k_proj"):
                values = interleaved(values, GROUPS)
        writer.add_tensor(whole.get(name) or f"blk.{layer}.{parts[part]}.weight", values.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    folder = sys.argv[1]
    torch.manual_seed(1337)
    model = LlamaForCausalLM(LlamaConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=GROUPS,
        intermediate_size=INNER, vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, rms_norm_eps=1e-5)).eval()
    tokens, merges = vocabulary()
    os.makedirs(folder, exist_ok=True)
    write_folder(model, tokens, merges, os.path.join(folder, "hf"))
    write_gguf(model, tokens, merges, os.path.join(folder, "f32.gguf"))


main()

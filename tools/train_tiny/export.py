"""Turns a checkpoint into a model directory that transformers and Quire load: `export --run DIR --out DIR`.

Invariant: what is written computes what was trained; the logits of both are compared before the command ends well.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import Qwen3ForCausalLM

from .exchange import tensors
from .model import Network, Shape
from .plot import plot_losses
from .tokenizer import ASSISTANT, END, END_OF_TEXT, SPECIAL, SYSTEM, USER

# Passages come as `documents` (each with "text", perhaps "title"), or already numbered in the text of a message.
CHAT_TEMPLATE = """\
{%- set system = namespace(parts=[]) %}
{%- for message in messages if message.role == 'system' %}
    {%- set system.parts = system.parts + [message.content] %}
{%- endfor %}
{%- for document in documents or [] %}
    {%- set system.parts = system.parts + ['[' ~ loop.index ~ '] ' ~ document.text] %}
{%- endfor %}
{%- if system.parts %}
    {{- '<|system|>' ~ system.parts | join('\\n') ~ '<|end|>' }}
{%- endif %}
{%- for message in messages if message.role != 'system' %}
    {{- '<|' ~ message.role ~ '|>' ~ message.content ~ '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
{%- endif %}
"""


def load_checkpoint(path: Path) -> Network:
    state = torch.load(path, weights_only=True)
    network = Network(Shape(**state["shape"]))
    network.load_state_dict(state["network"])
    return network.eval()


def model_config(shape: Shape, end: int, end_of_text: int) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "dtype": "bfloat16",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.max_position_embeddings,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": shape.rms_norm_eps,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": end_of_text,
    }


def tokenizer_config(max_length: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "eos_token": END,
        "pad_token": END_OF_TEXT,
        "extra_special_tokens": [token for token in SPECIAL if token in (SYSTEM, USER, ASSISTANT)],
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def export(run: Path, out: Path) -> Network:
    network = load_checkpoint(run / "checkpoint.pt")
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    end, end_of_text = (tokenizer.encode(token).ids[0] for token in (END, END_OF_TEXT))
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    write_json(out / "config.json", model_config(network.shape, end, end_of_text))
    generation = {"do_sample": False, "eos_token_id": [end, end_of_text], "pad_token_id": end_of_text}
    write_json(out / "generation_config.json", generation)
    write_json(out / "tokenizer_config.json", tokenizer_config(network.shape.max_position_embeddings))
    save_file(tensors(network), out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)  # safetensors writes for the owner alone
    return network


def check_same(network: Network, out: Path) -> None:
    """Raises if transformers computes something else from the written files."""
    exported = Qwen3ForCausalLM.from_pretrained(out, dtype=torch.float32)
    rounded = Network(network.shape)
    rounded.load_state_dict({name: t.to(torch.bfloat16).float() for name, t in network.state_dict().items()})
    ids_BT = torch.arange(300).view(1, -1) * 7 % network.shape.vocab_size
    with torch.inference_mode():
        ours = rounded.logits(rounded(ids_BT))
        theirs = exported(ids_BT).logits
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="--out of train.py")
    parser.add_argument("--out", type=Path, required=True, help="model directory to write")
    parser.add_argument("--before", type=Path, nargs="*", default=[], help="--out of the courses before, in order")
    args = parser.parse_args()
    check_same(export(args.run, args.out), args.out)
    plot_losses([run / "log.jsonl" for run in (*args.before, args.run)], args.out / "loss.png")
    size = sum(file.stat().st_size for file in args.out.iterdir())
    print(f"wrote {args.out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

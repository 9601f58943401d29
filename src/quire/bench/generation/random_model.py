"""A model with random weights in the shape of Qwen3-0.6B: as fast and as large as that, and nothing to download.

Knows the file format and the shape, not who runs it.
"""

import json
import os
import tempfile
from pathlib import Path

import torch

SHAPE = {
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
CONFIG = {
    **SHAPE,
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "max_position_embeddings": 40_960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "hidden_act": "silu",
    "torch_dtype": "bfloat16",
}
STANDARD_DEVIATION = 0.02
ALIGNMENT = 8


def random_model() -> Path:
    """Its directory, under the system's directory for temporary files; written once, in about half a minute."""
    path = Path(tempfile.gettempdir()) / f"quire-bench-{os.getuid()}" / "qwen3-0.6b"
    if not (path / "config.json").is_file():
        path.mkdir(parents=True, exist_ok=True)
        _write_safetensors(path / "model.safetensors", _shapes())
        (path / "config.json").write_text(json.dumps(CONFIG, indent=1))  # last: its presence says that all is there
    return path


def _shapes() -> dict[str, tuple[int, ...]]:
    hidden, inner, head = SHAPE["hidden_size"], SHAPE["intermediate_size"], SHAPE["head_dim"]
    q, kv = SHAPE["num_attention_heads"] * head, SHAPE["num_key_value_heads"] * head
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (SHAPE["vocab_size"], hidden)}
    for layer in range(SHAPE["num_hidden_layers"]):
        of_layer = {
            "self_attn.q_proj": (q, hidden),
            "self_attn.k_proj": (kv, hidden),
            "self_attn.v_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, q),
            "self_attn.q_norm": (head,),
            "self_attn.k_norm": (head,),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
        }
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    return shapes | {"model.norm.weight": (hidden,)}


def _write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Norms of one and normal matrices, tensor by tensor, so that the whole is never in memory. The header is padded as
    safetensors pads it: what begins off its alignment cannot be mapped and would be copied."""
    header, begin = {}, 0
    for name, shape in shapes.items():
        end = begin + 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
        begin = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % ALIGNMENT)
    random = torch.Generator().manual_seed(0)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for shape in shapes.values():
            is_norm = len(shape) == 1
            data = torch.ones(shape) if is_norm else torch.randn(shape, generator=random) * STANDARD_DEVIATION
            file.write(data.bfloat16().view(torch.int16).numpy().tobytes())

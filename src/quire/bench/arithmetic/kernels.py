"""The CPU kernels beside torch's best op for the same work, and beside what the machine can do.

Layer products run over so many copies of the weight that no cache holds them, as in a model. `gb_per_s` counts the
bytes that must come from memory (weights, or keys and values), `gop_per_s` a multiplication and an addition as two.
The limits are measured in the same run: a sum over 1 GB for reading, large products in oneDNN for arithmetic.
`only` takes names of cases, comma-separated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from quire import kernels
from quire.bench.harness import Case, Measurement
from quire.bench.results import Report
from quire.engine.sampling import distribution
from quire.errors import ConfigError
from quire.sampling_params import SamplingParams

COLD_BYTES = 300e6
LIMIT_SIZE = 4096
VOCABULARY = 151_936
SHAPES = {"up": (1024, 3072), "down": (3072, 1024), "lm_head": (1024, VOCABULARY)}
"""Inputs and outputs in Qwen3-0.6B."""
MAX_ROWS = {"lm_head": 64}
"""Only the last token of a sequence is asked for its logits."""
TORCH_INT4_GROUP = 64
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "top_k 50": {"top_k": 50},
    "top_p 0.9": {"top_p": 0.9},
    "top_k 20, top_p 0.95": {"top_k": 20, "top_p": 0.95},
}
HEADS, KV_HEADS, HEAD_DIM, BLOCK_SIZE = 16, 8, 128, 16


@dataclass(frozen=True, slots=True)
class Product:
    """One way to hold a layer's weight and multiply with it."""

    case: str
    side: str
    bytes_per_weight: float
    pack: Callable[[Tensor], Any]
    prepare: Callable[[Tensor], Any]
    multiply: Callable[[Any, Any], object]


def cases(
    *, rows: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), only: str = "", quick: bool = False
) -> list[Case]:
    sizes = (1, 8) if quick else rows
    cold_bytes = 1e6 if quick else COLD_BYTES
    found = [*_limits(256 if quick else LIMIT_SIZE)]
    for shape in ("up", "down") if quick else SHAPES:
        most = MAX_ROWS.get(shape, max(sizes))
        for product in _products():
            found += [_product_case(product, shape, *SHAPES[shape], n, cold_bytes) for n in sizes if n <= most]
    found += [*_attention_cases(quick), *_row_cases(sizes), *_draw_cases(quick)]
    wanted = set(only.split(",")) - {""}
    unknown = wanted - {case.name for case in found}
    if unknown:
        raise ConfigError(f"only is {only!r}; allowed: {', '.join(sorted({case.name for case in found}))}.")
    return [case for case in found if not wanted or case.name in wanted]


def explain(report: Report) -> str:
    """Each of our products as a share of the machine's read bandwidth and of its arithmetic."""
    medians = {
        (result.name, result.side): {metric: result.summary(metric).median for metric in result.values}
        for result in report.results
        if result.name.startswith("limit")
    }
    lines = []
    for result in report.results:
        limit = medians.get((_limit_of(result.name), "torch"))
        reading = medians.get(("limit_read", "torch"))
        if result.side != "quire" or limit is None or reading is None:
            continue
        read_share = result.summary("gb_per_s").median / reading["gb_per_s"]
        work_share = result.summary("gop_per_s").median / limit["gop_per_s"]
        where = " ".join(f"{name}={value}" for name, value in result.params.items())
        lines.append(f"{result.name} {where}: {read_share:.0%} of reading, {work_share:.0%} of arithmetic")
    return "\n".join([*lines, "Few rows are bound by reading the weights, many by arithmetic."])


def _limit_of(name: str) -> str:
    return "limit_int8" if name in ("linear_int8", "linear_int4") else "limit_bf16"


def _limits(size: int) -> list[Case]:
    def run_read() -> Measurement:
        x = torch.ones(size * size * 16)
        return _rates(lambda: x.sum(), 3, x.numel() * 4, x.numel())

    def run_bf16() -> Measurement:
        # Where oneDNN lacks the instructions, bf16 is widened, and float32 is what the arithmetic allows.
        dtype = torch.bfloat16 if _has_onednn_bf16() else torch.float32
        a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
        return _rates(lambda: a @ b, 2, 2 * size * size * dtype.itemsize, 2 * size**3)

    def run_int8() -> Measurement:
        product = next(p for p in _products() if p.case == "linear_int8" and p.side == "torch")
        weight, x = product.pack(torch.randn(size, size)), product.prepare(torch.randn(size, size).bfloat16())
        return _rates(lambda: product.multiply(x, weight), 2, size * size, 2 * size**3)

    runs = {"limit_read": run_read, "limit_bf16": run_bf16, "limit_int8": run_int8}
    return [Case(name, run, side="torch") for name, run in runs.items()]


def _rates(call: Callable[[], object], calls: int, num_bytes: float, num_ops: float) -> Measurement:
    call()
    start = perf_counter()
    for _ in range(calls):
        call()
    seconds = (perf_counter() - start) / calls
    return Measurement(
        {"call_us": seconds * 1e6, "gb_per_s": num_bytes / seconds / 1e9, "gop_per_s": num_ops / seconds / 1e9}
    )


def _products() -> list[Product]:
    plain = 2.0
    return [
        Product("linear_bf16", "quire", plain, _same, _same, kernels.linear),
        Product("linear_bf16", "torch", plain, _same, _same, F.linear),
        *_onednn_bf16(plain),
        Product("linear_int8", "quire", 1.0, kernels.quantize_int8, _same, kernels.linear_int8),
        _torch_int8(),
        Product("linear_int4", "quire", 0.5 + 2 / 32, kernels.quantize_int4, _same, kernels.linear_int4),
        Product("linear_int4", "torch", 0.5 + 4 / TORCH_INT4_GROUP, _torch_int4_weight, _same, _torch_int4),
    ]


def _has_onednn_bf16() -> bool:
    is_there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_there and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _onednn_bf16(bytes_per_weight: float) -> list[Product]:
    """oneDNN takes bf16 only from processors that have instructions for it or AVX512."""
    mkldnn = torch.ops.mkldnn
    if not _has_onednn_bf16():
        return []

    def multiply(x: Tensor, weight: Tensor) -> object:
        return mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    pack = mkldnn._reorder_linear_weight
    return [Product("linear_bf16", "onednn prepacked", bytes_per_weight, pack, _same, multiply)]


def _same(x: Tensor) -> Tensor:
    return x


ONEDNN_ROW_SCALE = 1 / 30


def _onednn_int8_weight(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scales = weight.float().abs().amax(1) / 127
    integers = (weight.float() / scales[:, None]).round().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(integers, [1, weight.shape[1]])
    return packed, scales, torch.zeros(len(weight), dtype=torch.int32)


def _torch_int8() -> Product:
    """oneDNN's product, or FBGEMM's where that is a plain loop: it takes float32 and has one scale for all rows."""
    if _has_onednn_bf16():
        return Product("linear_int8", "torch", 1.0, _onednn_int8_weight, _onednn_int8_rows, _onednn_int8)
    multiply = torch.ops.quantized.linear_dynamic
    return Product("linear_int8", "torch", 1.0, _fbgemm_weight, Tensor.float, lambda x, w: multiply(x, w))


def _fbgemm_weight(weight: Tensor) -> Any:
    scales, zeros = weight.float().abs().amax(1) / 127, torch.zeros(len(weight), dtype=torch.int64)
    integers = torch.quantize_per_channel(weight.float(), scales, zeros, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(integers, None)


def _torch_int4_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    groups = weight.float().view(len(weight), -1, TORCH_INT4_GROUP)
    scales = groups.abs().amax(2) / 7
    integers = (groups / scales[:, :, None]).round().add(8).int().flatten(1)
    packed = torch._convert_weight_to_int4pack_for_cpu(integers, 1)
    return packed, torch.stack([scales, torch.zeros_like(scales)], 2).transpose(0, 1).contiguous().bfloat16()


def _torch_int4(x: Tensor, weight: tuple[Tensor, Tensor]) -> Tensor:
    """Its activations stay bfloat16."""
    return torch._weight_int4pack_mm_for_cpu(x, weight[0], TORCH_INT4_GROUP, weight[1])


def _onednn_int8_rows(x: Tensor) -> Tensor:
    """Quantised beforehand, one scale for all rows: oneDNN's op has no scale per row, and ours pays for its own."""
    return (x.float() / ONEDNN_ROW_SCALE).round().clamp(-127, 127).add(128).to(torch.uint8)


def _onednn_int8(x: Tensor, weight: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    packed, scales, zeros = weight
    scale, zero = torch.tensor([ONEDNN_ROW_SCALE]), torch.tensor([128], dtype=torch.int32)
    out: Tensor = torch.ops.onednn.qlinear_pointwise.tensor(
        x, scale, zero, packed, scales, zeros, None, 1.0, 0, torch.bfloat16, "none", [], ""
    )
    return out


def _product_case(product: Product, shape: str, inputs: int, outputs: int, rows: int, cold_bytes: float) -> Case:
    num_bytes, num_ops = inputs * outputs * product.bytes_per_weight, 2.0 * rows * inputs * outputs
    copies = max(1, round(cold_bytes / num_bytes))
    held: list[Any] = []

    def run() -> Measurement:
        if not held:
            weight = torch.randn(outputs, inputs).bfloat16()
            held.extend(product.pack(weight.clone()) for _ in range(copies))
            held.append(product.prepare(torch.randn(rows, inputs).bfloat16()))
        turn = iter(range(1 << 30))
        calls = max(2, min(copies, int(2e11 / num_ops)))
        with torch.inference_mode():
            return _rates(lambda: product.multiply(held[-1], held[next(turn) % copies]), calls, num_bytes, num_ops)

    return Case(product.case, run, {"shape": shape, "rows": rows}, product.side, held.clear)


def _attention_cases(quick: bool) -> list[Case]:
    """(sequences, tokens each, of them new, tokens of a shared prefix)"""
    batches = [
        (1, 1024, 1, 0),
        (16, 1024, 1, 0),
        (16, 1088, 1, 1024),
        (16, 4096, 1, 0),
        (1, 1024, 1024, 0),
        (1, 4096, 512, 0),
    ]
    found = []
    for num_seqs, context, new, shared in batches[:1] if quick else batches:
        params = {"seqs": num_seqs, "context": context, "new": new, "shared": shared}
        for kv in ("bf16", "int8"):
            run = _attention_run(num_seqs, context, new, shared, is_int8=kv == "int8")
            found.append(Case("attention", run, {**params, "kv": kv}))
        found.append(Case("attention", _sdpa_run(num_seqs, context, new, shared), {**params, "kv": "bf16"}, "torch"))
    return found


def _attention_work(num_seqs: int, context: int, new: int, shared: int, row_bytes: int) -> tuple[float, float]:
    """(bytes of K and V, operations)"""
    tokens = num_seqs * context - (num_seqs - 1) * shared
    seen = num_seqs * sum(range(context - new + 1, context + 1))
    return 2.0 * tokens * KV_HEADS * row_bytes, 4.0 * seen * HEADS * HEAD_DIM


def _attention_run(num_seqs: int, context: int, new: int, shared: int, *, is_int8: bool) -> Callable[[], Measurement]:
    row, row_bytes, dtype = (HEAD_DIM, 2 * HEAD_DIM, torch.bfloat16)
    if is_int8:
        row, row_bytes, dtype = (HEAD_DIM + 4, HEAD_DIM + 4, torch.int8)
    num_bytes, num_ops = _attention_work(num_seqs, context, new, shared, row_bytes)
    width, common = context // BLOCK_SIZE, shared // BLOCK_SIZE
    own = torch.arange(num_seqs * (width - common), dtype=torch.int32).view(num_seqs, -1) + common
    layout = SimpleNamespace(
        block_tables=torch.cat([torch.arange(common, dtype=torch.int32).expand(num_seqs, -1), own], 1),
        context_lens=torch.full((num_seqs,), context, dtype=torch.int32),
        query_starts=torch.arange(num_seqs + 1, dtype=torch.int32) * new,
        plans=kernels.AttentionPlans(),
    )

    def run() -> Measurement:
        num_blocks = common + own.numel()
        kv = torch.ones(num_blocks, 1, 2, KV_HEADS, BLOCK_SIZE, row, dtype=dtype)
        q = torch.randn(num_seqs * new, HEADS, HEAD_DIM).bfloat16()
        k, v = kv[:, 0, 0], kv[:, 0, 1]
        return _rates(lambda: kernels.paged_attention(q, k, v, layout, HEAD_DIM**-0.5), 10, num_bytes, num_ops)

    return run


def _sdpa_run(num_seqs: int, context: int, new: int, shared: int) -> Callable[[], Measurement]:
    num_bytes, num_ops = _attention_work(num_seqs, context, new, shared, 2 * HEAD_DIM)
    is_whole_prompt = new == context

    def run() -> Measurement:
        q = torch.randn(num_seqs, HEADS, new, HEAD_DIM).bfloat16()
        k = torch.ones(num_seqs, KV_HEADS, context, HEAD_DIM, dtype=torch.bfloat16)
        mask = None if is_whole_prompt else torch.ones(new, context, dtype=torch.bool).tril(context - new)

        def attend() -> Tensor:
            return F.scaled_dot_product_attention(q, k, k, attn_mask=mask, is_causal=is_whole_prompt, enable_gqa=True)

        return _rates(attend, 10, num_bytes, num_ops)

    return run


def _row_cases(sizes: tuple[int, ...]) -> list[Case]:
    found = []
    for rows in sizes:
        x, weight = torch.randn(rows, 1024).bfloat16(), torch.ones(1024).bfloat16()
        gate_up = torch.randn(rows, 6144).bfloat16()
        calls: dict[str, dict[str, Callable[[], object]]] = {
            "rms_norm": {
                "quire": lambda x=x, w=weight: kernels.rms_norm(x, w, 1e-6),  # type: ignore[misc]
                "torch": lambda x=x, w=weight: F.rms_norm(x, (1024,), w, 1e-6),  # type: ignore[misc]
            },
            "silu_mul": {
                "quire": lambda x=gate_up: kernels.silu_mul(x),  # type: ignore[misc]
                "torch": lambda x=gate_up: F.silu(x[:, :3072]) * x[:, 3072:],  # type: ignore[misc]
            },
        }
        num_bytes = {"rms_norm": 4.0 * x.numel(), "silu_mul": 3.0 * gate_up.numel()}
        for name, sides in calls.items():
            for side, call in sides.items():
                run = _run_of(call, num_bytes[name])
                found.append(Case(name, run, {"rows": rows}, side))
    return found


def _run_of(call: Callable[[], object], num_bytes: float) -> Callable[[], Measurement]:
    return lambda: _rates(call, 100, num_bytes, num_bytes)


Draw = Callable[[Tensor, distribution.Filters, Tensor], Tensor]


def _draw_cases(quick: bool) -> list[Case]:
    """Tokens from logits as flat as three standard deviations make them, beside the same in torch."""
    vocab, found = 1000 if quick else VOCABULARY, []
    for rows in (1,) if quick else (1, 16):
        for name, params in FILTERS.items():
            filters = distribution.Filters.of([SamplingParams(**params)] * rows, torch.device("cpu"))
            logits, uniforms = torch.randn(rows, vocab) * 3, torch.rand(rows, dtype=torch.float64)
            for side, draw in (("quire", _draw_natively), ("torch", _draw_in_torch)):
                run = _draw_run(draw, logits, filters, uniforms)
                found.append(Case("draw", run, {"rows": rows, "filter": name}, side))
    return found


def _draw_run(draw: Draw, logits: Tensor, filters: distribution.Filters, uniforms: Tensor) -> Callable[[], Measurement]:
    # A copy, because weights take the place of the logits.
    return _run_of(lambda: draw(logits.clone(), filters, uniforms), 4.0 * logits.numel())


def _draw_natively(logits: Tensor, filters: distribution.Filters, uniforms: Tensor) -> Tensor:
    one = torch.ones(len(logits))
    return distribution.draw_tokens_(logits, logits.amax(1), one, filters, uniforms, is_filtered=True)


def _draw_in_torch(logits: Tensor, filters: distribution.Filters, uniforms: Tensor) -> Tensor:
    weights = distribution.weights_(logits, logits.amax(1), torch.ones(len(logits)))
    is_filtered = bool((filters.top_k > 0).any() or (filters.top_p < 1).any())
    return (
        distribution.draw_filtered(weights, filters, uniforms) if is_filtered else distribution.draw(weights, uniforms)
    )

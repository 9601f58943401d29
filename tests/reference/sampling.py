"""Sampling as its definition reads: one row at a time, over Python floats."""

import math
from collections.abc import Collection, Sequence
from itertools import accumulate

from quire.sampling_params import SamplingParams


def edited(
    logits: Sequence[float],
    params: SamplingParams,
    prompt: Sequence[int],
    output: Sequence[int],
    *,
    stop_ids: Collection[int] = (),
    bad_words: Sequence[Sequence[int]] = (),
) -> list[float]:
    """The logits after masks, bias and penalties."""
    row = list(logits)
    banned = {
        last for *first, last in bad_words if len(first) <= len(output) and output[len(output) - len(first) :] == first
    }
    if len(output) < params.min_tokens:
        banned |= set(stop_ids)
    for token in range(len(row)):
        if token in banned or (params.allowed_token_ids is not None and token not in params.allowed_token_ids):
            row[token] = -math.inf
        row[token] += (params.logit_bias or {}).get(token, 0)
        if token in prompt or token in output:
            row[token] = (
                row[token] / params.repetition_penalty if row[token] > 0 else row[token] * params.repetition_penalty
            )
        count = list(output).count(token)
        row[token] -= params.frequency_penalty * count + params.presence_penalty * (count > 0)
    return row


def distribution(row: Sequence[float], params: SamplingParams) -> list[float]:
    """The probability of every token after temperature, min_p, top_k and top_p, in this order. Equal tokens stay or go
    together."""
    top = max(row)
    weights = [math.exp((logit - top) / params.temperature) for logit in row]
    weights = [w if w >= params.min_p else 0.0 for w in weights]
    if params.top_k > 0:
        kth = sorted(weights, reverse=True)[min(params.top_k, len(weights)) - 1]
        weights = [w if w >= kth else 0.0 for w in weights]
    if params.top_p < 1:
        heaviest_first = sorted(weights, reverse=True)
        reached = accumulate(heaviest_first)
        target = params.top_p * sum(weights)
        edge = next(w for w, mass in zip(heaviest_first, reached, strict=True) if mass >= target)
        weights = [w if w >= edge else 0.0 for w in weights]
    total = sum(weights)
    return [w / total for w in weights]


def is_drawn(row: Sequence[float], params: SamplingParams, uniform: float, token: int) -> bool:
    """Whether the token's share of the distribution holds the uniform number, give or take the rounding of float32; at
    the edge of the nucleus, with a top_p that far away."""
    near = 1e-4
    for top_p in (params.top_p, min(1.0, params.top_p * (1 + 1e-5))):
        nudged = SamplingParams(temperature=params.temperature, top_k=params.top_k, top_p=top_p, min_p=params.min_p)
        shares = distribution(row, nudged)
        begin = sum(shares[:token])
        if shares[token] > 0 and begin - near <= uniform <= begin + shares[token] + near:
            return True
    return False

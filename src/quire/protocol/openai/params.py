"""What a request asks of the sampler: the one mapping from the API's fields to SamplingParams."""

from collections.abc import Mapping
from typing import Any

from quire.errors import InvalidRequestError
from quire.protocol.openai.chat import ChatCompletionRequest
from quire.protocol.openai.completions import CompletionRequest
from quire.protocol.openai.sampling import SamplingBody
from quire.sampling_params import SamplingParams, StructuredOutputs

_SAME_NAMES = (
    *("n", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("seed", "stop", "stop_token_ids", "include_stop_str_in_output", "ignore_eos", "min_tokens", "bad_words"),
    *("allowed_token_ids", "skip_special_tokens", "prompt_logprobs", "priority", "slo_ms"),
)


def to_sampling_params(request: ChatCompletionRequest | CompletionRequest) -> SamplingParams:
    """What the request asks of the sampler. Raises InvalidRequestError where its parts do not fit together."""
    fields: dict[str, Any] = {name: getattr(request, name) for name in _SAME_NAMES}
    if isinstance(request, ChatCompletionRequest):
        fields["max_tokens"] = request.max_completion_tokens or request.max_tokens
        fields["logprobs"] = (request.top_logprobs or 0) if request.logprobs else None
    else:
        fields["max_tokens"] = max(request.max_tokens, 1)
        fields["logprobs"] = request.logprobs
        if request.echo and request.logprobs is not None:
            fields["prompt_logprobs"] = max(request.logprobs, request.prompt_logprobs or 0)
    fields["logit_bias"] = _logit_bias(request.logit_bias)
    fields["structured_outputs"] = _structured_outputs(request)
    return SamplingParams(**fields)


def _logit_bias(given: Mapping[str, float] | None) -> dict[int, float] | None:
    """JSON has no keys but strings."""
    for key in given or ():
        if not (key.isascii() and key.isdigit() and len(key) < 11):
            raise InvalidRequestError(f"logit_bias has the key {key[:80]!r}; allowed: token ids.", param="logit_bias")
    return {int(key): bias for key, bias in given.items()} if given else None


def _structured_outputs(request: SamplingBody) -> StructuredOutputs | None:
    """The one form that was asked for, by whichever name."""
    asked: dict[str, dict[str, Any]] = {}
    format_ = request.response_format
    if format_ is not None and format_.type == "json_object":
        asked["response_format"] = {"json_object": True}
    if format_ is not None and format_.json_schema is not None:
        asked["response_format"] = {"json": format_.json_schema.schema_}
    if request.structured_outputs is not None:
        asked["structured_outputs"] = request.structured_outputs.model_dump(by_alias=True)
    for kind in ("json", "regex", "choice", "grammar"):
        if (value := getattr(request, f"guided_{kind}")) is not None:
            asked[f"guided_{kind}"] = {kind: value}
    if len(asked) > 1:
        names = " and ".join(asked)
        raise InvalidRequestError(f"{names} each ask for a form; give one of them.", param=next(iter(asked)))
    return StructuredOutputs(**next(iter(asked.values()))) if asked else None

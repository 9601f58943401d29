"""What may a request ask of the sampler?

One frozen value, checked when made. Every field is honoured or refused. Bounds that depend on the model (ids within
the vocabulary) are checked by `check_vocabulary`, which the engine calls when the request arrives.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from quire.errors import InvalidRequestError, shown

MAX_N = 128
MAX_LOGPROBS = 20
MAX_STOP_STRINGS = 64
MAX_STOP_CHARS = 1024
MAX_ID_LIST = 4096
MAX_BAD_WORDS = 256
MAX_TOKENS = 1 << 30
MAX_SCHEMA_CHARS = 256 * 1024


def _refuse(param: str, value: Any, allowed: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param} is {shown(value)}; allowed: {allowed}.", param=param)


@dataclass(frozen=True, slots=True)
class StructuredOutputs:
    """A form that the text must take. Exactly one field is set."""

    json: str | dict[str, Any] | None = None
    """A JSON schema, as a dict or as text."""
    json_object: bool = False
    """Any JSON object."""
    regex: str | None = None
    """A regular expression that the whole text matches."""
    choice: tuple[str, ...] | None = None
    """One of these strings."""
    grammar: str | None = None
    """A context-free grammar in llguidance's Lark dialect."""

    def __post_init__(self) -> None:
        if _is_list(self.choice):
            object.__setattr__(self, "choice", tuple(self.choice or ()))
        given = [f.name for f in fields(self) if getattr(self, f.name) not in (None, False)]
        if len(given) != 1:
            raise _refuse("structured_outputs", given, "exactly one of json, json_object, regex, choice, grammar")
        choice = self.choice
        if choice is not None and not (_is_list(choice) and choice and all(isinstance(c, str) and c for c in choice)):
            raise _refuse("structured_outputs.choice", choice, "one or more non-empty strings")
        for name in ("regex", "grammar", "json"):
            form = getattr(self, name)
            if form is None or (name == "json" and isinstance(form, dict)):
                continue
            if not isinstance(form, str) or not 0 < len(form) <= MAX_SCHEMA_CHARS:
                raise _refuse(f"structured_outputs.{name}", form, f"text of 1 to {MAX_SCHEMA_CHARS} characters")


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to choose tokens and when to stop. The defaults sample from the model's own distribution."""

    n: int = 1
    """How many completions of the prompt; they share its KV blocks."""
    temperature: float = 1.0
    """0 takes the most likely token (greedy)."""
    top_p: float = 1.0
    """Keeps the likeliest tokens that together reach this probability."""
    top_k: int = 0
    """0 (or -1) keeps the whole vocabulary."""
    min_p: float = 0.0
    """Drops tokens less likely than this share of the most likely one."""
    repetition_penalty: float = 1.0
    """Divides the logits of tokens seen in the prompt or the output; 1 leaves them."""
    presence_penalty: float = 0.0
    """Taken once from the logits of tokens seen in the output."""
    frequency_penalty: float = 0.0
    """Taken from the logits of tokens seen in the output, as often as they were seen."""
    logit_bias: Mapping[int, float] | None = None
    """Added to the logits of these token ids, -100 to 100."""
    seed: int | None = None
    """The same seed and prompt give the same tokens, whatever else is in the batch."""
    stop: str | Sequence[str] | None = None
    """Strings that end the text where they first appear in the output."""
    stop_token_ids: Sequence[int] | None = None
    """Token ids that end the text; their own text is left out."""
    include_stop_str_in_output: bool = False
    """The stop string that ended the text stays at its end."""
    ignore_eos: bool = False
    """Goes on past the model's end-of-sequence token."""
    min_tokens: int = 0
    """Neither end-of-sequence nor a stop token id can come before so many tokens, and stop strings do not count."""
    max_tokens: int | None = 16
    """None: as far as the context reaches."""
    logprobs: int | None = None
    """Log-probabilities of the chosen token and of this many likeliest ones, before any penalty or filter."""
    prompt_logprobs: int | None = None
    """The same for every token of the prompt but the first; such a prompt is computed in full."""
    bad_words: Sequence[str] | None = None
    """Words that must not be completed, by their tokens."""
    allowed_token_ids: Sequence[int] | None = None
    """Only these may be chosen."""
    skip_special_tokens: bool = True
    """Special tokens leave no text."""
    structured_outputs: StructuredOutputs | None = None
    """A form that the text must take."""
    priority: int = 0
    """Lower goes first, under the `priority` scheduling policy."""
    slo_ms: float | None = None
    """The whole answer is wanted within this time; the `slo` scheduling policy orders by it."""
    _stop_strings: tuple[str, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_kinds()
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop or ()
        if not _is_list(stop):
            raise _refuse("stop", stop, "a string or a list of strings")
        if len(stop) > MAX_STOP_STRINGS:
            raise _refuse("stop", f"{len(stop)} strings", f"at most {MAX_STOP_STRINGS} strings")
        for s in stop:
            if not isinstance(s, str) or not 0 < len(s) <= MAX_STOP_CHARS:
                raise _refuse("stop", s, f"strings of 1 to {MAX_STOP_CHARS} characters")
        object.__setattr__(self, "_stop_strings", tuple(stop))
        for name in ("stop_token_ids", "allowed_token_ids"):
            self._check_ids(name)
        if self.allowed_token_ids is not None and not self.allowed_token_ids:
            raise _refuse("allowed_token_ids", self.allowed_token_ids, "one or more token ids, or None for all")
        bad_words = self.bad_words or ()
        if not _is_list(bad_words) or len(bad_words) > MAX_BAD_WORDS:
            raise _refuse("bad_words", bad_words, f"a list of at most {MAX_BAD_WORDS} strings")
        for word in bad_words:
            if not isinstance(word, str) or not 0 < len(word) <= MAX_STOP_CHARS:
                raise _refuse("bad_words", word, f"strings of 1 to {MAX_STOP_CHARS} characters")
        self._check_logit_bias()

    def _check_kinds(self) -> None:
        for name in ("include_stop_str_in_output", "ignore_eos", "skip_special_tokens"):
            if not isinstance(getattr(self, name), bool):
                raise _refuse(name, getattr(self, name), "True or False")
        if not isinstance(self.structured_outputs, StructuredOutputs | None):
            raise _refuse("structured_outputs", self.structured_outputs, "StructuredOutputs(…) with one field, or None")

    def _check_numbers(self) -> None:
        for name in ("n", "top_k", "min_tokens", "priority"):
            _check_int(name, getattr(self, name))
        for name in ("max_tokens", "seed", "logprobs", "prompt_logprobs"):
            if getattr(self, name) is not None:
                _check_int(name, getattr(self, name))
        _check_range("n", self.n, 1, MAX_N)
        _check_range("temperature", self.temperature, 0.0, 100.0)
        if not 0 < _number("top_p", self.top_p) <= 1:
            raise _refuse("top_p", self.top_p, "above 0, at most 1")
        if self.top_k < -1:
            raise _refuse("top_k", self.top_k, "0 (all tokens) or more")
        _check_range("min_p", self.min_p, 0.0, 1.0)
        _check_range("repetition_penalty", self.repetition_penalty, 0.01, 100.0)  # divided by less, logits overflow
        _check_range("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _check_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        _check_range("priority", self.priority, -(1 << 31), (1 << 31) - 1)
        if self.seed is not None:
            _check_range("seed", self.seed, -(1 << 63), (1 << 64) - 1)
        if self.max_tokens is not None:
            _check_range("max_tokens", self.max_tokens, 1, MAX_TOKENS)
        _check_range("min_tokens", self.min_tokens, 0, self.max_tokens or MAX_TOKENS)
        for name in ("logprobs", "prompt_logprobs"):
            if getattr(self, name) is not None:
                _check_range(name, getattr(self, name), 0, MAX_LOGPROBS)
        if self.slo_ms is not None and not 0 < _number("slo_ms", self.slo_ms) <= 1e9:
            raise _refuse("slo_ms", self.slo_ms, "above 0, at most 1e9 milliseconds")

    def _check_ids(self, name: str) -> None:
        ids = getattr(self, name)
        if ids is None:
            return
        if not _is_list(ids) or (name == "stop_token_ids" and len(ids) > MAX_ID_LIST):
            raise _refuse(name, ids, f"a list of at most {MAX_ID_LIST} token ids")
        for token_id in ids:
            _check_int(name, token_id)

    def _check_logit_bias(self) -> None:
        if self.logit_bias is None:
            return
        if not isinstance(self.logit_bias, Mapping) or len(self.logit_bias) > MAX_ID_LIST:
            raise _refuse("logit_bias", self.logit_bias, f"a mapping of at most {MAX_ID_LIST} token ids to -100…100")
        for token_id, bias in self.logit_bias.items():
            _check_int("logit_bias", token_id)
            _check_range("logit_bias", bias, -100.0, 100.0)

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raises InvalidRequestError where a token id lies outside 0…vocab_size-1."""
        for name in ("stop_token_ids", "allowed_token_ids", "logit_bias"):
            for token_id in getattr(self, name) or ():
                if not 0 <= token_id < vocab_size:
                    raise _refuse(name, token_id, f"token ids from 0 to {vocab_size - 1}")

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0

    @property
    def stop_strings(self) -> tuple[str, ...]:
        return self._stop_strings


def _is_list(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, (str, bytes))


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise _refuse(name, value, "a number")
    return value


def _check_int(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse(name, value, "a whole number")


def _check_range(name: str, value: Any, low: float, high: float) -> None:
    if not low <= _number(name, value) <= high:
        raise _refuse(name, value, f"{low} to {high}")

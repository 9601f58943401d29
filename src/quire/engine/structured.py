"""Structured output: which tokens may come next so that the text keeps the form that was asked for, by llguidance.

`GrammarCompiler` holds the vocabulary in llguidance's form (built at the first grammar, about a second for a large
vocabulary) and the grammars compiled last. A `Grammar` is the state of one sequence.

Invariants
  1. A token that `allowed_tokens` allows can be accepted.
  2. End-of-sequence is allowed exactly where the text so far is complete; ids outside the vocabulary never are.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

from quire.errors import InvalidRequestError
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import StructuredOutputs

_CACHED_GRAMMARS = 64
_QUIET = 0
WHITESPACE = r"[ \n\r\t]{0,32}"
"""Enough to indent by; without an end, a model that likes spaces never closes its brace."""


class Grammar:
    """Where one sequence stands in its grammar."""

    __slots__ = ("_matcher",)

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def accept(self, token_id: int) -> str:
        """Goes on by one token. Returns what went wrong, or nothing; after a fault the grammar is of no more use."""
        if self._matcher.is_stopped() and not self._matcher.is_error():
            return ""
        if self._matcher.consume_token(token_id):
            return ""
        return f"Structured output broke down at token {token_id}: {self._matcher.get_error()}"

    @property
    def is_finished(self) -> bool:
        """Nothing can follow but end-of-sequence."""
        stopped: bool = self._matcher.is_stopped()
        return stopped

    def fork(self) -> "Grammar":
        return Grammar(self._matcher.deep_copy())

    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        """One bit per token id of the vocabulary into `mask`, contiguous; set where the token may come next."""
        self._matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)


def allowed_tokens(grammars: Sequence[Grammar], vocab_size: int) -> NDArray[np.bool_]:
    """Row g holds, for every token id, whether it may come next in `grammars[g]`."""
    masks = np.zeros((len(grammars), -(-vocab_size // 32)), np.int32)
    for grammar, mask in zip(grammars, masks, strict=True):
        grammar.fill_mask(mask)
    bits = np.unpackbits(masks.view(np.uint8), axis=1, count=vocab_size, bitorder="little")
    return bits.view(np.bool_)


class GrammarCompiler:
    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        """`vocab_size` is the width of the model's logits, which may be more than the tokenizer's."""
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._vocabulary: LLTokenizer | None = None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = Lock()

    def compile(self, wanted: StructuredOutputs) -> Grammar:
        """A grammar at its beginning. Raises InvalidRequestError with llguidance's words where it does not compile."""
        source = _source(wanted)
        with self._lock:
            matcher = self._compiled.pop(source, None) or self._build(source)
            self._compiled[source] = matcher
            if len(self._compiled) > _CACHED_GRAMMARS:
                self._compiled.popitem(last=False)
        return Grammar(matcher.deep_copy())

    def _build(self, source: str) -> LLMatcher:
        if self._vocabulary is None:
            self._vocabulary = self._build_vocabulary()
        matcher = LLMatcher(self._vocabulary, source, log_level=_QUIET, limits=LLParserLimits(verbose_errors=False))
        if matcher.is_error():
            raise _refuse(matcher.get_error())
        return matcher

    def _build_vocabulary(self) -> LLTokenizer:
        ends = sorted(i for i in self._tokenizer.eos_token_ids if i < self._vocab_size)
        if not ends:
            raise InvalidRequestError(
                "Structured output needs an end-of-sequence token, and this model's tokenizer names none.",
                param="structured_outputs",
            )
        try:
            return LLTokenizer(self._tokenizer.to_json(), n_vocab=self._vocab_size, eos_token=ends)
        except ValueError as error:
            raise InvalidRequestError(
                f"Structured output is not possible with this model's tokenizer: {error}", param="structured_outputs"
            ) from error


def _source(wanted: StructuredOutputs) -> str:
    """The grammar in llguidance's JSON form."""
    if wanted.json is not None or wanted.json_object:
        schema = wanted.json if wanted.json is not None else {"type": "object"}
        try:
            return LLMatcher.grammar_from_json_schema(schema, defaults={"whitespace_pattern": WHITESPACE})
        except ValueError as error:
            raise _refuse(str(error)) from error
    if wanted.regex is not None:
        return LLMatcher.grammar_from_regex(wanted.regex)
    if wanted.choice is not None:
        return LLMatcher.grammar_from_regex("|".join(map(_literally, wanted.choice)))
    return json.dumps({"grammars": [{"lark_grammar": wanted.grammar}]})


def _literally(text: str) -> str:
    """A regular expression for exactly this text."""
    return "".join(c if c.isascii() and c.isalnum() else rf"\x{{{ord(c):x}}}" for c in text)


def _refuse(reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"The structured output does not compile: {reason}", param="structured_outputs")

"""Turns what a caller sent into a request that can be served, or says why it cannot.

Thread safety: any thread; nothing here changes after construction.
"""

from collections.abc import Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Any

from quire.cache.token_budget import Tokens
from quire.engine.structured import Grammar, GrammarCompiler
from quire.errors import InvalidRequestError, shown, suggest
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import SamplingParams

Prompt = str | SequenceOf[int] | Mapping[str, Any]
"""Text, token ids, or a mapping with `prompt` or `prompt_token_ids`, and `cache_salt` if wanted."""

_PROMPT_KEYS = ("prompt", "prompt_token_ids", "cache_salt")


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    text: str | None
    token_ids: list[int]
    params: SamplingParams
    max_tokens: int
    grammar: Grammar | None = None
    bad_words: SequenceOf[SequenceOf[int]] = ()
    cache_salt: str = ""

    @property
    def tokens(self) -> Tokens:
        """What it holds until its prompt is computed."""
        num_prompt_tokens = len(self.token_ids)
        return Tokens(prompt=num_prompt_tokens, context=num_prompt_tokens + self.params.n * self.max_tokens)


class RequestChecker:
    """Knows the limits that requests are held to."""

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        *,
        vocab_size: int,
        max_model_len: int,
        max_num_seqs: int,
        lengthened_by: str | None = None,
        eos_token_ids: frozenset[int] = frozenset(),
        grammars: GrammarCompiler | None = None,
    ) -> None:
        """`lengthened_by` is the knob that would make `max_model_len` larger; None: the model was made for no more."""
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self.max_model_len = max_model_len
        self._max_num_seqs = max_num_seqs
        self._lengthened_by = lengthened_by
        self._eos_token_ids = eos_token_ids
        self._grammars = grammars

    def prepare(self, prompt: Prompt, params: SamplingParams) -> PreparedRequest:
        text, token_ids, salt = self._read(prompt)
        self._check_length(token_ids, room_for=1)
        params.check_vocabulary(self._vocab_size)
        if params.n > self._max_num_seqs:
            raise InvalidRequestError(
                f"n is {params.n}; allowed: at most {self._max_num_seqs}, the sequences that run at once. "
                f"Send several requests, or raise max_num_seqs.",
                param="n",
            )
        room = self.max_model_len - len(token_ids)
        max_tokens = room if params.max_tokens is None else min(params.max_tokens, room)
        return PreparedRequest(
            text,
            token_ids,
            params,
            max_tokens,
            grammar=self._grammar(params),
            bad_words=self._bad_word_ids(params),
            cache_salt=salt,
        )

    def prepare_embedding(self, prompt: Prompt) -> PreparedRequest:
        text, token_ids, salt = self._read(prompt)
        self._check_length(token_ids, room_for=0)
        return PreparedRequest(text, token_ids, SamplingParams(max_tokens=1), max_tokens=0, cache_salt=salt)

    def stop_ids(self, params: SamplingParams) -> frozenset[int]:
        """Token ids that end a sequence."""
        eos = frozenset() if params.ignore_eos else self._eos_token_ids
        return eos | frozenset(params.stop_token_ids or ())

    def _read(self, prompt: Prompt) -> tuple[str | None, list[int], str]:
        if isinstance(prompt, Mapping):
            for key in prompt:
                if key not in _PROMPT_KEYS:
                    raise InvalidRequestError(
                        f"A prompt has no field {shown(key)}.{suggest(str(key), _PROMPT_KEYS)} "
                        f"Allowed: {', '.join(_PROMPT_KEYS)}.",
                        param="prompt",
                    )
            salt = prompt.get("cache_salt") or ""
            if not isinstance(salt, str):
                raise InvalidRequestError(f"cache_salt is {shown(salt)}; allowed: a string.", param="cache_salt")
            text = prompt.get("prompt")
            ids = prompt.get("prompt_token_ids")
            if (text is None) == (ids is None) and ids is None:
                raise InvalidRequestError("A prompt needs `prompt` or `prompt_token_ids`.", param="prompt")
            return text, self._encode(text) if ids is None else self._check_ids(ids), salt
        if isinstance(prompt, str):
            return prompt, self._encode(prompt), ""
        return None, self._check_ids(prompt), ""

    def _encode(self, text: Any) -> list[int]:
        if not isinstance(text, str):
            raise InvalidRequestError(f"prompt is {shown(text)}; allowed: text or a list of token ids.", param="prompt")
        if self._tokenizer is None:
            raise InvalidRequestError("This engine has no tokenizer; give prompt_token_ids.", param="prompt")
        return self._tokenizer.encode(text)

    def _check_ids(self, ids: Any) -> list[int]:
        if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
            raise InvalidRequestError(f"prompt is {shown(ids)}; allowed: text or a list of token ids.", param="prompt")
        checked = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        for token_id in checked:
            if isinstance(token_id, bool) or not isinstance(token_id, int):
                raise InvalidRequestError(
                    f"prompt_token_ids has {shown(token_id)}; allowed: whole numbers.", param="prompt_token_ids"
                )
            if not 0 <= token_id < self._vocab_size:
                raise InvalidRequestError(
                    f"prompt_token_ids has {token_id}; allowed: 0 to {self._vocab_size - 1}.", param="prompt_token_ids"
                )
        return checked

    def _check_length(self, token_ids: list[int], *, room_for: int) -> None:
        if not token_ids:
            raise InvalidRequestError("The prompt is empty; give at least one token.", param="prompt")
        longest = self.max_model_len - room_for
        if len(token_ids) > longest:
            advice = f"Shorten it, or raise {self._lengthened_by}." if self._lengthened_by else "Shorten it."
            raise InvalidRequestError(  # clients know this mistake by its code, or by words of either half
                f"This model's maximum context length is {self.max_model_len} tokens, and the prompt is too long: "
                f"{len(token_ids)} tokens; allowed: at most {longest}. {advice}",
                param="prompt",
                code="context_length_exceeded",
            )

    def _grammar(self, params: SamplingParams) -> Grammar | None:
        if params.structured_outputs is None:
            return None
        if self._grammars is None:
            raise InvalidRequestError(
                "structured_outputs needs a tokenizer, and this engine has none.", param="structured_outputs"
            )
        return self._grammars.compile(params.structured_outputs)

    def _bad_word_ids(self, params: SamplingParams) -> SequenceOf[SequenceOf[int]]:
        if not params.bad_words:
            return ()
        if self._tokenizer is None:
            raise InvalidRequestError("bad_words needs a tokenizer, and this engine has none.", param="bad_words")
        return self._tokenizer.bad_word_ids(params.bad_words)

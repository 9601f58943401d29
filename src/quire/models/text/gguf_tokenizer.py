"""The vocabulary inside a GGUF file, as a tokenizer of the `tokenizers` library.

    tokenizer.ggml.model   "gpt2"   byte-level BPE; `tokenizer.ggml.pre` names how text is cut before merging
                           "llama"  SentencePiece BPE: merges follow from the scores, unknown characters become bytes

Anything else is refused by name: a wrong cut gives plausible text and a worse model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gguf import TokenType
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from quire.errors import ModelLoadError, suggest
from quire.models.gguf import GgufFile, metadata_value
from quire.models.llama_cpp import eos_token_ids

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_PUNCTUATION_AND_SPACE = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA_3 = rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_PUNCTUATION_AND_SPACE}"
_QWEN_2 = rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_PUNCTUATION_AND_SPACE}"

_SPACE = "▁"
_TYPES = "tokenizer.ggml.token_type"


@dataclass(frozen=True, slots=True)
class GGUFVocabulary:
    backend: Backend
    eos_token_ids: frozenset[int]
    chat_template: str | None
    named_tokens: dict[str, str]


def read_gguf(reader: GgufFile) -> GGUFVocabulary:
    """Raises ModelLoadError where the file has no vocabulary or one of an unknown kind."""
    tokens = metadata_value(reader, "tokenizer.ggml.tokens")
    kind = metadata_value(reader, "tokenizer.ggml.model")
    if not tokens or kind not in _KINDS:
        raise ModelLoadError(
            f"{reader.path} has a vocabulary of kind {kind!r} with {len(tokens or ())} tokens; known kinds: "
            f"{', '.join(_KINDS)}.{suggest(str(kind), _KINDS)}"
        )
    _check_ids(reader, len(tokens))
    try:
        backend = _KINDS[kind](reader, tokens)
    except ModelLoadError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelLoadError(f"{reader.path} has a vocabulary that does not fit together: {error}") from error
    _add_special_tokens(backend, reader, tokens)
    named = {name: tokens[i] for name, i in _named_ids(reader).items()}
    _add_post_processor(backend, reader, named, is_sentencepiece=kind == "llama")
    ends = frozenset(eos_token_ids(reader))
    return GGUFVocabulary(backend, ends, metadata_value(reader, "tokenizer.chat_template"), named)


def _byte_level(reader: GgufFile, tokens: list[str]) -> Backend:
    pre = metadata_value(reader, "tokenizer.ggml.pre", "default")
    if pre not in _CUTS:
        raise ModelLoadError(
            f"tokenizer.ggml.pre is {pre!r}; known: {', '.join(_CUTS)}.{suggest(pre, _CUTS)} Convert the model with a "
            "tokenizer.json beside it and load that directory."
        )
    merges = [_pair(merge) for merge in metadata_value(reader, "tokenizer.ggml.merges", [])]
    # Llama 3 takes a word that is in the vocabulary whole, whatever its merges would give.
    bpe = models.BPE(_ids_of(tokens), merges, ignore_merges=pre in _WHOLE_WORDS, byte_fallback=False)
    backend = Backend(bpe)
    if pre in _NFC:
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(_CUTS[pre])
    backend.decoder = decoders.ByteLevel()
    return backend


def _sentencepiece(reader: GgufFile, tokens: list[str]) -> Backend:
    scores = metadata_value(reader, "tokenizer.ggml.scores")
    if scores is None or len(scores) != len(tokens):
        raise ModelLoadError(
            f"tokenizer.ggml.scores has {len(scores or ())} entries for {len(tokens)} tokens; convert the model again."
        )
    unknown = metadata_value(reader, "tokenizer.ggml.unknown_token_id")
    unk_token = None if unknown is None else tokens[unknown]
    merges = _merges_of_scores(tokens, scores, metadata_value(reader, _TYPES))
    bpe = models.BPE(_ids_of(tokens), merges, unk_token=unk_token, fuse_unk=True, byte_fallback=True)
    backend = Backend(bpe)
    prefix = [normalizers.Prepend(_SPACE)] if metadata_value(reader, "tokenizer.ggml.add_space_prefix", True) else []
    backend.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", _SPACE)])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    backend.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return backend


_KINDS = {"gpt2": _byte_level, "llama": _sentencepiece}


def _cut(pattern: str) -> list[Any]:
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


_GPT_2 = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
_CUTS: dict[str, list[Any]] = {
    "default": _GPT_2,
    "gpt-2": _GPT_2,
    "llama-bpe": _cut(_LLAMA_3),
    "qwen2": _cut(_QWEN_2),
    "smollm": [pre_tokenizers.Digits(individual_digits=True), *_GPT_2],
}
_WHOLE_WORDS = frozenset({"llama-bpe"})
_NFC = frozenset({"qwen2"})
_BEGINS_BY_DEFAULT = frozenset({"llama-bpe"})


def _ids_of(tokens: Sequence[str]) -> dict[str, int]:
    """Where a token comes twice the first id counts; padding tokens are told apart by their number."""
    ids: dict[str, int] = {}
    for token_id, token in enumerate(tokens):
        ids.setdefault(token, token_id)
    return ids


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    if not left or not right:
        raise ModelLoadError(f"tokenizer.ggml.merges holds {merge!r}; expected two tokens with a space between.")
    return left, right


def _merges_of_scores(tokens: list[str], scores: list[float], types: list[int] | None) -> list[tuple[str, str]]:
    """SentencePiece merges the neighbours whose whole has the best score; so a piece can come of every pair of pieces
    that make it, and the pairs rank by the score of the whole."""
    normal = [i for i in range(len(tokens)) if types is None or types[i] in (TokenType.NORMAL, TokenType.USER_DEFINED)]
    pieces = {tokens[i] for i in normal}
    best_first = sorted(normal, key=lambda i: -scores[i])
    return [
        (token[:cut], token[cut:])
        for token in (tokens[i] for i in best_first)
        for cut in range(1, len(token))
        if token[:cut] in pieces and token[cut:] in pieces
    ]


def _add_special_tokens(backend: Backend, reader: GgufFile, tokens: list[str]) -> None:
    """Control tokens are special, user-defined ones are found in text. Those the file gives a duty (its begin, its end)
    are special whatever their type."""
    types = metadata_value(reader, _TYPES) or [TokenType.NORMAL] * len(tokens)
    duties = set(_named_ids(reader).values())
    for token_id, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind == TokenType.CONTROL or token_id in duties:
            backend.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == TokenType.USER_DEFINED:
            backend.add_tokens([AddedToken(token, special=False, normalized=False)])


def _check_ids(reader: GgufFile, num_tokens: int) -> None:
    for name, token_id in _named_ids(reader).items():
        if token_id >= num_tokens:
            raise ModelLoadError(f"{name}_id is {token_id}; the vocabulary has {num_tokens} tokens. Convert it again.")
    types = metadata_value(reader, _TYPES)
    if types is not None and len(types) != num_tokens:
        raise ModelLoadError(f"{_TYPES} has {len(types)} entries for {num_tokens} tokens; convert the model again.")


def _named_ids(reader: GgufFile) -> dict[str, int]:
    """bos_token and so on -> id, as far as the file gives them."""
    names = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    ids = {name: metadata_value(reader, f"tokenizer.ggml.{key}_token_id") for name, key in names.items()}
    return {name: int(token_id) for name, token_id in ids.items() if token_id is not None}


def _add_post_processor(backend: Backend, reader: GgufFile, named: dict[str, str], *, is_sentencepiece: bool) -> None:
    pre = metadata_value(reader, "tokenizer.ggml.pre", "default")
    begins = is_sentencepiece or pre in _BEGINS_BY_DEFAULT
    wanted = [
        ("bos_token", "tokenizer.ggml.add_bos_token", begins),
        ("eos_token", "tokenizer.ggml.add_eos_token", False),
    ]
    added = [name for name, key, default in wanted if metadata_value(reader, key, default) and name in named]
    if not added:
        return
    begin, end = (named[name] if name in added else "" for name in ("bos_token", "eos_token"))
    backend.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}".strip(),
        special_tokens=[(named[name], backend.token_to_id(named[name])) for name in added],
    )

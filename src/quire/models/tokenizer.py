"""Text to token ids and back, for a model directory (tokenizer.json and its neighbours) or a GGUF file.

Text never becomes special tokens: `encode` takes "<|im_end|>" for ten characters, and in a chat only the template's own
special tokens count (models/text/special_tokens.py says how they are told from the user's). `encode_trusted` is for
text that the caller wrote.

Knows nothing of weights. Safe to share between threads: nothing changes after it is made but caches.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

from tokenizers import AddedToken, Encoding
from tokenizers import Tokenizer as Backend

from quire.errors import InvalidRequestError, ModelLoadError, shown
from quire.models.config import Fields, eos_token_ids
from quire.models.gguf import GgufFile, open_gguf
from quire.models.json_files import read_json_object
from quire.models.text.chat_template import ChatTemplate, compile_template
from quire.models.text.gguf_tokenizer import read_gguf
from quire.models.text.incremental_decoder import IncrementalDecoder
from quire.models.text.special_tokens import SpecialTokens, free_sentinel, unmark
from quire.models.text.token_pieces import decoder_maker, token_bytes

_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Tokenizer:
    def __init__(
        self,
        backend: Backend,
        *,
        eos_token_ids: Iterable[int] = (),
        chat_template: str | None = None,
        named_tokens: Mapping[str, str] | None = None,
    ) -> None:
        """`named_tokens` are what templates know as bos_token, eos_token and so on."""
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        self._special = SpecialTokens(backend.get_added_tokens_decoder())
        self._decoder_makers: dict[bool, Callable[[], IncrementalDecoder]] = {}
        self.vocab_size = max(backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        """One more than the largest token id. A model's logits may be wider; those ids are padding."""
        self.eos_token_ids = frozenset(eos_token_ids)
        self.chat_template = chat_template
        self.named_tokens = dict(named_tokens or {})

    @classmethod
    def from_directory(cls, path: str | Path) -> "Tokenizer":
        """From tokenizer.json, and tokenizer_config.json, generation_config.json, config.json and chat_template.jinja
        as far as they exist."""
        path = Path(path)
        file = path / "tokenizer.json"
        if not file.is_file():
            raise ModelLoadError(f"{path} has no tokenizer.json; save the model's fast tokenizer beside its weights.")
        try:
            backend = Backend.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise ModelLoadError(f"{file} is not a tokenizer: {error}") from error
        config = _read_json(path / "tokenizer_config.json")
        try:
            _add_missing_tokens(backend, config.get("added_tokens_decoder") or {})
            named = {n: _content(config[n]) for n in _NAMED_TOKENS if config.get(n) is not None}
            template = _chat_template(path, config)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelLoadError(f"{path / 'tokenizer_config.json'} is not that of a tokenizer ({error!r}).") from error
        return cls(
            backend,
            eos_token_ids=_eos_token_ids(path, backend, named),
            chat_template=template,
            named_tokens=named,
        )

    @classmethod
    def from_gguf(cls, file: str | Path | GgufFile) -> "Tokenizer":
        """From the metadata of a GGUF file; a kind of vocabulary that is not known is refused by name."""
        vocabulary = read_gguf(file if isinstance(file, GgufFile) else open_gguf(file))
        return cls(
            vocabulary.backend,
            eos_token_ids=vocabulary.eos_token_ids,
            chat_template=vocabulary.chat_template,
            named_tokens=vocabulary.named_tokens,
        )

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The ids of `text`, all of it plain, with the begin- and end-of-sequence tokens that this tokenizer adds."""
        encoding = self._encode_plain(self._backend, text)
        ids: list[int] = (self._backend.post_process(encoding) if add_special_tokens else encoding).ids
        return ids

    def encode_all(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """`encode` of each text, on all threads; the text gives way where there would be more than `max_tokens`."""
        room = self._room(max_tokens, is_pair=False)
        encodings = self._encode_plain_all(texts)
        for encoding in encodings:
            encoding.truncate(room)
        return [self._backend.post_process(encoding).ids for encoding in encodings]

    def encode_pairs(
        self, first: str, seconds: Sequence[str], max_tokens: int
    ) -> tuple[list[list[int]], list[list[int]]]:
        """(ids, types) of `first` with each of `seconds`, as the tokenizer joins two texts; types say which part a
        token belongs to. Where there would be more than `max_tokens`, the longer of the two gives way."""
        room = self._room(max_tokens, is_pair=True)
        pairs = []
        for second in self._encode_plain_all(seconds):
            head = self._encode_plain(self._backend, first)
            head.truncate(max(room // 2, room - len(second)))
            second.truncate(room - len(head))
            pairs.append(self._backend.post_process(head, second))
        return [pair.ids for pair in pairs], [pair.type_ids for pair in pairs]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` each of its tokens begins and ends, in characters; special tokens are not among them."""
        spans: list[tuple[int, int]] = self._encode_plain(self._backend, text).offsets
        return spans

    def encode_trusted(self, text: str) -> list[int]:
        """The ids of `text` in which special tokens written out count as such. Nothing is added to it."""
        return self._encode_pieces(self._special.split(text))

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of `ids`; ids outside the vocabulary are nothing, bytes that are no UTF-8 are U+FFFD."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def new_decoder(self, *, skip_special_tokens: bool = True) -> IncrementalDecoder:
        """A decoder that gives, piece by piece, what `decode` gives for the whole."""
        if skip_special_tokens not in self._decoder_makers:
            maker = decoder_maker(self._backend, self.vocab_size, skip_special_tokens=skip_special_tokens)
            self._decoder_makers[skip_special_tokens] = maker
        return self._decoder_makers[skip_special_tokens]()

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """The ids of a chat. `kwargs` are further variables of the template. Special tokens in them, in messages and in
        tools are plain text. Raises InvalidRequestError with the template's words where it refuses."""
        for place, message in enumerate(messages):
            if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
                raise InvalidRequestError(
                    f"messages[{place}] is {shown(message)}; allowed: a dict with a role and a content.",
                    param=f"messages[{place}]",
                )
        given = {"messages": list(messages), "tools": list(tools) if tools else None, **kwargs}
        sentinel = free_sentinel([given])
        variables = {
            **self.named_tokens,
            **self._special.mark(given, sentinel),
            "add_generation_prompt": add_generation_prompt,
        }
        text = self._template(template).render(variables)
        return self._encode_pieces(
            unmark(piece, sentinel) if isinstance(piece, str) else piece for piece in self._special.split(text)
        )

    def template_variables(self, template: str | None = None) -> frozenset[str]:
        """The names that the chat template, or `template`, asks its caller for: `messages`, perhaps `documents`."""
        return self._template(template).variables

    def bad_word_ids(self, words: Iterable[str]) -> list[list[int]]:
        """The token ids that each of `words` is at the start of a text and after a space."""
        ways = (self.encode(way, add_special_tokens=False) for word in words for way in (word, " " + word.lstrip()))
        return [list(ids) for ids in dict.fromkeys(tuple(ids) for ids in ways if ids)]

    def token_id(self, token: str) -> int | None:
        """The id of a token by its exact content, special or not."""
        token_id: int | None = self._backend.token_to_id(token)
        return token_id

    @property
    def special_token_ids(self) -> frozenset[int]:
        return frozenset(self._special.ids.values())

    def to_json(self) -> str:
        """The tokenizer in the form of tokenizer.json."""
        text: str = self._backend.to_str()
        return text

    def token_bytes(self) -> list[bytes] | None:
        """The bytes of every id where the vocabulary is byte-level, else None."""
        return token_bytes(self._backend, self.vocab_size)

    def _template(self, source: str | None) -> ChatTemplate:
        source = source or self.chat_template
        if source is None:
            raise InvalidRequestError(
                "This model has no chat template. Give one as chat_template (Jinja text or the path of a file), or "
                "send a plain prompt.",
                param="messages",
            )
        return compile_template(source)

    def _encode_pieces(self, pieces: Iterable[str | int]) -> list[int]:
        ids: list[int] = []
        for piece in pieces:
            if isinstance(piece, int):
                ids.append(piece)
            elif piece:
                backend = self._continuing if ids else self._backend
                ids += self._encode_plain(backend, piece).ids
        return ids

    def _room(self, max_tokens: int, *, is_pair: bool) -> int:
        """What the special tokens around a text leave of `max_tokens`."""
        return max(max_tokens - self._backend.num_special_tokens_to_add(is_pair), 0)

    def _encode_plain_all(self, texts: Sequence[str]) -> list[Encoding]:
        if any(content in text for content in self._spelled for text in texts):
            return [self._encode_plain(self._backend, text) for text in texts]
        try:
            encodings: list[Encoding] = self._backend.encode_batch(list(texts), add_special_tokens=False)
        except TypeError:
            return [self._encode_plain(self._backend, text) for text in texts]  # names the one that is no text
        return encodings

    def _encode_plain(self, backend: Backend, text: str) -> Encoding:
        is_spelled = any(content in text for content in self._spelled)
        parts = self._special.cut(text) if is_spelled else [text]
        try:
            encodings = [backend.encode(part, add_special_tokens=False) for part in parts]
        except TypeError as error:  # how the library says that a string has no UTF-8
            raise InvalidRequestError(f"{shown(text)} holds half a surrogate pair, which is no character.") from error
        return encodings[0] if len(encodings) == 1 else Encoding.merge(encodings)

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        """Special tokens that the model itself makes of their characters, as Unigram does; text has to be cut there."""
        ids = self._special.ids.items()
        return tuple(content for content, i in ids if i in self._backend.encode(content, add_special_tokens=False).ids)

    @cached_property
    def _continuing(self) -> Backend:
        """The backend for text that stands behind other text: Metaspace with prepend_scheme "first" puts a space before
        the first text only, and every piece would be first."""
        form = json.loads(self._backend.pre_tokenizer.__getstate__()) if self._backend.pre_tokenizer else {}
        if not _never_prepend(form):
            return self._backend
        tokenizer_form = json.loads(self._backend.to_str())
        tokenizer_form["pre_tokenizer"] = form
        twin = Backend.from_str(json.dumps(tokenizer_form))
        twin.encode_special_tokens = True
        return twin


def _never_prepend(form: dict[str, Any]) -> bool:
    """Turns prepend_scheme "first" into "never", in place; whether there was one."""
    parts = form.get("pretokenizers", [form])
    firsts = [part for part in parts if part.get("prepend_scheme") == "first"]
    for part in firsts:
        part["prepend_scheme"] = "never"
    return bool(firsts)


def _read_json(file: Path) -> dict[str, Any]:
    return read_json_object(file) if file.is_file() else {}


def _content(token: str | Mapping[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _add_missing_tokens(backend: Backend, listed: Mapping[str, Mapping[str, Any]]) -> None:
    """Tokens that tokenizer_config.json lists and tokenizer.json lacks, in the order of their ids."""
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for token_id, token in sorted(listed.items(), key=lambda item: int(item[0])):
        if backend.token_to_id(token["content"]) is None:
            added = AddedToken(token["content"], **{f: bool(token[f]) for f in flags if f in token})
            backend.add_special_tokens([added]) if added.special else backend.add_tokens([added])
            if backend.token_to_id(token["content"]) != int(token_id):
                raise ModelLoadError(
                    f"tokenizer_config.json gives {token['content']!r} the id {token_id}, which does not follow on "
                    "the ids of tokenizer.json; the two files are not of one model."
                )


def _eos_token_ids(path: Path, backend: Backend, named: Mapping[str, str]) -> set[int]:
    """All ids that end a text: the tokenizer's, and those of the model's configs."""
    files = (path / name for name in ("config.json", "generation_config.json"))
    ids = {*eos_token_ids(*(Fields(_read_json(file), str(file)) for file in files))}
    own = backend.token_to_id(named["eos_token"]) if "eos_token" in named else None
    return ids if own is None else ids | {own}


def _chat_template(path: Path, config: Mapping[str, Any]) -> str | None:
    """chat_template.jinja goes before tokenizer_config.json; of several named templates the one named default."""
    file = path / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default", next(iter(named.values()), None))
    if not isinstance(template, (str, NoneType)):
        raise TypeError(f"chat_template is {shown(template)}")
    return template

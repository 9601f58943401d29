"""From text to the terms that are indexed: lower-case, split into words, drop stop words, stem.

The splitting is native (csrc/retrieval/inverted_index/word_splitter.h), by a table of character classes made here from
Unicode's categories; texts in Han, Kana and Hangul become pairs of characters. What happens to a word happens once per
distinct word: the index remembers which term it became. Knows nothing of the index.
"""

import json
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

from quire.errors import ConfigError, shown, suggest

_ENGLISH = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was
will with
"""
_STOP_WORDS = {"english": frozenset(_ENGLISH.split())}
_IDEOGRAPHS = (
    (0x3040, 0x3100),
    (0x31F0, 0x3200),
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0xAC00, 0xD7B0),
    (0xF900, 0xFB00),
)
_LAST_PLANE = (0x20000, 0x32400)


class Analyzer:
    """Words to terms.

    language    of the Snowball stemmer (`PyStemmer`): "english", "german", …; None: words stay as they are.
    stop_words  words that are not indexed; None: those of the language, as Lucene has them for English, else none.
    stem        a function of one's own, in place of the language's stemmer.
    """

    def __init__(
        self,
        language: str | None = "english",
        *,
        stop_words: Iterable[str] | None = None,
        stem: Callable[[str], str] | None = None,
    ) -> None:
        self.language = language
        if isinstance(stop_words, str):
            raise ConfigError(f"stop_words is the single text {shown(stop_words)}; give a list of words")
        known = _STOP_WORDS.get(language or "", frozenset())
        self.stop_words = known if stop_words is None else frozenset(map(self.lower, stop_words))
        self.stem = stem
        snowball = _snowball(language)
        self._stem_all = snowball if stem is None else _each(stem)

    @property
    def description(self) -> str:
        """What a saved index remembers of its analyzer: the same for analyzers that do the same."""
        own = [function.__qualname__ for function in (self.stem, type(self)) if function not in (None, Analyzer)]
        return json.dumps({"language": self.language, "stop_words": sorted(self.stop_words), "own": own})

    @classmethod
    def described(cls, description: str) -> "Analyzer":
        """The analyzer of a description. Raises ConfigError where it has functions of one's own."""
        knobs = json.loads(description)
        if knobs["own"]:
            raise ConfigError(f"the index has an analyzer of its own ({', '.join(knobs['own'])}); give it as analyzer=")
        return cls(knobs["language"], stop_words=knobs["stop_words"])

    def lower(self, text: str) -> str:
        """The text as it is split; also brings letters and their accents into one form."""
        return (text if text.isascii() else unicodedata.normalize("NFC", text)).lower()

    def normalise(self, words: list[str]) -> list[str | None]:
        """For each word its term; None for a stop word."""
        straight = [word.replace("’", "'") for word in words]
        terms = self._stem_all(straight)
        return [None if word in self.stop_words else term for word, term in zip(straight, terms, strict=True)]


@cache
def character_classes() -> bytes:
    """0 separates words, 1 belongs to a word, 2 is written without spaces: one byte per code point."""
    classes = bytearray(_LAST_PLANE[1])
    for code in range(0x20000):
        if unicodedata.category(chr(code))[0] in "LNM":
            classes[code] = 1
    classes[ord("_")] = 1
    for begin, end in (*_IDEOGRAPHS, _LAST_PLANE):
        classes[begin:end] = b"\2" * (end - begin)
    return bytes(classes)


def _each(stem: Callable[[str], str]) -> Callable[[list[str]], list[str]]:
    return lambda words: [stem(word) for word in words]


def _snowball(language: str | None) -> Callable[[list[str]], list[str]]:
    if language is None:
        return list
    import Stemmer

    if language not in Stemmer.algorithms():
        raise ConfigError(
            f"language is {shown(language)}; allowed: None, {', '.join(Stemmer.algorithms())}."
            f"{suggest(language, Stemmer.algorithms())}"
        )
    stemmer = Stemmer.Stemmer(language)
    return lambda words: list(stemmer.stemWords(words))

"""Text under a grammar has its form whatever the model says: here the model is noise."""

import json
import re
from typing import Any

import numpy as np
import pytest
import torch

from quire.engine.detokenizer import Detokenizer
from quire.engine.sampler import Sampler
from quire.engine.structured import Grammar, GrammarCompiler, allowed_tokens
from quire.errors import InvalidRequestError
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import SamplingParams, StructuredOutputs
from quire.sequence import Sequence
from tests.models.tiny_tokenizers import KINDS, byte_level

EOS = 2
VOCAB_SIZE = 350
"""More than the tokenizer's 320: the rest is padding of the model's matrices."""

TOKENIZER = Tokenizer(byte_level(), eos_token_ids=[EOS])
COMPILER = GrammarCompiler(TOKENIZER, VOCAB_SIZE)

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


def generate(
    wanted: StructuredOutputs, seed: int, *, n: int = 1, compiler: GrammarCompiler = COMPILER, **params: Any
) -> list[Any]:
    """The texts of n completions by a model of random logits, and how each ended: by its grammar or by EOS."""
    sampler = Sampler(VOCAB_SIZE, seed, frozenset({EOS}))
    chosen = SamplingParams(n=n, max_tokens=400, structured_outputs=wanted, **params)
    parent = Sequence(0, "r", [5], chosen, max_tokens=400, arrival_s=0.0)
    sampler.add(parent, compiler.compile(wanted))
    family = [parent, *(parent.fork(i, i) for i in range(1, n))]
    for child in family[1:]:
        sampler.fork(parent, child)
    noise, running, ends = torch.Generator().manual_seed(seed), list(family), {}
    for _ in range(400):
        output = sampler.sample(torch.randn(len(running), VOCAB_SIZE, generator=noise) * 4, running)
        assert not output.failures
        for row, seq in enumerate(running):
            seq.token_ids.append(output.token_ids[row])
            if row in output.completed or output.token_ids[row] == EOS:
                ends[seq.seq_id] = "grammar" if row in output.completed and output.token_ids[row] != EOS else "eos"
        running = [seq for seq in running if seq.seq_id not in ends]
        if not running:
            break
    assert not running, "every grammar here comes to an end"
    return [(TOKENIZER.decode(seq.output_token_ids), ends[seq.seq_id]) for seq in family]


@pytest.mark.parametrize("seed", range(8))
def test_json_follows_its_schema(seed: int) -> None:
    for schema in (PERSON, json.dumps(PERSON)):
        ((text, end),) = generate(StructuredOutputs(json=schema), seed)
        person = json.loads(text)
        assert list(person) == ["name", "age", "tags"]
        assert isinstance(person["name"], str)
        assert len(person["name"]) <= 8
        assert isinstance(person["age"], int)
        assert 0 <= person["age"] <= 150
        assert len(person["tags"]) <= 2
        assert set(person["tags"]) <= {"a", "b"}
        assert end == "grammar", "nothing can follow the closing brace"


@pytest.mark.parametrize("seed", range(8))
def test_regex_holds_from_end_to_end(seed: int) -> None:
    pattern = r"[a-c]{2,5}-\d{3}(/é😀)?"
    ((text, _),) = generate(StructuredOutputs(regex=pattern), seed)
    assert re.fullmatch(pattern, text)


@pytest.mark.parametrize("seed", range(8))
def test_a_choice_is_taken_whole_and_literally(seed: int) -> None:
    choices = ("yes", "no", 'may"be\\ \n(.*)', "日本 😀", "y")
    ((text, _),) = generate(StructuredOutputs(choice=choices), seed)
    assert text in choices


def test_all_choices_can_come() -> None:
    texts = {generate(StructuredOutputs(choice=("red", "green", "blue")), seed)[0][0] for seed in range(40)}
    assert texts == {"red", "green", "blue"}


@pytest.mark.parametrize("seed", range(4))
def test_a_lark_grammar_is_followed(seed: int) -> None:
    grammar = 'start: pair ("," pair){0,2}\npair: KEY "=" /[0-9]{1,3}/\nKEY: "x" | "y"\n'
    ((text, _),) = generate(StructuredOutputs(grammar=grammar), seed)
    assert re.fullmatch(r"[xy]=\d{1,3}(,[xy]=\d{1,3}){0,2}", text)


def test_any_json_object() -> None:
    """Noise hardly closes what it opens, so this walks the grammar with texts instead."""
    for text in ('{"a": [1, -2.5e3, null, {"b": "\\n\\u0001"}]}', "{}", '{"é": "😀"}'):
        assert accepted(COMPILER.compile(StructuredOutputs(json_object=True)), text) == len(TOKENIZER.encode(text))
    for text in ("[1]", "1", '{"a" 1}', "{'a': 1}"):
        assert accepted(COMPILER.compile(StructuredOutputs(json_object=True)), text) < len(TOKENIZER.encode(text))


def accepted(grammar: Grammar, text: str) -> int:
    """How many tokens of `text` the grammar allows one after the other."""
    for number, token_id in enumerate(TOKENIZER.encode(text)):
        if not allowed_tokens([grammar], VOCAB_SIZE)[0, token_id]:
            return number
        assert grammar.accept(token_id) == ""
    return number + 1


def test_white_space_in_json_ends() -> None:
    grammar = COMPILER.compile(StructuredOutputs(json_object=True))
    assert accepted(grammar, "{" + "\n" * 100) < 40


def test_forks_go_their_own_ways() -> None:
    completions = generate(StructuredOutputs(json=PERSON), 3, n=4)
    texts = [text for text, _ in completions]
    assert len(set(texts)) == 4
    for text in texts:
        assert json.loads(text)["age"] <= 150


def test_a_fork_in_the_middle_keeps_the_state() -> None:
    parent = COMPILER.compile(StructuredOutputs(choice=("abc", "abd")))
    assert accepted(parent, "ab") == len(TOKENIZER.encode("ab"))
    child = parent.fork()
    assert accepted(child, "d") == 1
    assert child.is_finished
    assert not parent.is_finished
    assert accepted(parent, "c") == 1


def test_the_end_may_come_exactly_where_the_text_is_complete() -> None:
    grammar = COMPILER.compile(StructuredOutputs(regex="a{1,3}"))
    (a,) = TOKENIZER.encode("a")
    ends = []
    for _ in range(3):
        ends.append(bool(allowed_tokens([grammar], VOCAB_SIZE)[0, EOS]))
        grammar.accept(a)
    assert ends == [False, True, True]
    assert grammar.is_finished


def test_padding_ids_and_special_tokens_are_never_allowed() -> None:
    for wanted in (StructuredOutputs(regex=r"(?s:.*)"), StructuredOutputs(json_object=True)):
        (row,) = allowed_tokens([COMPILER.compile(wanted)], VOCAB_SIZE)
        assert not row[TOKENIZER.vocab_size :].any()
        assert not row[sorted(TOKENIZER.special_token_ids - {EOS})].any()


def test_masks_of_several_grammars_are_those_of_each() -> None:
    grammars = [COMPILER.compile(StructuredOutputs(regex=regex)) for regex in ("a+", "[0-9]+", "b")]
    together = allowed_tokens(grammars, VOCAB_SIZE)
    assert np.array_equal(together, np.concatenate([allowed_tokens([g], VOCAB_SIZE) for g in grammars]))
    assert together[0, TOKENIZER.encode("a")[0]]
    assert not together[1, TOKENIZER.encode("a")[0]]


def test_edits_count_within_the_grammar() -> None:
    """min_tokens holds the end back where the grammar would allow it."""
    wanted = StructuredOutputs(regex="[ab]{1,6}")
    for seed in range(20):
        ((text, _),) = generate(wanted, seed, min_tokens=4, logit_bias={EOS: 100.0})
        assert len(text) >= 4
        ((text, end),) = generate(wanted, seed, logit_bias={EOS: 100.0})
        assert (len(TOKENIZER.encode(text)), end) == (1, "eos")


def test_a_stop_string_ends_text_that_has_its_form_so_far() -> None:
    wanted = StructuredOutputs(regex="[ab]{40}")
    for seed in range(5):
        ((text, _),) = generate(wanted, seed)
        detokenizer = Detokenizer(TOKENIZER.new_decoder(), ["ba"])
        stops = (detokenizer.append(token_id) for token_id in TOKENIZER.encode(text))
        assert next(stop for stop in stops if stop is not None) == "ba"
        assert detokenizer.text == text[: text.index("ba")]


def test_every_end_of_sequence_token_may_end() -> None:
    compiler = GrammarCompiler(Tokenizer(byte_level(), eos_token_ids=[2, 4]), VOCAB_SIZE)
    for end in (2, 4):
        grammar = compiler.compile(StructuredOutputs(regex="a?"))
        assert allowed_tokens([grammar], VOCAB_SIZE)[0, end]
        assert grammar.accept(end) == ""
        assert grammar.is_finished


@pytest.mark.parametrize("kind", ["metaspace", "word_piece"])
def test_a_vocabulary_that_llguidance_does_not_know_is_refused(kind: str) -> None:
    with pytest.raises(InvalidRequestError, match="not possible with this model's tokenizer"):
        GrammarCompiler(Tokenizer(KINDS[kind](), eos_token_ids=[1]), VOCAB_SIZE).compile(StructuredOutputs(regex="a"))


@pytest.mark.parametrize("kind", [name for name in KINDS if name.startswith("byte_fallback")])
def test_vocabularies_with_byte_fallback(kind: str) -> None:
    tokenizer = Tokenizer(KINDS[kind](), eos_token_ids=[2])
    compiler = GrammarCompiler(tokenizer, 350)
    grammar = compiler.compile(StructuredOutputs(choice=("the é日",)))
    ids = []
    while not grammar.is_finished:
        token_id = int(allowed_tokens([grammar], 350)[0].argmax())
        assert grammar.accept(token_id) == ""
        ids.append(token_id)
    assert tokenizer.decode(ids, skip_special_tokens=False).strip() == "the é日"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (StructuredOutputs(regex="(ab"), "unclosed group"),
        (StructuredOutputs(grammar="start: nothing"), "unknown name"),
        (StructuredOutputs(json={"type": "banana"}), "banana"),
        (StructuredOutputs(json="not json"), "does not compile"),
        (StructuredOutputs(json='["a list"]'), "does not compile"),
    ],
    ids=str,
)
def test_what_does_not_compile_is_refused_with_the_reason(wanted: StructuredOutputs, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words) as refusal:
        COMPILER.compile(wanted)
    assert refusal.value.param == "structured_outputs"


def test_a_tokenizer_without_an_end_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="end-of-sequence"):
        GrammarCompiler(Tokenizer(byte_level()), VOCAB_SIZE).compile(StructuredOutputs(regex="a"))


def test_a_token_that_is_not_allowed_is_reported() -> None:
    grammar = COMPILER.compile(StructuredOutputs(regex="a"))
    trouble = grammar.accept(TOKENIZER.encode("b")[0])
    assert "broke down at token" in trouble
    assert len(trouble) < 300
    assert COMPILER.compile(StructuredOutputs(regex="a")).accept(TOKENIZER.encode("a")[0]) == "", "the next one is new"

"""Every value that cannot be is refused with the field, the value and what is allowed."""

import math

import pytest

from quire import SamplingParams, StructuredOutputs
from quire.errors import InvalidRequestError, QuireError

REFUSED = [
    ({"n": 0}, "n is 0; allowed: 1 to 128"),
    ({"n": 10**9}, "n is 1000000000"),
    ({"n": 2.0}, "n is 2.0; allowed: a whole number"),
    ({"n": True}, "n is True"),
    ({"temperature": -1}, "temperature is -1; allowed: 0.0 to 100.0"),
    ({"temperature": math.nan}, "temperature is nan; allowed: a number"),
    ({"temperature": "hot"}, "temperature is 'hot'"),
    ({"temperature": math.inf}, "temperature is inf"),
    ({"top_p": 2}, "top_p is 2; allowed: above 0, at most 1"),
    ({"top_p": 0}, "top_p is 0"),
    ({"top_k": -2}, "top_k is -2"),
    ({"min_p": 1.5}, "min_p is 1.5"),
    ({"repetition_penalty": 0}, "repetition_penalty is 0"),
    ({"repetition_penalty": 5e-324}, "repetition_penalty is 5e-324"),
    ({"presence_penalty": 3}, "presence_penalty is 3"),
    ({"frequency_penalty": math.nan}, "frequency_penalty is nan"),
    ({"logit_bias": {5: 101}}, "logit_bias is 101"),
    ({"logit_bias": {"5": 1.0}}, "logit_bias is '5'"),
    ({"logit_bias": [5]}, "logit_bias is [5]"),
    ({"seed": 1.5}, "seed is 1.5"),
    ({"stop": [""]}, "stop is ''"),
    ({"stop": 5}, "stop is 5; allowed: a string or a list"),
    ({"stop": ["x"] * 100_000}, "stop is '100000 strings'; allowed: at most 64"),
    ({"stop": "x" * 1025}, "stop is "),
    ({"stop_token_ids": ["a"]}, "stop_token_ids is 'a'"),
    ({"stop_token_ids": 5}, "stop_token_ids is 5"),
    ({"stop_token_ids": list(range(5000))}, "stop_token_ids is [0, 1,"),
    ({"min_tokens": 17}, "min_tokens is 17; allowed: 0 to 16"),
    ({"max_tokens": 0}, "max_tokens is 0"),
    ({"logprobs": 21}, "logprobs is 21; allowed: 0 to 20"),
    ({"prompt_logprobs": -1}, "prompt_logprobs is -1"),
    ({"bad_words": 5}, "bad_words is 5"),
    ({"ignore_eos": "no"}, "ignore_eos is 'no'; allowed: True or False"),
    ({"structured_outputs": {"regex": "a"}}, "structured_outputs is {'regex': 'a'}"),
    ({"bad_words": "word"}, "bad_words is 'word'"),
    ({"bad_words": [""]}, "bad_words is ''"),
    ({"allowed_token_ids": []}, "allowed_token_ids is []"),
    ({"priority": 1 << 40}, "priority is 1099511627776"),
    ({"slo_ms": 0}, "slo_ms is 0"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=lambda x: next(iter(x)) if isinstance(x, dict) else None)
def test_refused(fields: dict, message: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        SamplingParams(**fields)
    assert str(refused.value).startswith(message)
    assert "allowed: " in str(refused.value)
    assert len(str(refused.value)) < 300
    assert refused.value.param == next(iter(fields))
    assert isinstance(refused.value, QuireError)
    assert isinstance(refused.value, ValueError)


def test_edges_are_allowed() -> None:
    params = SamplingParams(
        n=128, temperature=0, top_p=1, top_k=-1, min_p=1, max_tokens=None, min_tokens=1000, stop="END", logit_bias={}
    )
    assert params.is_greedy
    assert params.stop_strings == ("END",)
    assert SamplingParams(stop=["a", "b"]).stop_strings == ("a", "b")
    assert SamplingParams().stop_strings == ()


def test_ids_outside_the_vocabulary_are_refused() -> None:
    SamplingParams(stop_token_ids=[99], allowed_token_ids=[0, 99], logit_bias={99: 1.0}).check_vocabulary(100)
    for fields in ({"stop_token_ids": [100]}, {"allowed_token_ids": [-1]}, {"logit_bias": {100: 0.0}}):
        with pytest.raises(InvalidRequestError, match="token ids from 0 to 99"):
            SamplingParams(**fields).check_vocabulary(100)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"json_object": True, "regex": "a"},
        {"choice": []},
        {"choice": ["a", ""]},
        {"choice": "yes"},
        {"choice": 5},
        {"regex": ""},
        {"regex": 5},
        {"json": 5},
    ],
)
def test_structured_outputs_takes_exactly_one_form(fields: dict) -> None:
    with pytest.raises(InvalidRequestError, match="structured_outputs"):
        StructuredOutputs(**fields)


def test_structured_outputs() -> None:
    assert StructuredOutputs(choice=["yes", "no"]).choice == ("yes", "no")
    assert StructuredOutputs(json={"type": "object"}).json == {"type": "object"}

"""Flags are checked by what a command receives for a command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from quire.cli.flags import flags_of, help_of, with_flags
from quire.config import EngineConfig
from quire.errors import ConfigError
from quire.sampling_params import SamplingParams, StructuredOutputs


@dataclass
class Shape:
    choice: tuple[str, ...] | None = None
    regex: str | None = None
    """A pattern."""


@dataclass
class Knobs:
    size: int = field(default=3, metadata={"help": "How many."})
    rate: float = field(default=0.5, metadata={"aliases": ("-rt", "--pace"), "section": "Speed"})
    """How fast."""
    is_loud: bool = False
    most: int | None = 16
    least: int | None = None
    stop: str | Sequence[str] | None = None
    ids: Sequence[int] | None = None
    bias: Mapping[int, float] | None = None
    shape: Shape | None = None
    _derived: int = field(init=False, default=0)


@dataclass
class Others:
    size: int = 7
    name: str = "x"


def received(*arguments: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @with_flags(first=Knobs, second=Others)
    def command(word: str = "", *, first: dict[str, Any], second: dict[str, Any]) -> None:
        found.update(first=first, second=second, word={"word": word})

    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {}),
        (("--size", "5", "--rate", "0.25"), {"size": 5, "rate": 0.25}),
        (("-rt", "0.25"), {"rate": 0.25}),
        (("--pace=0.25",), {"rate": 0.25}),
        (("--is-loud",), {"is_loud": True}),
        (("--no-is-loud",), {"is_loud": False}),
        (("--most", "none"), {"most": None}),
        (("--most", "9", "--least", "2"), {"most": 9, "least": 2}),
        (("--stop", "a", "--stop", "b, c"), {"stop": ["a", "b, c"]}),
        (("--ids", "4", "--ids", "2"), {"ids": [4, 2]}),
        (("--bias", "4=-1.5", "--bias", "7=2"), {"bias": {4: -1.5, 7: 2.0}}),
        (("--shape-choice", "yes", "--shape-choice", "no"), {"shape": Shape(choice=["yes", "no"])}),
        (("--shape-regex", "a+"), {"shape": Shape(regex="a+")}),
    ],
)
def test_a_command_receives_what_was_given_and_nothing_else(
    arguments: tuple[str, ...], expected: dict[str, Any]
) -> None:
    assert received(*arguments)["first"] == expected


def test_own_parameters_stay_and_a_taken_name_gets_the_group_before_it() -> None:
    found = received("--word", "hello", "--size", "1", "--second-size", "2", "--name", "n")
    assert found == {"word": {"word": "hello"}, "first": {"size": 1}, "second": {"size": 2, "name": "n"}}


@pytest.mark.parametrize("arguments", [("--bias", "4"), ("--bias", "x=1"), ("--most", "many")])
def test_a_value_that_cannot_be_read_is_a_config_error(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="is not a"):
        received(*arguments)


def test_help_is_the_metadata_or_the_string_below_the_field() -> None:
    assert help_of(Knobs)["size"] == "How many."
    assert help_of(Knobs)["rate"] == "How fast."
    assert help_of(Knobs)["is_loud"] == ""


def test_a_section_holds_until_the_next_one() -> None:
    sections = {flag.path[1]: flag.section for flag in flags_of(Knobs, "first")}
    assert (sections["size"], sections["rate"], sections["stop"]) == ("First", "Speed", "Speed")


@pytest.mark.parametrize("cls", [EngineConfig, SamplingParams])
def test_every_public_field_has_its_flag(cls: type) -> None:
    with_flag = {flag.path[1] for flag in flags_of(cls, "group")}
    assert with_flag == {f.name for f in fields(cls) if not f.name.startswith("_")}


def test_real_classes_are_made_of_their_flags() -> None:
    made: list[SamplingParams] = []
    app = typer.Typer()

    @app.command()
    @with_flags(sampling=SamplingParams)
    def command(*, sampling: dict[str, Any]) -> None:
        made.append(SamplingParams(**sampling))

    line = "--temperature 0.5 --max-tokens none --logit-bias 3=-100 --stop end --structured-outputs-regex [0-9]+"
    assert CliRunner().invoke(app, line.split()).exit_code == 0
    assert made == [
        SamplingParams(
            temperature=0.5,
            max_tokens=None,
            logit_bias={3: -100.0},
            stop=["end"],
            structured_outputs=StructuredOutputs(regex="[0-9]+"),
        )
    ]

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from quire.cli.app import app
from quire.cli.vllm_flags import INSTEAD, refuse_foreign
from quire.errors import ConfigError


def test_no_flag_that_we_have_is_refused_as_one_of_vllms() -> None:
    ours = {name for parameter in get_command(app).commands["serve"].params for name in parameter.opts}  # type: ignore[attr-defined]
    assert ours & INSTEAD.keys() == set()
    named = {word.strip(".,;") for reason in INSTEAD.values() for word in reason.split() if word.startswith("-")}
    assert named - ours <= {"--log-level"}, "an answer names a flag that is not there"


@pytest.mark.parametrize("argument", ["--gpu-memory-utilization", "--gpu-memory-utilization=0.9"])
def test_the_answer_says_what_to_do_instead(argument: str) -> None:
    with pytest.raises(ConfigError, match="--gpu-memory-utilization is a flag of vLLM's; here --memory-fraction is"):
        refuse_foreign(["MODEL", argument, "0.9"], ())


def test_it_is_one_line_at_the_command_line() -> None:
    result = CliRunner().invoke(app, ["serve", "MODEL", "--trust-remote-code"])
    assert (result.exit_code, result.output) == (
        2,
        "error: --trust-remote-code is a flag of vLLM's; here no code that comes with a model is ever run.\n",
    )

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import quire
from quire.cli.app import app


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"quire {quire.__version__}\n"


@pytest.mark.parametrize("command", ["generate", "serve", "env", "bench"])
def test_every_command_has_help(command: str) -> None:
    assert command in CliRunner().invoke(app, ["--help"]).output
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_no_flag_is_cut_short_in_eighty_columns() -> None:
    text = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["generate", "--help"]).output
    assert "--include-stop-str-in-output" in text
    assert "--max-num-batched-tokens" in text


@pytest.mark.parametrize("group", [[], ["index"], ["collections"], ["bench"], ["report"]])
def test_no_sentence_is_cut_short_in_a_list_of_commands(group: list[str]) -> None:
    text = CliRunner(env={"COLUMNS": "80"}).invoke(app, [*group, "--help"]).output
    assert not [line for line in text.splitlines()[1:] if line.endswith("...")]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(["generat"], "Did you mean 'generate'?"), (["generate", "--max-num-seq", "3"], "--max-num-seqs")],
)
def test_a_slip_of_the_pen_is_answered_with_the_nearest_name(arguments: list[str], hint: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert hint in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "-1"], "temperature is -1.0; allowed: 0.0 to 100.0."),
        (["--max-tokens", "ten"], "--max-tokens: 'ten' is not a number; allowed: a number, or none."),
        (["--top-p", "2"], "top_p is 2.0; allowed: above 0, at most 1."),
        (["--file", "no/such/file"], "'no/such/file' cannot be read"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_two(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["generate", "hello", *arguments])
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert message in result.output
    assert result.output.count("\n") == 1


def test_an_output_that_cannot_be_written_is_one_line_and_exit_code_one(tmp_path: Path) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    command = [sys.executable, "-m", "quire.cli", "--version"]
    with (tmp_path / "full").open("w") as full:
        told = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, preexec_fn=no_room)
    assert (told.returncode, told.stderr) == (1, "error: the output cannot be written: File too large\n")


def test_an_output_that_nobody_reads_ends_it_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    told = subprocess.run([sys.executable, "-m", "quire.cli", "--version"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (told.returncode, told.stderr) == (1, b"")


def test_help_loads_neither_torch_nor_numpy() -> None:
    code = "import sys; from quire.cli.app import app; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_log_level_is_checked() -> None:
    result = CliRunner().invoke(app, ["--log-level", "loud", "env"])
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert "log level is 'loud'" in result.output

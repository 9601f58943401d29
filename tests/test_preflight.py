"""tools/preflight.sh: one clear line for each thing that can be missing, shown with stand-in programs."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "tools" / "preflight.sh"
COREUTILS = ("awk", "df", "pwd", "sh")

# A Python that is good at everything but what the test takes from it: each check of the script is a -c program.
STAND_IN = """#!/bin/sh
case "$2" in
  *"(3, 11)"*) exit {too_old} ;;
  *python_version*) echo "is Python 3.9.2" ;;
  *"%d.%d"*) echo 3.12 ;;
  *ensurepip*) exit {no_venv} ;;
  *Python.h*) exit {no_headers} ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder to use as PATH, with the few programs the script itself needs."""
    for name in COREUTILS:
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    return tmp_path


def install(machine: Path, name: str, text: str = "#!/bin/sh\n") -> None:
    (machine / name).write_text(text)
    (machine / name).chmod(0o755)


def preflight(machine: Path, python: str = "", gigabytes: int = 0) -> tuple[int, str, str]:
    command = ["sh", str(SCRIPT), python, "g++", str(gigabytes)]
    done = subprocess.run(command, env={"PATH": str(machine)}, cwd=machine, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def python(too_old: int = 0, no_venv: int = 0, no_headers: int = 0) -> str:
    return STAND_IN.format(too_old=too_old, no_venv=no_venv, no_headers=no_headers)


def test_nothing_missing(machine: Path) -> None:
    install(machine, "python3", python())
    install(machine, "g++")
    assert preflight(machine) == (0, "python3", "")


def test_a_newer_python_beside_an_old_one_is_found(machine: Path) -> None:
    install(machine, "python3", python(too_old=1))
    install(machine, "python3.12", python())
    install(machine, "g++")
    assert preflight(machine) == (0, "python3.12", "")


def test_the_python_that_was_named_is_the_only_one_tried(machine: Path) -> None:
    install(machine, "python3", python())
    code, out, error = preflight(machine, python="/nowhere/python")
    assert (code, out) == (1, "")
    assert error.startswith("error: /nowhere/python does not run; Quire needs Python 3.11 to 3.13.")


@pytest.mark.parametrize(
    ("stand_in", "has_compiler", "gigabytes", "message"),
    [
        (python(too_old=1), True, 0, "python3 is Python 3.9.2; Quire needs Python 3.11 to 3.13."),
        (python(no_venv=1), True, 0, "python3 has no venv module. Install it: apt install python3.12-venv"),
        (
            python(no_headers=1),
            True,
            0,
            "python3 has no C headers (Python.h). Install them: apt install python3.12-dev",
        ),
        (python(), False, 0, "no C++ compiler: g++ is not there. Install one (apt install g++)"),
        (python(), True, 10**9, "Quire needs 1000000000 GB for torch"),
    ],
)
def test_each_missing_thing_is_one_line(
    machine: Path, stand_in: str, has_compiler: bool, gigabytes: int, message: str
) -> None:
    install(machine, "python3", stand_in)
    if has_compiler:
        install(machine, "g++")
    code, out, error = preflight(machine, gigabytes=gigabytes)
    assert (code, out, error.count("\n")) == (1, "", 0)
    assert message in error

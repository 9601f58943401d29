from pathlib import Path

import pytest

from quire.bench import registry
from quire.bench.registry import Parameter
from quire.errors import ConfigError

BENCHMARK = '''"""How fast is counting?

More words.
"""
raise RuntimeError("listing must not run this")
def cases(*, n: int = 3, sizes: tuple[int, ...] = (1, 2), rate: float = 0.5, name: str = "x", quick: bool = False):
    return []
'''


def test_benchmarks_are_read_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(BENCHMARK)
    (tmp_path / "machinery.py").write_text("def measure(): ...\n")
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text('"""How fast is arithmetic?"""\n')
    (tmp_path / "room" / "adding.py").write_text("def cases(): ...\n")
    found = registry.find_benchmarks([str(tmp_path)], package="somewhere")
    assert list(found) == ["adding", "counting"]
    assert found["adding"].module == "somewhere.room.adding"
    assert (found["counting"].module, found["counting"].help) == ("somewhere.counting", "How fast is counting?")
    assert found["counting"].parameters == (
        Parameter("n", int, 3),
        Parameter("sizes", tuple[int, ...], (1, 2)),
        Parameter("rate", float, 0.5),
        Parameter("name", str, "x"),
        Parameter("quick", bool, False),
    )


@pytest.mark.parametrize("parameter", ["n=3", "n: int", "n: bytes = b''"])
def test_a_parameter_that_can_be_no_flag_is_named(tmp_path: Path, parameter: str) -> None:
    (tmp_path / "bad.py").write_text(f"def cases(*, {parameter}): ...\n")
    with pytest.raises(ConfigError, match="parameter 'n' of benchmark 'bad'"):
        registry.find_benchmarks([str(tmp_path)])


def test_the_benchmarks_of_the_package_can_all_be_listed() -> None:
    assert all(benchmark.help.strip() for benchmark in registry.find_benchmarks().values())

"""The picture's facts are those of the contract and the sources."""

import re
import tomllib
from pathlib import Path

import pytest

from quire.errors import ConfigError
from quire.report.architecture.house import House, Use, find_contract

SOURCES = {
    "roof": '"""What is seen from afar?"""\nfrom quire import walls\nimport quire.ground\n',
    "walls/__init__": '"""What keeps the wind out?\n\nMore."""\n',
    "walls/window": '"""Glass."""\n\n\ndef look() -> None:\n    from quire.ground import earth\n\n    earth()\n',
    "cache": '"""What was computed already?"""\n',
    "ground": '"""What carries all this?"""\n',
}
LAYERS = ["roof", "walls : (cellar) | cache", "ground"]


def checkout(root: Path, layers: list[str] = LAYERS, sources: dict[str, str] = SOURCES) -> Path:
    for name, text in sources.items():
        path = root / "src" / "quire" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    pyproject = root / "pyproject.toml"
    pyproject.write_text(f"[[tool.importlinter.contracts]]\nlayers = {layers!r}\n")
    return pyproject


def test_rooms_are_those_that_are_there_in_the_order_of_the_contract(tmp_path: Path) -> None:
    house = House.read(checkout(tmp_path))
    assert [[room.name for room in layer] for layer in house.layers] == [["roof"], ["walls", "cache"], ["ground"]]
    assert house.layers[1][0].question == "What keeps the wind out?"


def test_uses_are_the_imports_wherever_they_stand(tmp_path: Path) -> None:
    house = House.read(checkout(tmp_path))
    assert house.uses == {Use("roof", "walls"), Use("roof", "ground"), Use("walls", "ground")}
    assert house.needed() == {Use("roof", "walls"), Use("walls", "ground")}
    assert (Use("roof", "walls").kind, Use("roof", "cache").kind) == ("uses", "keeps KV in")


def test_another_contract_is_another_house(tmp_path: Path) -> None:
    before = House.read(checkout(tmp_path))
    after = House.read(checkout(tmp_path, ["roof", "walls", "cache", "ground"]))
    assert len(after.layers) == len(before.layers) + 1


@pytest.mark.parametrize("text", ["", "[tool]", "[[tool.importlinter.contracts]]\nname = 'x'\n", "no toml"])
def test_without_a_contract_it_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match="has no import contract with layers"):
        House.read(tmp_path / "pyproject.toml")
    with pytest.raises(ConfigError, match=r"no import contract at .*elsewhere\.toml"):
        find_contract(tmp_path / "elsewhere.toml")


def test_a_room_that_says_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="The room ground does not say what it is for"):
        House.read(checkout(tmp_path, sources={**SOURCES, "ground": "x = 1\n"}))


def test_our_own_house() -> None:
    house = House.read(find_contract())
    rooms = {room.name for layer in house.layers for room in layer}
    contract = tomllib.loads(find_contract().read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    assert rooms == {name for name in re.findall(r"\w+", " ".join(contract)) if _is_there(name)}
    assert {Use("engine", "scheduling"), Use("scheduling", "cache"), Use("cli", "server")} <= house.uses
    below = {room.name: row for row, layer in enumerate(house.layers) for room in layer}
    assert all(below[use.user] <= below[use.used] for use in house.uses)


def _is_there(room: str) -> bool:
    package = find_contract().parent / "src" / "quire"
    return (package / room / "__init__.py").exists() or (package / f"{room}.py").exists()

"""What is in the house is in the picture, and nothing lies on top of anything else."""

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.image import imread

from quire.bench.structures.growth import OPERATIONS
from quire.errors import ConfigError
from quire.report.architecture import diagram
from quire.report.architecture.house import KINDS, USES, House, Room, Use, find_contract


def test_every_room_and_structure_is_named_in_the_picture(tmp_path: Path) -> None:
    house = House.read(find_contract())
    path = tmp_path / "deep" / "house.svg"
    diagram.draw(house, path)
    text = path.read_text()
    for layer in house.layers:
        for room in layer:
            assert f">{room.name}</text>" in text
            assert room.question.split()[0] in text
    for name in {operation.structure for operation in OPERATIONS} | {USES, *KINDS.values()}:
        assert name in text


def test_a_page_at_300_dpi(tmp_path: Path) -> None:
    path = tmp_path / "house.png"
    diagram.draw(House(((Room("a", "Why?"),), (Room("b", "How?"),)), frozenset({Use("a", "b")})), path)
    height, width = imread(path).shape[:2]
    assert (width, height) == (4500, 2820)


def test_a_change_of_the_contract_changes_the_picture(tmp_path: Path) -> None:
    a, b = Room("a", "Why?"), Room("b", "How?")
    uses = frozenset({Use("a", "b")})
    texts = []
    for number, house in enumerate(
        (House(((a,), (b,)), uses), House(((a,), (b,)), uses), House(((a, b),), frozenset()))
    ):
        path = tmp_path / f"{number}.svg"
        diagram.draw(house, path)
        texts.append(path.read_text())
    assert texts[0] == texts[1] != texts[2]


def test_boxes_do_not_touch() -> None:
    for one, other in combinations(diagram._boxes(House.read(find_contract())), 2):
        apart = abs(one.middle - other.middle) >= (one.width + other.width) / 2 or abs(one.y - other.y) >= one.height
        assert apart, f"{one.room.name} lies on {other.room.name}"
        assert min(one.x, one.y) >= 0


def test_a_format_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"house\.gif; allowed: a name that ends in \.png, \.svg, \.pdf"):
        diagram.draw(House((), frozenset()), tmp_path / "house.gif")


def test_every_feature_is_of_a_room_that_is_there() -> None:
    rooms = {room.name for layer in House.read(find_contract()).layers for room in layer}
    assert {room for room, _ in diagram.FEATURES} <= rooms
    assert {room for _, family in diagram.FAMILIES.values() for room in family} <= rooms

"""What was asked often, and of late."""

from quire.retrieval.query_heat import HALVING_S, MAX_CHARACTERS, QueryHeat


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_what_is_asked_most_comes_first_and_what_is_asked_once_is_not_told() -> None:
    heat = QueryHeat(Clock())
    for query in ("a", "b b", "a", "c", " b \n b", "a"):
        heat.add(query)
    assert heat.hottest(10) == [("a", 3), ("b b", 2)]
    assert heat.hottest(1) == [("a", 3)]


def test_counts_halve_as_time_goes_by_whether_or_not_anybody_asks() -> None:
    clock = Clock()
    heat = QueryHeat(clock)
    for query, count in (("old", 17), ("twice", 2)):
        for _ in range(count):
            heat.add(query)
    clock.now_s += HALVING_S - 1
    assert heat.hottest(9) == [("old", 17), ("twice", 2)]
    clock.now_s += 1
    assert heat.hottest(9) == [("old", 8)]
    clock.now_s += 1.5 * HALVING_S
    heat.add("old")
    assert heat.hottest(9) == [("old", 5)]
    clock.now_s += HALVING_S / 2
    assert heat.hottest(9) == [("old", 2)]
    clock.now_s += 1e6 * HALVING_S
    assert heat.hottest(9) == []


def test_only_so_much_is_kept_of_a_query_and_nothing_of_none() -> None:
    heat = QueryHeat(Clock())
    for query in ("", " \t", "x" * 10_000, "x" * 20_000, ""):
        heat.add(query)
    assert heat.hottest(9) == [("x" * MAX_CHARACTERS, 2)]

import json

from quire.bench.machine import environment


def test_digest_depends_on_facts_and_not_on_their_order() -> None:
    assert environment.digest({"a": 1, "b": 2}) == environment.digest({"b": 2, "a": 1})
    assert environment.digest({"a": 1, "b": 2}) != environment.digest({"a": 1, "b": 3})


def test_describe_is_json_and_its_hash_is_of_all_the_rest() -> None:
    facts = environment.describe()
    rest = {name: value for name, value in json.loads(json.dumps(facts)).items() if name != "hash"}
    assert facts["hash"] == environment.digest(rest)
    assert {"cpu", "kernels", "memory_gib", "python", "packages", "commit"} <= rest.keys()


def test_differences_name_both_sides_and_leave_out_the_hash() -> None:
    here, there = {"cpu": "A", "python": "3", "hash": "1"}, {"cpu": "B", "python": "3", "extra": 1, "hash": "2"}
    assert environment.differences(here, there) == ["cpu: A here, B there", "extra: None here, 1 there"]


def test_a_package_that_is_absent_has_no_version() -> None:
    assert environment.package_versions(("no-such-package",)) == {"no-such-package": None}

"""Runs the scenario while its files are watched: `python driver.py LIBRARY FOLDER MODE EVERY`, with LIBRARY preloaded.

watch     once, its calls written to FOLDER/trace
kill      each step again and again, dead at its first call, its second, …; what is left is checked each time
full      from the first call on, the second, … nothing more fits on the disk; then there is room again
broken    the first call fails, the second, …

With EVERY other than 1, only each so-manieth call has its turn. Prints how many times it went wrong.
"""

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from quire.errors import StorageError
from tests.retrieval.collection.crash import scenario

MODES = {"watch": 0, "kill": 1, "full": 2, "broken": 3}


class Faults:
    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)

    def begin(self, root: Path, mode: str, at: int = 0, trace: Path | None = None) -> None:
        self._library.faults_begin(os.fsencode(root), MODES[mode], ctypes.c_long(at), trace and os.fsencode(trace))

    def end(self) -> int:
        return self._library.faults_end()

    def done(self) -> None:
        self._library.faults_done()


def watch(faults: Faults, root: Path) -> int:
    faults.begin(root, "watch", trace=root.parent / "trace")
    for _ in scenario.run(root):
        faults.done()
    return faults.end()


def kill(faults: Faults, root: Path, number: int, at: int) -> bool:
    """Whether the step was still going on at this call."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        faults.begin(root, "kill", at)
        with scenario.open_collection(root) as collection:
            scenario.STEPS[number].do(collection, root)
            os.write(writing, b".")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        was_acknowledged = pipe.read() == b"."
    was_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    scenario.check(root, number + was_acknowledged)
    return was_killed


def fail(faults: Faults, root: Path, mode: str, number: int, at: int) -> bool:
    """Whether a call failed. The step does what it says, or says that it cannot and has done nothing."""
    num_calls = 0

    def until_possible(act: Callable, check_unchanged: Callable[[], None]):
        nonlocal num_calls
        try:
            return act()
        except StorageError:
            num_calls = faults.end()
            check_unchanged()
            return act()

    def check_unchanged() -> None:
        assert scenario.texts_in(collection) == scenario.EXPECTED[number]
        scenario.check_whole(collection)
        assert not (root / "copy").exists() or number > scenario.SNAPSHOT

    faults.begin(root, mode, at)
    collection = until_possible(lambda: scenario.open_collection(root), lambda: None)
    until_possible(lambda: scenario.STEPS[number].do(collection, root), check_unchanged)
    assert scenario.texts_in(collection) == scenario.EXPECTED[number + 1]
    collection.close()
    num_calls = num_calls or faults.end()
    with scenario.open_collection(root) as collection:
        assert scenario.texts_in(collection) == scenario.EXPECTED[number + 1]
        scenario.check_whole(collection)
    scenario.check_snapshot(root, number + 1)
    return num_calls >= at


def all_steps(faults: Faults, base: Path, mode: str, every: int) -> int:
    before, num_faults = base / "before", 0
    before.mkdir()
    for number, step in enumerate(scenario.STEPS):
        at, goes_on = 1 + number % every, True
        while goes_on:
            root = base / f"{number} {at}"
            shutil.copytree(before, root)
            goes_on = kill(faults, root, number, at) if mode == "kill" else fail(faults, root, mode, number, at)
            num_faults += goes_on
            shutil.rmtree(root)
            at += every
        with scenario.open_collection(before) as collection:
            step.do(collection, before)
    return num_faults


def main() -> None:
    library, folder, mode, every = sys.argv[1:]
    faults, base = Faults(library), Path(folder)
    if mode == "watch":
        (base / "root").mkdir()
        print(watch(faults, base / "root"))
    else:
        print(all_steps(faults, base, mode, int(every)))


if __name__ == "__main__":
    main()

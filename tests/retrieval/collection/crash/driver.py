"""Runs the scenario while its files are watched: `python driver.py LIBRARY FOLDER MODE EVERY`, with LIBRARY preloaded.

watch     once, its calls written to FOLDER/trace
replay    every state of the disk in which a kill or a power cut at a call of the trace may leave it is checked
kill      each step again and again, dead at its first call, its second, …; what is left is checked each time
full      from the first call on, the second, … nothing more fits on the disk; then there is room again
broken    the first call fails, the second, …

With EVERY other than 1, only each so-manieth call has its turn. Prints how many calls there were, or how many of them
went wrong, or how many states were checked.
"""

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from quire.errors import StorageError
from tests.retrieval.collection.crash import scenario
from tests.retrieval.collection.crash.disk import Disk, State, read_trace

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


def replay(base: Path, every: int) -> int:
    """Of what a write that was not synced may leave, only what follows each so-manieth call."""
    disk, num_done, seen = Disk(), 0, set()
    for number, call in enumerate(read_trace(base / "trace", base / "root")):
        if call.what == "done":
            num_done += 1
            continue
        disk.play(call)
        for kind, state in disk.states(call, number):
            is_due = kind in ("now", "lost") or number % every == 0
            if is_due and (known := digest(state, num_done)) not in seen:
                seen.add(known)
                root = base / f"{number} {kind}"
                lay_out(state, root)
                scenario.check(root, max(0, num_done - 1))
                shutil.rmtree(root)
    return len(seen)


def digest(state: State, num_done: int) -> bytes:
    hashed = sha256(b"%d" % num_done)
    for name in sorted(state):
        content = state[name]
        hashed.update(f"{name} {-1 if content is None else len(content)} ".encode())
        hashed.update(content or b"")
    return hashed.digest()


def lay_out(state: State, root: Path) -> None:
    root.mkdir()
    for name in sorted(state):
        content = state[name]
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)


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
    elif mode == "replay":
        print(replay(base, int(every)))
    else:
        print(all_steps(faults, base, mode, int(every)))


if __name__ == "__main__":
    main()

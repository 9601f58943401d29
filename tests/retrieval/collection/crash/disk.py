"""What a disk may hold when the power goes: a trace of what a process did to its files, played up to any point.

A process that is killed leaves everything it did (`now`). A power cut leaves of a file what it held when it was last
synced, and of a folder the names that it had when *it* was last synced; of everything later any part may have reached
the disk, in any order. `lost` keeps none of it, `mixed` keeps some unsynced writes, `torn` all but half of the last.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias

State = dict[str, bytes | None]
"""Path below the root, and what the file holds; None for a folder."""


@dataclass(frozen=True)
class Call:
    what: str
    paths: tuple[str, ...] = ()
    offset: int = 0
    data: bytes = b""


def read_trace(path: Path, root: Path) -> list[Call]:
    calls, raw, place = [], path.read_bytes(), 0
    while place < len(raw):
        end = raw.index(b"\n", place)
        what, *words = raw[place:end].decode().split()
        place = end + 1
        offset, size = 0, 0
        if what == "write":
            offset, size = int(words.pop(0)), int(words.pop(0))
        elif what == "truncate":
            offset = int(words.pop(0))
        names = tuple(str(Path(word).relative_to(root)) for word in words)
        calls.append(Call(what, names, offset, raw[place : place + size]))
        place += size
    return calls


@dataclass
class File:
    now: bytearray = field(default_factory=bytearray)
    safe: bytes = b""
    unsynced: list[Call] = field(default_factory=list)

    def take(self, call: Call) -> None:
        self.unsynced.append(call)
        _apply(self.now, call)

    def sync(self) -> None:
        self.safe, self.unsynced = bytes(self.now), []

    def mixed(self, rng: Random) -> bytes:
        content = bytearray(self.safe)
        for call in self.unsynced:
            if rng.random() < 0.5:
                _apply(content, call)
        return bytes(content)

    def torn(self) -> bytes:
        content = bytearray(self.safe)
        for call in self.unsynced[:-1]:
            _apply(content, call)
        last = self.unsynced[-1]
        _apply(content, Call(last.what, last.paths, last.offset, last.data[: len(last.data) // 2]))
        return bytes(content)


def _apply(content: bytearray, call: Call) -> None:
    if call.what == "truncate":
        del content[call.offset :]
        content.extend(bytes(call.offset - len(content)))
        return
    content.extend(bytes(max(0, call.offset - len(content))))
    content[call.offset : call.offset + len(call.data)] = call.data


@dataclass
class Folder:
    now: "dict[str, Node]" = field(default_factory=dict)
    safe: "dict[str, Node]" = field(default_factory=dict)

    def sync(self) -> None:
        self.safe = dict(self.now)


Node: TypeAlias = File | Folder


class Disk:
    def __init__(self) -> None:
        self.root = Folder()

    def play(self, call: Call) -> None:
        folder, name = self._place(call.paths[0])
        match call.what:
            case "create":
                folder.now[name] = File()
            case "mkdir":
                folder.now[name] = Folder()
            case "rmdir" | "unlink":
                del folder.now[name]
            case "link" | "rename":
                other, new_name = self._place(call.paths[1])
                other.now[new_name] = folder.now[name] if call.what == "link" else folder.now.pop(name)
            case "sync":
                (folder.now[name] if name else folder).sync()
            case "write" | "truncate":
                file = folder.now[name]
                assert isinstance(file, File)
                file.take(call)

    def states(self, last: Call, seed: int) -> Iterator[tuple[str, State]]:
        """What may be found if it all ends now; `last` is the call that was played last."""
        yield "now", self._state(_names_now, lambda file: bytes(file.now))
        if last.what != "sync":
            rng = Random(seed)
            yield "lost", self._state(_names_safe, lambda file: file.safe)
            yield "mixed", self._state(_names_now, lambda file: file.mixed(rng))
        if last.what == "write":
            folder, name = self._place(last.paths[0])
            torn = folder.now[name]
            yield "torn", self._state(_names_now, lambda file: file.torn() if file is torn else bytes(file.now))

    def _place(self, path: str) -> tuple[Folder, str]:
        folder, (*above, name) = self.root, Path(path).parts or ("",)
        for part in above:
            below = folder.now[part]
            assert isinstance(below, Folder)
            folder = below
        return folder, name

    def _state(self, names: Callable[[Folder], dict[str, Node]], content: Callable[[File], bytes]) -> State:
        found: State = {}
        waiting: list[tuple[str, Node]] = list(names(self.root).items())
        while waiting:
            path, node = waiting.pop()
            found[path] = content(node) if isinstance(node, File) else None
            if isinstance(node, Folder):
                waiting.extend((f"{path}/{name}", below) for name, below in names(node).items())
        return found


def _names_now(folder: Folder) -> dict[str, Node]:
    return folder.now


def _names_safe(folder: Folder) -> dict[str, Node]:
    return folder.safe

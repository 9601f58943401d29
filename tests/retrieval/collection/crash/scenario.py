"""What is done to a collection while things go wrong, and what must be there afterwards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quire.retrieval.collection import Collection
from quire.retrieval.store.files.segments import FoldPolicy
from tests.retrieval.fakes import HashedWords, Lines

OPTIONS = {
    "embedder": HashedWords(dim=4),
    "chunker": Lines(),
    "policy": FoldPolicy(min_rows=4, fanout=2, words_share=0.2),
}
Texts = dict[str, str]


def _documents(texts: Texts) -> list[dict]:
    return [{"id": name, "text": text, "metadata": {"first": text[0]}} for name, text in texts.items()]


ADDED = {"owl": "the owl\nwent to sea", "snark": "a boojum\nyou see", "cat": "the cat sat"}
MORE = {"hare": "march hare", "tyger": "burning bright\nin the night", "dodo": "no more"}
CHANGED = {"owl": "the owl\nstayed at home"}
AFTER = {"last": "one more line"}


@dataclass(frozen=True)
class Step:
    do: Callable[[Collection, Path], object]
    effect: Callable[[Texts], Texts] = lambda texts: texts


STEPS = [
    Step(lambda c, _: c.add(_documents(ADDED)), lambda texts: texts | ADDED),
    Step(lambda c, _: c.add(_documents(MORE)), lambda texts: texts | MORE),
    Step(lambda c, _: c.update(_documents(CHANGED)), lambda texts: texts | CHANGED),
    Step(lambda c, _: c.delete(["snark", "tyger"]), lambda texts: _without(texts, "snark", "tyger")),
    Step(lambda c, _: c.compact(progress=False)),
    Step(lambda c, root: c.snapshot(root / "copy")),
    Step(lambda c, _: c.delete(["cat"]), lambda texts: _without(texts, "cat")),
]
SNAPSHOT = 5


def _without(texts: Texts, *names: str) -> Texts:
    return {name: text for name, text in texts.items() if name not in names}


def _expected() -> list[Texts]:
    """After so many steps."""
    states: list[Texts] = [{}]
    for step in STEPS:
        states.append(step.effect(states[-1]))
    return states


EXPECTED = _expected()


def open_collection(root: Path, **options: bool) -> Collection:
    return Collection.open(root / "notes", **OPTIONS, **options)


def run(root: Path) -> Iterator[None]:
    """Yields when a step has returned; the first one is that the collection was opened."""
    with open_collection(root) as collection:
        yield
        for step in STEPS:
            step.do(collection, root)
            yield


def texts_in(collection: Collection) -> Texts:
    return {document["id"]: document["text"] for document in map(collection.get, collection.ids()) if document}


def check(root: Path, num_steps: int) -> None:
    """What was acknowledged is there, the next step is there whole or not at all, and everything works."""
    with open_collection(root) as collection:
        found = texts_in(collection)
        assert found in EXPECTED[num_steps : num_steps + 2], f"{found} after {num_steps} steps"
        check_whole(collection)
        collection.add(_documents(AFTER), progress=False)
        assert collection.search("one more line", 1, mode="dense")[0].document_id == "last"
    check_snapshot(root, num_steps)


def check_whole(collection: Collection) -> None:
    assert collection.verify(progress=False) == []
    collection.check_invariants()
    for name, text in texts_in(collection).items():
        line = text.split("\n")[-1]
        hits = collection.search(line, 1, mode="lexical", filter={"first": text[0]})
        assert (hits[0].document_id, hits[0].text) == (name, line)


def check_snapshot(root: Path, num_steps: int) -> None:
    if not (root / "copy").exists():
        assert num_steps <= SNAPSHOT
        return
    with Collection.open(root / "copy", **OPTIONS, read_only=True) as copy:
        assert texts_in(copy) == EXPECTED[SNAPSHOT]
        check_whole(copy)

"""What an engine's block events say is so: a reader who knows nothing else knows which prefixes are in the cache."""

import hashlib
import random

import numpy as np

from quire.cache.events import BlockEvent, BlocksRemoved, BlocksShared, BlocksStored
from quire.cache.prefix_index import root_digest
from quire.engine.engine import LLMEngine
from quire.engine.outputs import OutputKind
from quire.sampling_params import SamplingParams
from tests.fakes import fake_engine, greedy

BLOCK = 4
SYSTEM = [5, 6, 7, 8, 9, 10, 11, 12]


def chain(tokens: list[int], parent: bytes) -> list[bytes]:
    """The digests of the full blocks, written out by hand."""
    digests = []
    for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
        ids = np.asarray(tokens[start : start + BLOCK], dtype="<i4").tobytes()
        parent = hashlib.sha256(parent + ids).digest()
        digests.append(parent)
    return digests


class Reader:
    """Follows the events, and checks each against those before it."""

    def __init__(self) -> None:
        self.prefixes: dict[bytes, list[int]] = {root_digest(b""): []}
        self.present: set[bytes] = set()
        self.num_shared = self.num_removed = 0

    def __call__(self, event: BlockEvent) -> None:
        match event:
            case BlocksStored(digests, parent, token_ids, block_size):
                assert block_size == BLOCK
                assert list(digests) == chain(list(token_ids), parent)
                for end, digest in enumerate(digests, 1):
                    self.prefixes[digest] = [*self.prefixes[parent], *token_ids[: end * BLOCK]]
                self.present |= set(digests)
            case BlocksShared(digests):
                assert self.present.issuperset(digests)
                self.num_shared += len(digests)
            case BlocksRemoved(digests):
                assert self.present.issuperset(digests)
                self.present -= set(digests)
                self.num_removed += len(digests)


def add(engine: LLMEngine, request_id: str, prompt: list[int]) -> None:
    params = SamplingParams(temperature=0, max_tokens=9)
    engine.add_request(request_id, {"prompt_token_ids": prompt}, params, output_kind=OutputKind.FINAL)


def drain(engine: LLMEngine, reader: Reader) -> None:
    while engine.has_unfinished:
        engine.step()
        assert len(reader.present) == engine.scheduler.blocks.stats().num_findable


def test_stored_blocks_name_the_tokens_of_prompt_and_output() -> None:
    reader = Reader()
    engine, _ = fake_engine(block_size=BLOCK, observer=reader)
    prompt = [*SYSTEM, 20, 21]
    add(engine, "a", prompt)
    drain(engine, reader)
    context = prompt + greedy(prompt, 9)
    computed = context[:-1]  # nothing was asked about the last token
    assert reader.present == set(chain(computed, root_digest(b"")))
    for digest in reader.present:
        known = reader.prefixes[digest]
        assert known == context[: len(known)]


def test_shared_blocks_are_those_that_were_not_computed() -> None:
    reader = Reader()
    engine, executor = fake_engine(block_size=BLOCK, observer=reader)
    for i in range(4):
        add(engine, str(i), [*SYSTEM, 20 + i])
        drain(engine, reader)
    assert reader.num_shared == 3 * len(SYSTEM) // BLOCK
    assert executor.num_tokens == 4 * (len(SYSTEM) + 9) - reader.num_shared * BLOCK


def test_what_was_taken_for_others_is_removed() -> None:
    reader = Reader()
    engine, _ = fake_engine(num_blocks=12, max_model_len=40, block_size=BLOCK, observer=reader)
    rng = random.Random(1)
    for i in range(12):
        add(engine, str(i), [*SYSTEM, *(rng.randrange(3, 97) for _ in range(12))])
    drain(engine, reader)
    assert reader.num_removed > 0


def test_a_failed_step_and_an_abort_leave_nothing_that_was_not_computed() -> None:
    reader = Reader()
    engine, executor = fake_engine(block_size=BLOCK, max_num_batched_tokens=8, observer=reader)
    add(engine, "aborted", [*SYSTEM, *range(30, 50)])
    engine.step()
    engine.abort("aborted")
    assert reader.present == set(chain(SYSTEM, root_digest(b"")))
    executor.fail_at_step = executor.num_steps + 1
    add(engine, "failed", [*SYSTEM, *range(30, 50)])
    engine.step()
    assert reader.present == set()
    assert engine.scheduler.blocks.stats().num_findable == 0

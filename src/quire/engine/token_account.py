"""The engine's side of the process's account of tokens: what its requests and its KV cache hold.

    enter      a request came: its prompt is to be computed, its sequences may grow to their full length
    computed   its prompt is computed
    leave      it is over
    observe    running sequences hold so many blocks

A request that was let in at the door has reserved this under its id already; another finds room or is refused.
Blocks that sequences share count once. Used by the engine's thread.
"""

from collections.abc import Set
from dataclasses import replace

from quire.cache.block_manager import BlockManager
from quire.cache.token_budget import TokenBudget, Tokens
from quire.engine.prompts import PreparedRequest
from quire.errors import CapacityError


class TokenAccount:
    def __init__(self, budget: TokenBudget, blocks: BlockManager) -> None:
        self._budget = budget
        self._blocks = blocks
        self._held: dict[str, Tokens] = {}
        self.observe()

    def enter(self, request_id: str, prepared: PreparedRequest) -> None:
        """Raises CapacityError, and counts nothing, where there is too little room."""
        tokens = prepared.tokens
        if not self._budget.hold(request_id, tokens):
            raise CapacityError(
                f"The request needs {tokens}, and {self._budget.available} are left of {self._budget.limit}; "
                f"wait until others have finished."
            )
        self._held[request_id] = tokens

    def computed(self, request_id: str) -> None:
        self._held[request_id] = tokens = replace(self._held[request_id], prompt=0)
        self._budget.hold(request_id, tokens)

    def leave(self, request_id: str) -> None:
        if self._held.pop(request_id, None) is not None:
            self._budget.release(request_id)

    def observe(self) -> None:
        """Cheap enough for every step."""
        capacity = self._blocks.num_blocks * self._blocks.block_size
        if self._budget.limit.kv != capacity:
            self._budget.release(self)
            self._budget.resize(replace(self._budget.limit, kv=capacity))
        self._budget.hold(self, self._in_cache)

    @property
    def _in_cache(self) -> Tokens:
        return Tokens(kv=(self._blocks.num_blocks - self._blocks.num_free_blocks) * self._blocks.block_size)

    def check_invariants(self, request_ids: Set[str]) -> None:
        """REQUIRES: `request_ids` are in the engine, and nothing else holds tokens of this budget."""
        self._budget.check_invariants()
        assert self._held.keys() == request_ids, "a request is not counted, or counted when it has left"
        assert self._budget.stats().committed == sum(self._held.values(), self._in_cache), "held is not what is in use"

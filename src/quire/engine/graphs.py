"""Decode steps without Python: a step of each size is recorded when it first comes and replayed from then on.

A recorded step reads its input from arrays of its own, so a replay is: copy the input there, one native call, take the
hidden states from where they always are. Knows nothing of what the model computes. Invariant: hidden states and KV are
those that calling the model gives, to the bit.
"""

import logging
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from quire.engine.batch import ModelInput
from quire.kernels import NotCapturableError, Workspace, capture
from quire.layers.attention import AttentionInput

Forward: TypeAlias = Callable[[Tensor, Tensor, Tensor, AttentionInput], Tensor]
"""token_ids_T, positions_T, kv, attention -> hidden_TD."""

log = logging.getLogger(__name__)

MAX_ROWS = 64
"""Above this, what Python costs is lost beside the kernels."""
MIN_TABLE_WIDTH = 16


class DecodeGraphs:
    """The recorded steps of one model and cache, which stay where they are. One thread at a time."""

    def __init__(self, forward: Forward, kv: Tensor) -> None:
        self._forward = forward
        self._kv = kv
        self._workspace = Workspace()
        self._graphs: dict[tuple[int, int], _Graph] = {}
        self._is_possible = True

    def run(self, inputs: ModelInput) -> Tensor | None:
        """The hidden states of the step, valid until the next one; None where it is not one to be recorded."""
        rows = len(inputs.token_ids)
        if not self._is_possible or rows > MAX_ROWS or rows != len(inputs.context_lens):
            return None
        width = max(MIN_TABLE_WIDTH, 1 << (inputs.block_tables.shape[1] - 1).bit_length())
        graph = self._graphs.get((rows, width))
        if graph is not None:
            graph.fill(inputs)
            graph.replay()
            return graph.hidden_TD
        try:
            graph = _Graph(self._forward, self._kv, inputs, width, self._workspace)
        except NotCapturableError as reason:
            log.info("decode steps are not recorded: %s", str(reason))  # its traceback would hold model and cache
            self._is_possible = False
            return None
        self._graphs[rows, width] = graph
        return graph.hidden_TD


class _Graph:
    """A recorded step of as many rows as `inputs`, with block tables of up to `width`. Recording it runs it."""

    def __init__(self, forward: Forward, kv: Tensor, inputs: ModelInput, width: int, workspace: Workspace) -> None:
        rows = len(inputs.token_ids)
        token_ids, positions, slots = torch.empty(3, rows, dtype=torch.int64).unbind()
        attention = AttentionInput(
            slots=slots,
            block_tables=torch.zeros(rows, width, dtype=torch.int32),
            context_lens=torch.empty(rows, dtype=torch.int32),
            query_starts=torch.arange(rows + 1, dtype=torch.int32),
        )
        tensors = (token_ids, positions, slots, attention.context_lens, attention.block_tables)
        self._arrays = [tensor.numpy() for tensor in tensors]
        self._attention = attention  # its plans are written by the recorded calls
        self.fill(inputs)
        with capture(workspace) as recording:
            attention.plans.clear()
            self.hidden_TD = forward(token_ids, positions, kv, attention)
        self.replay = recording.replay

    def fill(self, inputs: ModelInput) -> None:
        token_ids, positions, slots, context_lens, tables = self._arrays
        token_ids[:] = inputs.token_ids
        positions[:] = inputs.positions
        slots[:] = inputs.slots
        context_lens[:] = inputs.context_lens
        tables[:, : inputs.block_tables.shape[1]] = inputs.block_tables

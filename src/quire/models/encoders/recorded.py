"""The layers of an encoder over one short text, without Python: recorded once for each length, replayed from then on.

A search waits for its question's vector, and of that a third would be Python. Knows nothing of what the layers compute.
Invariant: what comes out is what calling the layers gives, to the bit.

Threads: one at a time is served; another that comes meanwhile is told to call the layers itself.
"""

import logging
from collections.abc import Callable
from threading import Lock
from typing import TypeAlias

import torch
from torch import Tensor

from quire.kernels import NotCapturableError, Workspace, capture

Layers: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""x_TD, starts_S -> x_TD."""

log = logging.getLogger(__name__)

MAX_TOKENS = 48
"""Above this, what Python costs is lost beside the kernels."""


class RecordedLayers:
    """Of layers whose weights stay where they are for as long as this lives."""

    def __init__(self) -> None:
        self._workspace = Workspace()
        self._by_length: dict[int, _Recorded] = {}
        self._is_possible = True
        self._lock = Lock()

    @torch.inference_mode()
    def run(self, layers: Layers, x_TD: Tensor, starts_S: Tensor) -> Tensor | None:
        """The states of one text's tokens; None where it is too long, or more than one, or nothing can be recorded."""
        if not self._is_possible or len(starts_S) != 2 or len(x_TD) > MAX_TOKENS or not self._lock.acquire(False):
            return None
        try:
            recorded = self._by_length.get(len(x_TD))
            if recorded is None:
                recorded = self._by_length[len(x_TD)] = _Recorded(layers, x_TD, self._workspace)
            return recorded.of(x_TD)
        except NotCapturableError as reason:
            log.info("the layers of an encoder are not recorded: %s", str(reason))
            self._is_possible = False
            return None
        finally:
            self._lock.release()


class _Recorded:
    """For texts of one length."""

    def __init__(self, layers: Layers, x_TD: Tensor, workspace: Workspace) -> None:
        self._given_TD = x_TD.clone()
        self._starts_S = torch.tensor([0, len(x_TD)], dtype=torch.int32)
        with capture(workspace) as recording:
            self._found_TD = layers(self._given_TD, self._starts_S)
        self._replay = recording.replay

    def of(self, x_TD: Tensor) -> Tensor:
        self._given_TD.copy_(x_TD)
        self._replay()
        return self._found_TD.clone()

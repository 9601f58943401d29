"""The processes that share one model's weights, seen from one of them: its rank, and the collectives the layers use.

Knows nothing of layers or of how the processes were started. Invariant: every rank calls the same collectives in the
same order with tensors of the same shape and dtype.
"""

from typing import Protocol

import torch
import torch.distributed as dist

from quire.errors import ConfigError


class Group(Protocol):
    """A rank's view of its tensor-parallel group."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def all_reduce(self, x: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks; may be `x` itself, overwritten."""
        ...

    def all_gather(self, x: torch.Tensor, dim: int) -> torch.Tensor:
        """The `x` of every rank, joined along `dim` in the order of ranks; may be `x` itself."""
        ...


class SingleGroup:
    """A process that holds the whole model. Its collectives hand back what they are given."""

    rank = 0
    size = 1

    def all_reduce(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def all_gather(self, x: torch.Tensor, dim: int) -> torch.Tensor:  # noqa: ARG002  # joined along any dim, x is x
        return x


class TorchGroup:
    """One process of several, over torch.distributed. A process is in one such group at a time, from the start to
    `close`."""

    def __init__(self, rank: int, size: int, init_method: str, *, backend: str = "gloo") -> None:
        """Waits for the other ranks at `init_method` (`file://…` or `tcp://host:port`), which no other group uses."""
        if not 0 <= rank < size:
            raise ConfigError(f"rank is {rank}; allowed: 0 to {size - 1} in a group of {size}.")
        self.rank = rank
        self.size = size
        if dist.is_initialized():
            raise ConfigError(
                "This process is in a tensor-parallel group already; close the LLM that it belongs to, or use another "
                "process."
            )
        dist.init_process_group(backend, init_method=init_method, rank=rank, world_size=size)

    def all_reduce(self, x: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(x)
        return x

    def all_gather(self, x: torch.Tensor, dim: int) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(self.size)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts, dim=dim)

    def close(self) -> None:
        dist.destroy_process_group()


def share(what: str, count: int, group: Group) -> int:
    """How many of `count` things each rank holds. Raises ConfigError where they cannot be shared equally."""
    if count % group.size != 0:
        raise ConfigError(
            f"tensor_parallel_size is {group.size}; the model has {count} {what}, which so many processes cannot share "
            f"equally. Allowed: divisors of {count}."
        )
    return count // group.size

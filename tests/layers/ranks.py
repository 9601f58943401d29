"""Groups without processes: the collectives hand back what a rank gave, and the test joins the ranks itself."""

import torch

from quire.parallel.group import SingleGroup


class Rank(SingleGroup):
    """One rank of several that computes its share; the collectives hand back what they got, so that a test joins it."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size


def load_all(module: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Loads `module`'s parameters from whole tensors, named by part (`q_proj.weight`) or by parameter (`weight`)."""
    for name, weight in module.named_parameters():
        for part in weight.parts:
            weight.weight_loader(part, tensors[f"{part.module}.{name}" if part.module else name])

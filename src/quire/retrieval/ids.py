"""Ids and filters as callers have them, made the arrays that the native structures take."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from quire.errors import InvalidRequestError, shown


def as_ids(ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Whole numbers of 64 bits, one dimension."""
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InvalidRequestError(f"ids is {shown(ids)}; allowed: a list of whole numbers", param="ids")
    if array.dtype == np.uint64 and array.size and array.max() >= 2**63:
        raise InvalidRequestError(f"ids holds {array.max()}; allowed: up to 2**63 - 1", param="ids")
    return np.ascontiguousarray(array, dtype=np.int64)


def as_filter(allowed: npt.ArrayLike | Iterable[int] | None) -> npt.NDArray[np.bool_] | npt.NDArray[np.int64] | None:
    """None for everything, an array of bool by id, or ids."""
    if allowed is None:
        return None
    if isinstance(allowed, np.ndarray) and allowed.dtype == np.bool_ and allowed.ndim == 1:
        return np.ascontiguousarray(allowed)
    listed: Any = allowed if isinstance(allowed, np.ndarray) else list(allowed)  # type: ignore[arg-type]
    return as_ids(listed)

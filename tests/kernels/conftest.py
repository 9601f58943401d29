"""Every test that takes `isa` runs on every kernel family that this machine has."""

from collections.abc import Iterator

import pytest
import torch  # noqa: F401  before quire._native: one OpenMP runtime

from quire import _native


@pytest.fixture(params=["portable", "avx2", "avx512"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _native.isa()
    if not _native.set_isa(request.param):
        pytest.skip(f"this machine has no {request.param}")
    yield request.param
    _native.set_isa(before)

"""An error comes out of another process as the error it was."""

import pickle

import pytest

from quire.errors import InvalidRequestError, QuireError, ServerError, ServerUnreachableError


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("no", param="n", code="c"),
        ServerError("no", status=429, retry_after_s=2.0, request_id="r"),
        ServerUnreachableError("no", was_sent=True),
    ],
)
def test_errors_can_be_pickled(error: QuireError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), "no", vars(error))

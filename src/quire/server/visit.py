"""One request from its first byte to its last, over whichever protocol: its id, its time, its trace, and the line in
the log.

Neither has any part of prompts and answers.
"""

import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from quire.observability.trace import UNTRACED, Trace, Traces
from quire.server.auth import METRICS_PATH, OPEN_PATHS, Caller

log = logging.getLogger(__name__)

CLIENT_GONE = 499
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


_ASKED_ALL_THE_TIME = OPEN_PATHS | {METRICS_PATH, "/live"}
"""By programs that watch; nobody follows them."""


class Visit:
    def __init__(self, method: str, path: str, headers: Mapping[str, str], traces: Traces | None) -> None:
        given_id = headers.get("x-request-id")
        self.request_id = given_id if given_id and _REQUEST_ID.fullmatch(given_id) else uuid.uuid4().hex
        self.facts: dict[str, Any] = {}
        self.trace: Trace = UNTRACED
        if traces is not None and path not in _ASKED_ALL_THE_TIME:
            self.trace = traces.begin(f"{method} {path[:256]}", headers)
        self._method, self._path = method, path[:256]
        self.status: int | None = None
        self._started_s = time.monotonic()

    def end(self, caller: Caller | None) -> None:
        duration_ms = round((time.monotonic() - self._started_s) * 1e3, 1)
        facts = {"request_id": self.request_id, "method": self._method, "path": self._path, "status": self.status}
        name = None if caller is None else caller.name
        if self.trace.trace_id is not None:
            self.facts["trace_id"] = self.trace.trace_id
        log.info("request", extra={**facts, "duration_ms": duration_ms, "caller": name, **self.facts})
        self._end_trace(self.status or CLIENT_GONE)

    def _end_trace(self, status: int) -> None:
        self.trace.add(
            {
                "http.request.method": self._method,
                "url.path": self._path,
                "http.response.status_code": status,
                "quire.request_id": self.request_id,
            }
        )
        self.trace.end(str(status) if status >= 500 else None)

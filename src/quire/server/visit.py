"""One request from its first byte to its last, over whichever protocol: its id, its time, and the line in the log.

The line has no part of prompts and answers.
"""

import logging
import re
import time
import uuid
from typing import Any

from quire.server.auth import Caller

log = logging.getLogger(__name__)

CLIENT_GONE = 499
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class Visit:
    def __init__(self, given_id: str | None) -> None:
        self.request_id = given_id if given_id and _REQUEST_ID.fullmatch(given_id) else uuid.uuid4().hex
        self.facts: dict[str, Any] = {}
        self.status: int | None = None
        self._started_s = time.monotonic()

    def log(self, method: str, path: str, caller: Caller | None) -> None:
        duration_ms = round((time.monotonic() - self._started_s) * 1e3, 1)
        facts = {"request_id": self.request_id, "method": method, "path": path[:256], "status": self.status}
        name = None if caller is None else caller.name
        log.info("request", extra={**facts, "duration_ms": duration_ms, "caller": name, **self.facts})

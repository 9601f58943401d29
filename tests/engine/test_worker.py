"""The processes of the other ranks, where one of them cannot be started."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quire.engine import worker
from quire.engine.worker import WorkerGroup


def test_a_rank_that_cannot_be_started_leaves_no_other_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class OneOnly(subprocess.Popen[bytes]):
        """Two of three: the second has no room. The first waits for it, as at the rendezvous."""

        def __init__(self, _: list[str], **settings: Any) -> None:
            if started:
                raise OSError(errno.EAGAIN, "no room for another process")
            super().__init__([sys.executable, "-c", "import signal; signal.pause()"], **settings)
            started.append(self)

    monkeypatch.setattr(worker.subprocess, "Popen", OneOnly)
    monkeypatch.setattr(worker.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="no room for another process"):
        WorkerGroup("model", dtype="float32", quantization=None, cache=None, revision=None, size=3, num_threads=1)
    assert [process.poll() is not None for process in started] == [True]
    assert list(tmp_path.iterdir()) == []

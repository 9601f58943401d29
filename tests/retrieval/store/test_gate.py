"""Many inside together or one alone, and nobody shut out for ever."""

import signal
import threading

import pytest

from quire.retrieval.store.gate import Gate
from tests.patience import PATIENCE_S


def test_who_is_interrupted_while_he_waits_to_be_alone_keeps_nobody_out() -> None:
    gate, is_inside, may_leave = Gate(), threading.Event(), threading.Event()

    def read() -> None:
        with gate.shared():
            is_inside.set()
            may_leave.wait(PATIENCE_S)

    reader = threading.Thread(target=read)
    reader.start()
    is_inside.wait(PATIENCE_S)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt), gate.exclusive():
            pass
    finally:
        signal.signal(signal.SIGALRM, before)
    later = threading.Thread(target=read, daemon=True)
    is_inside.clear()
    later.start()
    assert is_inside.wait(PATIENCE_S), "the one who waits no longer still goes before others"
    may_leave.set()
    reader.join()
    later.join()

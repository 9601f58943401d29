"""Long work on a terminal shows what is done and how fast; short work, and work elsewhere, shows nothing."""

import io

import pytest
from rich.console import Console

from quire.observability.progress import GenerationProgress, WorkProgress


def drawn(duration_s: float, *, is_terminal: bool = True, enabled: bool = True) -> str:
    """What 10 requests, 4 of them done at the end, put on the screen."""
    now_s, tokens, screen = [100.0], [(50, 7)], io.StringIO()
    console = Console(file=screen, force_terminal=is_terminal, width=120)
    progress = GenerationProgress(
        10, lambda: 4, lambda: tokens[0], enabled=enabled, console=console, clock=lambda: now_s[0]
    )
    with progress:
        now_s[0] += duration_s
        tokens[0] = (50 + 3000, 7 + 100)
        progress.update()
    return screen.getvalue()


def test_rates_are_of_this_work_alone() -> None:
    shown = drawn(2.0)
    assert "4/10" in shown
    assert "prefill 1,500 tok/s, decode 50 tok/s" in shown


@pytest.mark.parametrize(
    "quiet", [{"duration_s": 0.4}, {"duration_s": 2.0, "is_terminal": False}, {"duration_s": 2.0, "enabled": False}]
)
def test_nothing_is_drawn(quiet: dict) -> None:
    assert "tok/s" not in drawn(**quiet)


def test_work_shows_how_much_is_done_and_how_fast() -> None:
    now_s, screen = [100.0], io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with WorkProgress("Indexing", 50, console=console, clock=lambda: now_s[0]) as progress:
        progress.advance(10)
        now_s[0] += 2
        progress.advance(20)
    assert "Indexing" in screen.getvalue()
    assert "30/50" in screen.getvalue()
    assert "15/s" in screen.getvalue()


def test_work_that_ends_at_once_writes_nothing() -> None:
    screen = io.StringIO()
    with WorkProgress("Indexing", 1, console=Console(file=screen, force_terminal=False)) as progress:
        progress.advance()
    assert screen.getvalue() == ""

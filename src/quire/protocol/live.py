"""The answer of /live."""

from typing_extensions import TypedDict


class Quantiles(TypedDict):
    count: int
    """Of the values that these are of: those seen last."""
    p50: float | None
    p95: float | None


class Blocks(TypedDict):
    """A map of the KV cache, a letter a cell: `.` free, `f` findable, `h` held, `s` shared; capital: hot."""

    cells: str
    blocks_per_cell: int
    counts: dict[str, int]
    """Blocks by letter."""


class HotQuery(TypedDict):
    query: str
    count: int
    """How often, where ten minutes ago counts for half."""


class Live(TypedDict):
    model: str
    num_running: int
    num_waiting: int
    num_prompt_tokens: int
    """Computed since the start, as the other counts; whoever asks twice knows the rate."""
    num_output_tokens: int
    num_cached_tokens: int
    """Of prompts, found in the cache."""
    num_preemptions: int
    first_token_s: Quantiles
    hot_queries: list[HotQuery]
    """What collections are asked most of late, most first; nothing that was asked once."""
    blocks: Blocks

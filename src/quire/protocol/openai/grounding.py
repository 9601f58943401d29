"""What a chat asks of a collection: which passages its answer may stand on."""

from typing import Annotated, Any, Literal

from pydantic import Field

from quire.protocol.fields import Body
from quire.sampling_params import MAX_TOKENS

MAX_PASSAGES = 64


class RetrievalOptions(Body):
    k: Annotated[int, Field(ge=1, le=MAX_PASSAGES)] = 4
    """Passages that are looked for."""
    mode: Literal["hybrid", "dense", "lexical"] | None = None
    """Default: hybrid where the collection has vectors."""
    filter: dict[str, Any] | None = None
    """On metadata."""
    max_prompt_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    """Of the whole prompt; fewer passages are shown where they would make it longer."""

"""`quire serve`: the model over HTTP, as the OpenAI API has it."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.flags import with_flags
from quire.config import EngineConfig
from quire.server.settings import ServerSettings

if TYPE_CHECKING:
    from quire.engine.async_engine import AsyncEngine

API_KEY_VARIABLE = "QUIRE_API_KEY"


@with_flags(server=ServerSettings, engine=EngineConfig)
def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="A Hugging Face directory, a GGUF file or a hub id. Default: the one we carry."
        ),
    ] = None,
    *,
    server: dict[str, Any],
    engine: dict[str, Any],
) -> None:
    """Serve a model over HTTP, as the OpenAI API has it, until Ctrl-C or SIGTERM.

    Keys can also stand in QUIRE_API_KEY, with commas between. The flags below Engine are those of quire generate.
    """
    from quire.models.embedded import EMBEDDED_MODEL, EMBEDDED_NOTE
    from quire.models.text.chat_template import read_template
    from quire.server import run
    from quire.server.state import ServedModel

    settings, config = ServerSettings(**_with_keys(server)), EngineConfig.from_kwargs(engine)
    if model is None:
        print(EMBEDDED_NOTE, file=sys.stderr)
    served = ServedModel(
        names=settings.served_model_name or (model or EMBEDDED_MODEL.name,),
        chat_template=config.chat_template and read_template(config.chat_template),
        is_by_deadline=config.scheduling_policy == "slo",
    )
    run.serve(lambda: _load(model or EMBEDDED_MODEL, config), served, settings)


def _load(model: str | Path, config: EngineConfig) -> "AsyncEngine":
    from quire.engine.assembly import assemble
    from quire.engine.async_engine import AsyncEngine

    return AsyncEngine(assemble(model, config, show_progress=sys.stderr.isatty()))


def _with_keys(given: dict[str, Any]) -> dict[str, Any]:
    """Keys on the command line are seen by everyone on the machine; those of the environment are not."""
    listed = os.environ.get(API_KEY_VARIABLE, "")
    keys = tuple(key.strip() for key in listed.split(",") if key.strip())
    return {"api_key": keys, **given} if keys else given

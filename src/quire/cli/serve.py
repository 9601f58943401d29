"""`quire serve`: the model over HTTP, as the OpenAI API has it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.flags import with_flags
from quire.cli.help import GroupedCommand
from quire.cli.sources import ConfigFile
from quire.cli.vllm_flags import refuse_foreign
from quire.config import EngineConfig
from quire.server.settings import ServerSettings

if TYPE_CHECKING:
    from quire.engine.async_engine import AsyncEngine


class ServeCommand(GroupedCommand):
    """Takes what vLLM's users type from memory: `--model MODEL`, `MODEL --served-model-name a b`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = {name: parameter for parameter in self.params for name in parameter.opts if name.startswith("-")}
        refuse_foreign(args, options)
        return super().parse_args(ctx, list(_as_we_write(args, options)))


def _as_we_write(arguments: list[str], options: dict[str, Any]) -> Iterator[str]:
    """`--model MODEL` as `MODEL`, and `--name a b` as `--name a --name b` once MODEL was given: before, b is MODEL."""
    is_value, current, is_model_known = False, None, False
    for argument in arguments:
        name, equals, rest = argument.partition("=")
        if is_value:
            is_value = False
        elif name == "--model":
            current = None
            if not equals:
                continue
            argument, is_model_known = rest, True
        elif argument.startswith("-"):
            current = options.get(name)
            is_value = not equals and current is not None and not current.is_flag
        elif is_model_known and current is not None and current.multiple:
            yield current.opts[0]
        else:
            is_model_known = True
        yield argument


@with_flags(server=ServerSettings, engine=EngineConfig)
def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A Hugging Face directory, a GGUF file or a hub id; also as --model. Default: the one we carry.",
        ),
    ] = None,
    config: ConfigFile = None,  # noqa: ARG001 (its callback reads it)
    *,
    server: dict[str, Any],
    engine: dict[str, Any],
) -> None:
    """Serve a model over HTTP, as the OpenAI API has it, until Ctrl-C or SIGTERM.

    Every flag can also stand in a YAML file (--config) or in the environment, --max-num-seqs as QUIRE_MAX_NUM_SEQS;
    keys are best kept there: the command line is seen by everyone on the machine.
    """
    from quire.models.embedded import EMBEDDED_MODEL, EMBEDDED_NOTE
    from quire.models.text.chat_template import read_template
    from quire.server import run
    from quire.server.state import ServedModel

    settings, engine_config = ServerSettings(**server), EngineConfig.from_kwargs(engine)
    if model is None:
        print(EMBEDDED_NOTE, file=sys.stderr)
    served = ServedModel(
        names=settings.served_model_name or (model or EMBEDDED_MODEL.name,),
        chat_template=engine_config.chat_template and read_template(engine_config.chat_template),
        is_by_deadline=engine_config.scheduling_policy == "slo",
    )
    run.serve(lambda: _load(model or EMBEDDED_MODEL, engine_config), served, settings)


def _load(model: str | Path, config: EngineConfig) -> "AsyncEngine":
    from quire.cache.heat import BlockHeat
    from quire.engine.assembly import assemble
    from quire.engine.async_engine import AsyncEngine

    heat = BlockHeat()
    return AsyncEngine(assemble(model, config, show_progress=sys.stderr.isatty(), observer=heat), heat)

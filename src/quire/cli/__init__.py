"""How do I use all this from a shell?

One file per command. Flags are made from the fields they set (`flags.py`), so a knob is written once. Loading a model
or a benchmark is left to the command that needs it: `quire --help` imports no torch.
"""

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """The `quire` command."""
    try:
        from quire.cli.app import app

        app()
    except KeyboardInterrupt:  # while modules are loaded; typer sees the later ones
        sys.exit(EXIT_INTERRUPTED)

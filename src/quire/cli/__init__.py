"""How do I use all this from a shell?

One file per command. Flags are made from the fields they set (`flags.py`), so a knob is written once. Loading a model
or a benchmark is left to the command that needs it: `quire --help` imports no torch.
"""

import errno
import os
import sys

EXIT_INTERRUPTED = 130
EXIT_UNWRITTEN = 1
_UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """The `quire` command."""
    try:
        from quire.cli.app import app

        try:
            app()
        finally:
            print(end="", flush=True)  # what cannot be written is to be heard of here, not when Python ends
    except KeyboardInterrupt:  # while modules are loaded; typer sees the later ones
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left has nowhere to go
        if error.errno != errno.EPIPE:  # whoever closed the pipe has read enough
            print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(EXIT_UNWRITTEN)

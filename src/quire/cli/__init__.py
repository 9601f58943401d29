"""How do I use all this from a shell?

One file per command. Flags are made from the fields they set (`flags.py`), so a knob is written once. Loading a model
or a benchmark is left to the command that needs it: `quire --help` imports no torch.
"""


def main() -> None:
    """The `quire` command."""
    from quire.cli.app import app

    app()

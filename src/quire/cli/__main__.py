"""`python -m quire.cli`: the `quire` command where it is not installed."""

from quire.cli import main

main()

"""`quire bench download [NAME]`: a published collection into a folder, when somebody asks for it.

Says where from, how large and with which checksum before anything is fetched.
"""

from pathlib import Path
from typing import Annotated

import typer

from quire.cli.writing import make_folder


def download(
    name: Annotated[str, typer.Argument(help="Which; without one, all there are are listed.")] = "",
    into: Annotated[Path, typer.Option(help="The folder that its own folder is made in.")] = Path("datasets"),
    mirror: Annotated[
        str | None, typer.Option(help="The address below which its archive lies; by default its publisher's.")
    ] = None,
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from quire.bench.datasets.download import BEIR, PUBLISHER, published
    from quire.bench.datasets.download import download as fetch

    mirror = mirror or PUBLISHER
    if not name:
        for known in BEIR.values():
            print(f"{known.name:18} {known.num_bytes / 1e6:9,.1f} MB  md5 {known.md5}  {known.url(mirror)}")
        return
    wanted = published(name)
    make_folder(into)
    print(f"{wanted.url(mirror)}: {wanted.num_bytes / 1e6:,.1f} MB, md5 {wanted.md5}")
    columns = (TextColumn(wanted.name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=wanted.num_bytes)
        folder = fetch(wanted, into, mirror, lambda num_bytes: bar.advance(task, num_bytes))
    print(f"{folder}: quire bench retrieval_quality --data {folder}")

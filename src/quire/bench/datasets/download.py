"""Fetches a published collection, when somebody asks for it by name: `quire bench download NAME`.

What comes is believed only if it has the size and the MD5 that its publishers name. Of the archive only what a
collection is made of is unpacked, and the folder appears when it is whole.
"""

import hashlib
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from quire.errors import ConfigError, suggest

PUBLISHER = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets"
PIECE_BYTES = 1 << 20
TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Published:
    name: str
    num_bytes: int
    md5: str

    def url(self, mirror: str = PUBLISHER) -> str:
        return f"{mirror.rstrip('/')}/{self.name}.zip"


BEIR = {
    name: Published(name, num_bytes, md5)
    for name, num_bytes, md5 in (
        ("nfcorpus", 2_448_432, "a89dba18a62ef92f7d323ec890a0d38d"),
        ("scifact", 2_816_079, "5f7d1de60b170fc8027bb7898e2efca1"),
        ("arguana", 3_773_617, "8ad3e3c2a5867cdced806d6503f29b99"),
        ("fiqa", 17_948_027, "17918ed23cd04fb15047f73e6c3bd9d9"),
        ("trec-covid", 73_876_720, "ce62140cb23feb9becf6270d0d1fe6d1"),
        ("webis-touche2020", 227_132_363, "46f650ba5a527fc69e0a6521c5a23563"),
        ("nq", 498_307_926, "d4d3d2e48787a744b6f6e691ff534307"),
        ("hotpotqa", 654_025_350, "f412724f78b0d91183a0e86805e16114"),
        ("msmarco", 4_108_225_863, "244067daf65d982533ea17ebd59501e4"),
    )
}


def published(name: str) -> Published:
    if name not in BEIR:
        raise ConfigError(f"{name!r} is no collection known here; there are {', '.join(BEIR)}.{suggest(name, BEIR)}")
    return BEIR[name]


def download(wanted: Published, into: Path, mirror: str, progress: Callable[[int], None] = lambda _: None) -> Path:
    """The folder of the collection, below `into`; one that is there already is left as it is. `progress` is told how
    many bytes came. Raises ConfigError where it cannot be had whole."""
    folder = into / wanted.name
    if folder.exists():
        return folder
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".download-") as place:
        archive = Path(place) / "archive.zip"
        _fetch(wanted, wanted.url(mirror), archive, progress)
        unpacked = _unpack(archive, wanted.name, Path(place) / wanted.name)
        unpacked.rename(folder)
    return folder


def _fetch(wanted: Published, url: str, archive: Path, progress: Callable[[int], None]) -> None:
    digest, num_bytes = hashlib.md5(usedforsecurity=False), 0
    with archive.open("wb") as file:
        for piece in _pieces(url):
            num_bytes += len(piece)
            digest.update(piece)
            if num_bytes > wanted.num_bytes:
                break
            file.write(piece)
            progress(len(piece))
    if (num_bytes, digest.hexdigest()) != (wanted.num_bytes, wanted.md5):
        raise ConfigError(
            f"{url} has {num_bytes:,} bytes or more with MD5 {digest.hexdigest()}; {wanted.name} has "
            f"{wanted.num_bytes:,} with {wanted.md5}. Nothing was kept."
        )


def _pieces(url: str) -> Iterator[bytes]:
    if not url.startswith(("https://", "http://")):
        raise ConfigError(f"{url} is no address of a server; allowed: https://… and http://….")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            while piece := response.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise ConfigError(f"{url} cannot be fetched: {error}") from error


def _unpack(archive: Path, name: str, folder: Path) -> Path:
    """Members by names that are known, so that none can lie elsewhere."""
    with zipfile.ZipFile(archive) as packed:
        for member in packed.namelist():
            if _is_wanted(PurePosixPath(member), name):
                target = folder.joinpath(*PurePosixPath(member).parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    if not folder.exists():
        raise ConfigError(f"The archive of {name} has no corpus.jsonl, queries.jsonl or qrels.")
    return folder


def _is_wanted(member: PurePosixPath, name: str) -> bool:
    top, *rest = member.parts or ("",)
    if top != name:
        return False
    if len(rest) == 2:
        return rest[0] == "qrels" and rest[1].endswith(".tsv")
    return rest in (["corpus.jsonl"], ["queries.jsonl"])

"""Reviews of Amazon's products, an object a line, in both shapes in which they were published.

    2014, 2018    reviewText, summary, asin, reviewerID        2023    text, title, parent_asin, asin, user_id

A document is one review; its id is that of the product and the number of the line. Those without a word are left out.
"""

from collections.abc import Iterator
from pathlib import Path

from quire.bench.datasets import files
from quire.bench.datasets.documents import Document
from quire.errors import ConfigError

PRODUCT = ("parent_asin", "asin")


def documents(path: Path) -> Iterator[Document]:
    for number, entry in files.json_objects(path):
        product = files.text_of(entry, PRODUCT, path, number)
        names = ("title", "text") if "parent_asin" in entry or "text" in entry else ("summary", "reviewText")
        title, text = (files.text_of(entry, (name,), path, number) if entry.get(name) else "" for name in names)
        if title.strip() or text.strip():
            yield Document(f"{product}-{number}", text, title)


def is_one(path: Path) -> bool:
    """Whether the first line is of a review."""
    try:
        _, entry = next(files.json_objects(path))
    except (ConfigError, StopIteration):
        return False
    return any(name in entry for name in PRODUCT)

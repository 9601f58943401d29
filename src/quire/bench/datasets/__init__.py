"""Which texts, and which questions about them, is it measured on?

`open_dataset("PATH[:format]")` reads local files in the shapes in which collections are published, one document at a
time. `download` fetches one when somebody asks for it, and never else.
"""

from quire.bench.datasets.dataset import FORMATS, Dataset, open_dataset
from quire.bench.datasets.documents import Document, Question

__all__ = ["FORMATS", "Dataset", "Document", "Question", "open_dataset"]

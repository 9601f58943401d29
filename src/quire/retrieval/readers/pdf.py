"""PDF to plain text, by pypdf. A form feed stands between pages; words that a line's end broke are joined again."""

import logging
import re
from io import BytesIO

from quire.errors import ConfigError, InvalidRequestError

# Its remarks on broken files go where logs go, if anywhere.
logging.getLogger("pypdf").addHandler(logging.NullHandler())
_BROKEN_WORD = re.compile(r"(?<=\w)-\n(?=[^\W\d_A-Z])")


def read_pdf(name: str, content: bytes) -> str:
    """Raises ConfigError without pypdf, InvalidRequestError where there is no PDF that can be read."""
    try:
        from pypdf import PdfReader
    except ModuleNotFoundError as error:
        raise ConfigError(f"{name} needs pypdf to be read: pip install 'quire[documents]'") from error
    try:
        reader = PdfReader(BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InvalidRequestError(f"{name} is encrypted; save a copy without a password")
        pages = [page.extract_text() for page in reader.pages]
    except InvalidRequestError:
        raise
    except Exception as error:  # the library raises whatever a broken file brings about
        raise InvalidRequestError(f"{name} is no PDF that can be read: {error}") from error
    return "\f".join(_whole_words(page) for page in pages)


def _whole_words(text: str) -> str:
    """Half characters, which fonts of some files map to, are not text."""
    return _BROKEN_WORD.sub("", text).encode(errors="replace").decode()

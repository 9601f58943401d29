"""Which end of a text cannot be decided before more of it is there."""


def undecided(text: str, mark: str) -> int:
    """How many characters at the end of `text` could be the beginning of `mark`, not all of it."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0

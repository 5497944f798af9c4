"""The reasons why a content could not be scanned.

Always: pure; a reason says what is wrong with a content, never what the content is.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The stable codes of the reasons that `scan` reports; programs may rely on them."""

    UNREADABLE = "unreadable"
    CHANGED = "changed"
    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too-large"
    TOO_DEEP = "too-deep"
    MISSING = "missing"
    NOT_FETCHED = "not-fetched"
    IN_LFS = "in-git-lfs"
    UNMERGED = "unmerged"
    NO_ANSWER = "no-answer"


class ClosedError(Exception):
    """A content, or the rest of it, cannot be read; `why` is the reason."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why.value)
        self.why = why

"""The reasons why a content could not be scanned.

Always: the module is pure. A reason names a problem and contains nothing of the content.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The reasons that `scan` reports. Their codes are stable, so programs may rely on them."""

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
    """A content cannot be read, or cannot be read to its end. `why` is the reason."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why.value)
        self.why = why

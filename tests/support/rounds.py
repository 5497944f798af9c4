"""How many rounds a test has: few usually, many where TESTS_DEEP is set, as before a release."""

import os


def rounds(few: int, many: int) -> int:
    """The number for this run."""
    return many if os.environ.get("TESTS_DEEP") else few

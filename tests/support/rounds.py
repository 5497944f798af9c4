"""The number of rounds of a test: few by default, many if TESTS_DEEP is set, as before a release."""

import os
from collections.abc import Sequence
from typing import TypeVar

_Each = TypeVar("_Each")


def rounds(few: int, many: int) -> int:
    """Return the number for this run."""
    return many if os.environ.get("TESTS_DEEP") else few


def in_turn(everything: Sequence[_Each], number: int, few: int) -> list[_Each]:
    """So many of them for the case of that number, which go on where those of the case before ended; or all."""
    return [everything[(number * few + each) % len(everything)] for each in range(rounds(few, len(everything)))]

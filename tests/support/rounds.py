"""The number of rounds of a test: few by default, many if TESTS_DEEP is set, as before a release."""

import os
from collections.abc import Sequence
from typing import TypeVar

_Each = TypeVar("_Each")


def rounds(few: int, many: int) -> int:
    """Return `many` if TESTS_DEEP is set, otherwise `few`."""
    return many if os.environ.get("TESTS_DEEP") else few


def in_turn(everything: Sequence[_Each], number: int, few: int) -> list[_Each]:
    """Return `few` items for case `number`, beginning after those of the case before. With TESTS_DEEP, return all."""
    return [everything[(number * few + each) % len(everything)] for each in range(rounds(few, len(everything)))]

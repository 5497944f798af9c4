"""Fixtures of the tests of prompts."""

import pytest

from tests.support.page_client import Kept


@pytest.fixture
def kept() -> Kept:
    """What keeps the values that are entered on a page."""
    return Kept()

"""Fixtures of the tests of what the person does."""

import os

import pytest

from claude_secrets.keys.passphrase import Stretching


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases are stretched a little only: how well is tested elsewhere."""
    cheap = staticmethod(lambda: Stretching(salt=os.urandom(16).hex(), iterations=1, lanes=1, memory_kib=64))
    monkeypatch.setattr(Stretching, "new", cheap)

"""Fixtures for the tests of the person's operations."""

import os

import pytest

from claude_secrets.keys.passphrase import Stretching


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch passphrases with weak, fast settings; other tests check the real settings."""
    cheap = staticmethod(lambda: Stretching(salt=os.urandom(16).hex(), iterations=1, lanes=1, memory_kib=64))
    monkeypatch.setattr(Stretching, "new", cheap)

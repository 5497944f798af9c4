"""Passphrases: how they become master keys, and which of them are good enough. store-format.md specifies the first.

Always: no passphrase is repeated in an error.
"""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import CallerError, Code, CustodyError
from claude_secrets.keys.cipher import stretched
from claude_secrets.keys.strength import weakness
from claude_secrets.paths import account_home

SHORTEST: Final = 12
"""Characters in a passphrase, at least."""

# The caps keep a changed store from making us work for ever; the least is what Argon2 takes (RFC 9106, 3.1).
_MOST: Final = {"iterations": 32, "lanes": 16, "memory_kib": 1024 * 1024}

_KNOWN: Final = ("claude", "secrets", "claude-secrets", "anthropic")


class Stretching(NamedTuple):
    """How Argon2id (RFC 9106) stretches a passphrase; `salt` in hexadecimal, `memory_kib` in KiB.

    By default the RFC's second recommended choice (section 4), for machines that need not have 2 GiB to spare.
    """

    salt: str
    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 64 * 1024

    @classmethod
    def new(cls) -> "Stretching":
        """With a salt of its own."""
        return cls(salt=os.urandom(16).hex())

    @classmethod
    def from_params(cls, params: object) -> "Stretching":
        """What a slot's `params` say.

        Raises:
            CustodyError: KEY_WRONG where they are none, or ask for more work than a reader may be made to do.
        """
        wrong = CustodyError(
            Code.KEY_WRONG,
            "A key slot of the store does not say how its passphrase is stretched, or asks for too much work.",
            "Put back a copy of the store that is whole.",
        )
        if not isinstance(params, dict) or params.get("kdf") != "argon2id":
            raise wrong
        salt = params.get("salt")
        if not isinstance(salt, str) or not _is_hex(salt) or not 32 <= len(salt) <= 128:
            raise wrong
        numbers: dict[str, int] = {}
        for key, most in _MOST.items():
            number = params.get(key)
            if type(number) is not int or not 1 <= number <= most:
                raise wrong
            numbers[key] = number
        stretching = cls(salt=salt, **numbers)
        if stretching.memory_kib < 8 * stretching.lanes:
            raise wrong
        return stretching

    def params(self) -> dict[str, object]:
        """As a slot keeps it."""
        return {"kdf": "argon2id", **self._asdict()}

    def master_key(self, passphrase: str) -> bytes:
        """The master key that a passphrase gives; its Unicode is composed (NFC) first, as keyboards differ."""
        return stretched(
            unicodedata.normalize("NFC", passphrase).encode("utf-8"),
            salt=bytes.fromhex(self.salt),
            iterations=self.iterations,
            lanes=self.lanes,
            memory_kib=self.memory_kib,
        )


def check(passphrase: str, known: Sequence[str] = ()) -> str:
    """Return a new passphrase that is long enough and hard to guess.

    `known` are words of the person's own, such as a project's name, that whoever guesses would try.

    Raises:
        CallerError: INVALID_VALUE.
    """
    advice = "Take five words that nobody would put together, or 16 letters from a password manager."
    if len(passphrase) < SHORTEST:
        raise CallerError(Code.INVALID_VALUE, f"A passphrase has {SHORTEST} characters at least.", advice)
    reason = weakness(unicodedata.normalize("NFC", passphrase), [*_KNOWN, *known])
    if reason is not None:
        raise CallerError(Code.INVALID_VALUE, f"This passphrase is easy to guess: {reason}.", advice)
    return passphrase


def known_words(*directories: Path) -> list[str]:
    """Words that whoever guesses a person's passphrase tries first: the account's name and those of `directories`."""
    return [account_home().name, *(directory.name for directory in directories)]


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and set(text) <= set("0123456789abcdef")

"""Passphrases: derive master keys from passphrases, and refuse new passphrases that are weak.

docs/reference/store-format.md specifies how a master key is derived.

Always: no error contains a passphrase.
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
"""The minimum number of characters in a new passphrase."""

# The maxima limit the work that a manipulated store can cause. The minima are Argon2's own (RFC 9106, 3.1).
_MOST: Final = {"iterations": 32, "lanes": 16, "memory_kib": 1024 * 1024}

_KNOWN: Final = ("claude", "secrets", "claude-secrets", "anthropic")


class Stretching(NamedTuple):
    """The Argon2id parameters (RFC 9106) that stretch a passphrase. `salt` is hexadecimal, `memory_kib` is in KiB.

    The default values are the RFC's second recommended option (section 4), for machines that cannot spare 2 GiB of
    memory.
    """

    salt: str
    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 64 * 1024

    @classmethod
    def new(cls) -> "Stretching":
        """Return the default parameters with a new random salt."""
        return cls(salt=os.urandom(16).hex())

    @classmethod
    def from_params(cls, params: object) -> "Stretching":
        """Read the parameters from a slot's `params`.

        Raises:
            CustodyError: KEY_WRONG if the parameters are invalid or exceed the maxima.
        """
        wrong = CustodyError(
            Code.KEY_WRONG,
            "A key slot of the store has passphrase parameters that are invalid or demand too much work.",
            "Restore an undamaged copy of the store.",
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
        """Return the parameters in the form that a slot stores."""
        return {"kdf": "argon2id", **self._asdict()}

    def master_key(self, passphrase: str) -> bytes:
        """Derive the master key from a passphrase.

        The passphrase is normalised to NFC first, because keyboards encode some characters differently.
        """
        return stretched(
            unicodedata.normalize("NFC", passphrase).encode("utf-8"),
            salt=bytes.fromhex(self.salt),
            iterations=self.iterations,
            lanes=self.lanes,
            memory_kib=self.memory_kib,
        )


def check(passphrase: str, known: Sequence[str] = ()) -> str:
    """Return `passphrase` unchanged if it is long enough and hard to guess.

    `known` contains words that an attacker would try for this person, such as a project's name.

    Raises:
        CallerError: INVALID_VALUE for any other passphrase.
    """
    advice = "Use five words that nobody would put together, or 16 letters from a password manager."
    if len(passphrase) < SHORTEST:
        raise CallerError(Code.INVALID_VALUE, f"A passphrase must have at least {SHORTEST} characters.", advice)
    reason = weakness(unicodedata.normalize("NFC", passphrase), [*_KNOWN, *known])
    if reason is not None:
        raise CallerError(Code.INVALID_VALUE, f"This passphrase is easy to guess: {reason}.", advice)
    return passphrase


def known_words(*directories: Path) -> list[str]:
    """Return words that an attacker would try first: the account's name and the names of `directories`."""
    return [account_home().name, *(directory.name for directory in directories)]


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and set(text) <= set("0123456789abcdef")

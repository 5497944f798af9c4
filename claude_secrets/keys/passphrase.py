"""Passphrases and recovery codes: how they become master keys, and how a code is written and read.

Always: pure; neither is repeated in an error. A code is a passphrase that the program draws, in groups of five
characters of which the last one checks the group. FORMAT.md specifies both. `custody.py` and the faces import it.
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

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""The 31 characters of recovery codes, a prime number: none of them looks like another (no 0, O, 1, I, L)."""

GROUPS: Final = 7
_IN_GROUP: Final = 4  # and one that checks them: 7 * 4 characters of 31 are 138 bits

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
    def read(cls, params: object) -> "Stretching":
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
        found = cls(salt=salt, **numbers)
        if found.memory_kib < 8 * found.lanes:
            raise wrong
        return found

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


def new_code() -> str:
    """Draw a recovery code, as it is shown: `ABCD2-…`, seven groups."""
    import secrets

    groups = ["".join(secrets.choice(ALPHABET) for _ in range(_IN_GROUP)) for _ in range(GROUPS)]
    return "-".join(group + _check_character(number, group) for number, group in enumerate(groups, start=1))


def read_code(text: str) -> str:
    """A recovery code that was typed, as `new_code` shows it; case, blanks and dashes do not matter.

    Raises:
        CallerError: INVALID_VALUE, naming the group that was mistyped.
    """
    typed = "".join(text.upper().replace("-", " ").split())
    size = _IN_GROUP + 1
    groups = [typed[at : at + size] for at in range(0, len(typed), size)]
    if len(typed) != GROUPS * size:
        separate = text.replace("-", " ").split()
        short = [number for number, group in enumerate(separate, start=1) if len(group) != size]
        which = f" Look at group {short[0]}." if len(separate) == GROUPS and short else ""
        raise CallerError(
            Code.INVALID_VALUE,
            f"A recovery code has {GROUPS} groups of {size} characters; this is another length.{which}",
        )
    for number, group in enumerate(groups, start=1):
        if any(character not in ALPHABET for character in group) or _check_character(number, group[:-1]) != group[-1]:
            raise CallerError(Code.INVALID_VALUE, f"Group {number} of the recovery code is mistyped.")
    return "-".join(groups)


def _check_character(number: int, group: str) -> str:
    """The character that checks a group of that number (from 1).

    Characters count by their place in the alphabet, the five of a group with the weights 1 to 5, the group's number
    with 6; the sum is 0 modulo 31. As 31 is prime and the weights differ, any one wrong character, any two that
    changed places, and a group in another one's place make it another sum.
    """
    total = 6 * number + sum(weight * ALPHABET.index(character) for weight, character in enumerate(group, start=1))
    return ALPHABET[-total * pow(5, -1, len(ALPHABET)) % len(ALPHABET)]


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and set(text) <= set("0123456789abcdef")

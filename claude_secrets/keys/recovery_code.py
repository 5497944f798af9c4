"""Recovery codes: passphrases that the program draws, and how they are written and read.

Always: pure but for the drawing; no code is repeated in an error. A code has groups of five characters, of which the
last one checks the group. docs/reference/store-format.md specifies it.
"""

from typing import Final

from claude_secrets.errors import CallerError, Code

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""The 31 characters of recovery codes, a prime number: none of them looks like another (no 0, O, 1, I, L)."""

GROUPS: Final = 7
_IN_GROUP: Final = 4  # and one that checks them: 7 * 4 characters of 31 are 138 bits


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

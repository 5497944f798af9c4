"""Recovery codes: passphrases that the program draws. How they are drawn, shown and read.

Always: pure, except for the drawing. No error repeats a code. A code has groups of five characters; the last character
of a group checks the group. docs/reference/store-format.md specifies it.
"""

from typing import Final

from claude_secrets.errors import CallerError, Code

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""The 31 characters of recovery codes. 31 is prime. No two characters look alike (there is no 0, O, 1, I, L)."""

GROUPS: Final = 7
_IN_GROUP: Final = 4  # without the check character: 7 * 4 characters of 31 are 138 bits


def new_code() -> str:
    """Draw a recovery code and return it as it is shown: `ABCD2-…`, seven groups."""
    import secrets

    groups = ["".join(secrets.choice(ALPHABET) for _ in range(_IN_GROUP)) for _ in range(GROUPS)]
    return "-".join(group + _check_character(number, group) for number, group in enumerate(groups, start=1))


def read_code(text: str) -> str:
    """Return a typed recovery code in the form of `new_code`. Case, blanks and dashes do not matter.

    Raises:
        CallerError: INVALID_VALUE, with the number of the mistyped group if it is known.
    """
    typed = "".join(text.upper().replace("-", " ").split())
    size = _IN_GROUP + 1
    groups = [typed[at : at + size] for at in range(0, len(typed), size)]
    if len(typed) != GROUPS * size:
        separate = text.replace("-", " ").split()
        short = [number for number, group in enumerate(separate, start=1) if len(group) != size]
        which = f" Check group {short[0]}." if len(separate) == GROUPS and short else ""
        raise CallerError(
            Code.INVALID_VALUE,
            f"A recovery code has {GROUPS} groups of {size} characters; this one has another length.{which}",
        )
    for number, group in enumerate(groups, start=1):
        if any(character not in ALPHABET for character in group) or _check_character(number, group[:-1]) != group[-1]:
            raise CallerError(Code.INVALID_VALUE, f"Group {number} of the recovery code is mistyped.")
    return "-".join(groups)


def _check_character(number: int, group: str) -> str:
    """The character that checks a group of that number (from 1).

    A character's value is its index in the alphabet. The five characters of a group have the weights 1 to 5, and the
    group's number has the weight 6. The weighted sum is 0 modulo 31. Because 31 is prime and the weights differ, one
    wrong character, two swapped characters or a group in another group's place change the sum.
    """
    total = 6 * number + sum(weight * ALPHABET.index(character) for weight, character in enumerate(group, start=1))
    return ALPHABET[-total * pow(5, -1, len(ALPHABET)) % len(ALPHABET)]

"""Recovery codes: random passphrases that Claude Secrets generates.

A code has seven groups of five characters. The last character of each group checks the group for typing errors.
docs/reference/store-format.md specifies recovery codes.

Always: this module does no input or output. No error contains a code.
"""

from typing import Final

from claude_secrets.errors import CallerError, Code

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""The 31 characters of recovery codes. 31 is prime. No two characters look alike (there is no 0, O, 1, I, L)."""

GROUPS: Final = 7
_IN_GROUP: Final = 4  # without the check character: 7 * 4 characters of 31 are 138 bits


def new_code() -> str:
    """Generate a recovery code. Return its seven groups in the form that the person sees: `ABCD2-…`."""
    import secrets

    groups = ["".join(secrets.choice(ALPHABET) for _ in range(_IN_GROUP)) for _ in range(GROUPS)]
    return "-".join(group + _check_character(number, group) for number, group in enumerate(groups, start=1))


def read_code(text: str) -> str:
    """Return a typed recovery code in the form of `new_code`. Case, spaces and dashes are ignored.

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
            f"A recovery code has {GROUPS} groups of {size} characters; this code has a different length.{which}",
        )
    for number, group in enumerate(groups, start=1):
        if any(character not in ALPHABET for character in group) or _check_character(number, group[:-1]) != group[-1]:
            raise CallerError(Code.INVALID_VALUE, f"Group {number} of the recovery code is mistyped.")
    return "-".join(groups)


def _check_character(number: int, group: str) -> str:
    """Return the check character of a group. `number` is the group's position in the code, from 1.

    The check character makes a weighted sum 0 modulo 31. The five characters of the group have the weights 1 to 5, and
    the group's number has the weight 6. A character's value is its index in the alphabet. Because 31 is prime and the
    weights differ, the sum detects one wrong character, two swapped characters, or a group in the wrong position.
    """
    total = 6 * number + sum(weight * ALPHABET.index(character) for weight, character in enumerate(group, start=1))
    return ALPHABET[-total * pow(5, -1, len(ALPHABET)) % len(ALPHABET)]

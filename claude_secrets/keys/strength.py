"""Estimates how hard a new passphrase is to guess.

The estimator, zxcvbn, recognises words, names, keyboard patterns, repetitions and dates.

Always: the functions are pure. A reason contains no part of the passphrase and no word recognised in the passphrase.
"""

from collections.abc import Sequence
from typing import Final

ENOUGH: Final = 11.0
"""The guesses that a passphrase must withstand, as a power of ten: a graphics card needs months with our stretching."""

_LOOKED_AT: Final = 64
"""How many characters the estimator examines. Its running time grows faster than the square of this number."""

_SEPARATORS: Final = str.maketrans("", "", " -_.,")

_REASONS: Final = {
    "dictionary": "it is made of common words, names or passwords",
    "spatial": "it is a row of keys",
    "repeat": "it repeats itself",
    "sequence": "its characters follow each other",
    "date": "it is a date",
    "regex": "it is a date",
}


def weakness(passphrase: str, known: Sequence[str]) -> str | None:
    """Return why a passphrase is easy to guess, or None if it is hard to guess.

    `known` contains words that an attacker tries first.
    """
    looked_at = passphrase[:_LOOKED_AT]
    forms = {looked_at}
    joined = looked_at.translate(_SEPARATORS)
    if joined.isalnum():  # the estimator mistakes separators for random characters
        forms.add(joined)
    for form in forms:
        reason = _weakness(form, known)
        if reason is not None:
            return reason
    return None


def _weakness(text: str, known: Sequence[str]) -> str | None:
    from zxcvbn import zxcvbn  # half a second; only setting a passphrase needs it

    estimate = zxcvbn(text, user_inputs=list(known))
    if float(estimate["guesses_log10"]) >= ENOUGH:
        return None
    longest = max(estimate["sequence"], key=lambda match: len(match["token"]))
    return _REASONS.get(longest["pattern"], "it is too short")

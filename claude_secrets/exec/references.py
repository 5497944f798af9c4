"""Replaces each reference `secret://NAME` in a text with the value of that secret.

Always: the module is pure. If an inserted value contains text that looks like a reference, that text is not replaced.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from claude_secrets.errors import CallerError, Code
from claude_secrets.model import check_name

PREFIX: Final = "secret://"

_REFERENCE: Final = re.compile(re.escape(PREFIX) + r"([A-Za-z0-9_.-]*)")


def reference(name: str) -> str:
    """Return the reference to a secret."""
    return f"{PREFIX}{name}"


def mentioned(texts: Iterable[str]) -> list[str]:
    """Return the name after each `secret://` in `texts`, in order and without duplicates. A name may be invalid."""
    return list(dict.fromkeys(match[1] for text in texts for match in _REFERENCE.finditer(text)))


def names_in(texts: Iterable[str]) -> list[str]:
    """Return the names of all references in `texts`, in order and without duplicates.

    Raises:
        CallerError: INVALID_NAME if no valid name follows a `secret://`.
    """
    names = mentioned(texts)
    for name in names:
        check_name(name)
    return names


def filled(text: str, values: Mapping[str, str]) -> str:
    """Replace each reference in `text` with its value. If `values` lacks a name, its reference stays unchanged.

    The name in a reference ends before the first character that names cannot contain.
    """
    return _REFERENCE.sub(lambda match: values.get(match[1], match[0]), text)


def missing(names: Sequence[str], hint: str | None = None) -> CallerError:
    """Return the error that lists all referenced secrets that were not found."""
    listed = ", ".join(f"'{name}'" for name in names)
    are = "This secret was" if len(names) == 1 else "These secrets were"
    return CallerError(Code.NOT_FOUND, f"{are} not found: {listed}.", hint, names=tuple(names))

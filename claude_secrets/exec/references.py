"""References: `secret://NAME` in a text is replaced by the value of that secret.

Always: pure. An inserted value is not searched again, so it may contain text that looks like a reference.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from claude_secrets.errors import CallerError, Code
from claude_secrets.model import check_name

PREFIX: Final = "secret://"

_REFERENCE: Final = re.compile(re.escape(PREFIX) + r"([A-Za-z0-9_.-]*)")


def reference(name: str) -> str:
    """The reference to a secret."""
    return f"{PREFIX}{name}"


def mentioned(texts: Iterable[str]) -> list[str]:
    """The name after each `secret://` in `texts`, each once, in order. It may be an invalid name."""
    return list(dict.fromkeys(match[1] for text in texts for match in _REFERENCE.finditer(text)))


def names_in(texts: Iterable[str]) -> list[str]:
    """The names of all references in `texts`, each once, in order.

    Raises:
        CallerError: INVALID_NAME if no valid name follows a `secret://`.
    """
    names = mentioned(texts)
    for name in names:
        check_name(name)
    return names


def filled(text: str, values: Mapping[str, str]) -> str:
    """Replace each reference in `text` by its value; a reference that `values` lacks stays as it is.

    A name extends over all characters that a name may have.
    """
    return _REFERENCE.sub(lambda match: values.get(match[1], match[0]), text)


def missing(names: Iterable[str]) -> CallerError:
    """The error that lists all referenced secrets that were not found."""
    listed = ", ".join(f"'{name}'" for name in names)
    return CallerError(Code.NOT_FOUND, f"These secrets were not found: {listed}.")

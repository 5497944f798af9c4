"""References: `secret://NAME` in a text stands for the value of that secret.

Always: pure; a value that is put in is not looked at again, so it can hold what looks like a reference.
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
    """What follows each `secret://` in `texts` as a name, each once, in order; a secret may not have such a name."""
    return list(dict.fromkeys(match[1] for text in texts for match in _REFERENCE.finditer(text)))


def names_in(texts: Iterable[str]) -> list[str]:
    """The names of all references in `texts`, each once, in order.

    Raises:
        CallerError: INVALID_NAME where there is no name, or none that a secret can have, after `secret://`.
    """
    names = mentioned(texts)
    for name in names:
        check_name(name)
    return names


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with the value of each of its references; one that `values` does not have stays.

    A name goes on as far as a name's characters do.
    """
    return _REFERENCE.sub(lambda match: values.get(match[1], match[0]), text)


def missing(names: Iterable[str]) -> CallerError:
    """The error for references to secrets that are not there: all of them at once."""
    listed = ", ".join(f"'{name}'" for name in names)
    return CallerError(Code.NOT_FOUND, f"These secrets are not there: {listed}.")

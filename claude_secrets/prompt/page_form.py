"""Reads the one-time page's form: the value, who may read it, and whether the name is added to the allowlist.

Always: this module does no input or output. No problem's text contains a part of the value.
"""

from collections.abc import Mapping
from typing import NamedTuple

from claude_secrets.errors import CallerError
from claude_secrets.model import Access, Entered, InputQuestion, check_value, without_stray_newline

ADDS = "yes"
"""The form's value of a ticked checkbox."""


class Problem(NamedTuple):
    """Why a form's value cannot be stored, and the choices that the form keeps when it is shown again.

    `field` is the id of the form's field that causes the problem.
    """

    text: str
    access: Access
    adds: bool
    field: str = "value"


def read_form(form: Mapping[str, str], question: InputQuestion) -> Entered | Problem | None:
    """Return what the person entered, or the problem with it. Return None if a browser does not send such a form."""
    value, access, ticked = form.get("value"), form.get("access"), form.get("adds")
    if value is None or access not in set(Access) or ticked not in ((None, ADDS) if question.adds else (None,)):
        return None
    adds = ticked == ADDS
    if question.adds and not adds:
        return Problem(
            f"The box that adds {question.name} to the allowlist is not ticked, so nothing was stored or added. "
            "If you agree, enter the value again and tick the box.",
            Access(access),
            adds,
            field="adds",
        )
    if not value:
        return Problem("Nothing was entered, so nothing was stored.", Access(access), adds)
    try:
        value = check_value(without_stray_newline(value.replace("\r\n", "\n")))
    except CallerError as error:
        return Problem(error.message, Access(access), adds)
    return Entered(value=value, access=Access(access), question=question, adds=adds)

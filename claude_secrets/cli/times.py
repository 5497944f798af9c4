"""Parses and formats times for people: dates, and spans in minutes, hours or days."""

import re
import time
from typing import Final

from claude_secrets.errors import CallerError, Code

_SPAN: Final = re.compile(r"([0-9]{1,5})([mhd])", re.ASCII)
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400}


def date(seconds: int) -> str:
    """Format seconds since 1970 as a date and time in UTC, in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def left(seconds: float) -> str:
    """Format a remaining time in the largest unit that fits: `5 days`, `1 hour`."""
    for name, unit in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if (number := int(seconds / unit + 0.05)) > 0:  # a moment after "5d" was typed, 5 days are left
            return f"{number} {name}{'s' * (number > 1)}"
    return "less than a minute"


def before_now(text: str, option: str) -> float:
    """Parse a date, a date with a time, or a span before now (30m, 12h, 7d). Return it as seconds since 1970.

    Raises:
        CallerError: INVALID_ARGUMENTS, naming the `option`.
    """
    return _moment(text, option, -1)


def from_now(text: str, option: str) -> int:
    """Parse a future date, with or without a time, or a span after now (30m, 12h, 7d). Return it as seconds since 1970.

    Raises:
        CallerError: INVALID_ARGUMENTS, naming the `option`.
    """
    moment = _moment(text, option, 1)
    if moment <= time.time():
        raise CallerError(Code.INVALID_ARGUMENTS, f"{option} names a time that has passed.")
    return int(moment)


def _moment(text: str, option: str, sign: int) -> float:
    from datetime import UTC, datetime  # slow to import; commands that only print times do not need it

    if (span := _SPAN.fullmatch(text)) is not None:
        return time.time() + sign * int(span[1]) * _SECONDS[span[2]]
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        wrong = f"{option} needs a day such as 2027-01-31, or a span such as 30m, 12h or 7d."
        raise CallerError(Code.INVALID_ARGUMENTS, wrong) from None

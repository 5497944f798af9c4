"""Reading and writing `.env` files, in the syntax of python-dotenv (https://saurabh-kumar.com/python-dotenv/).

Always: a statement that cannot be read is an error with its line, never skipped; no error repeats what the file says.
Only this module imports `dotenv`.
"""

import io
from dataclasses import dataclass, field

from claude_secrets.errors import CallerError, Code

SIZE_LIMIT = 16 << 20
"""Bytes of a file, at most."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One statement: `text` as it stands in the file, with the newline; a comment or blank lines have no `key`.

    `value` is None for a name alone.
    """

    key: str | None
    value: str | None = field(repr=False)
    line: int
    text: str = field(repr=False)


def parse(text: str) -> list[Binding]:
    """All statements, in order; together their texts are the file.

    Raises:
        CallerError: INVALID_ARGUMENTS, with the line.
    """
    from dotenv.parser import parse_stream

    found = []
    for one in parse_stream(io.StringIO(text)):
        if one.error:
            raise CallerError(
                Code.INVALID_ARGUMENTS, f"Line {one.original.line} of the .env file is no NAME=VALUE, and no comment."
            )
        found.append(Binding(one.key, one.value, one.original.line, one.original.string))
    return found


def decoded(data: bytes) -> str:
    """The text of a file's bytes.

    Raises:
        CallerError: INVALID_ARGUMENTS where they are no UTF-8, or too many.
    """
    if len(data) > SIZE_LIMIT:
        raise CallerError(Code.INVALID_ARGUMENTS, f"The .env file has more than {SIZE_LIMIT >> 20} MiB.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CallerError(Code.INVALID_ARGUMENTS, "The .env file is not UTF-8.") from None


def values(text: str) -> dict[str, str]:
    """What the file gives each name, with `${NAME}` replaced as python-dotenv does; a name alone gives nothing.

    Raises:
        CallerError: INVALID_ARGUMENTS, with the line.
    """
    from dotenv import dotenv_values

    parse(text)
    found = dotenv_values(stream=io.StringIO(text))
    return {key: value for key, value in found.items() if value is not None}


def quoted(value: str) -> str:
    """The value as it is written into a file so that it is read exactly.

    Raises:
        CallerError: INVALID_VALUE for `${`, which readers of such files replace, and for NUL.
    """
    if "${" in value or "\0" in value:
        what = "NUL" if "\0" in value else "'${', which whoever reads a .env file replaces"
        raise CallerError(Code.INVALID_VALUE, f"A value holds {what}; a .env file cannot hold it.")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

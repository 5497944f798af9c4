"""Converts a received line to a message or an error reply, and a message to a line to send.

Always: the module is pure. An error reply repeats nothing of the received line except a valid id.
"""

import codecs
import json
from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

from mcp_types import JSONRPCMessage, jsonrpc_message_adapter
from pydantic import ValidationError

LINE_LIMIT: Final = 8 * 1024 * 1024
"""The maximum size of a line in bytes. A value of 1 MiB of control characters takes 6 MiB."""

_BLANK: Final = "\ufeff \t\r\v\f"
"""Characters that may surround a message: blanks, and the byte order mark that some programs write before UTF-8."""

_LINE_ENDS: Final = {chr(code).encode(): rb"\u%04x" % code for code in (0x85, 0x2028, 0x2029)}
"""Characters that JSON does not escape but some readers (Node's readline, Python's splitlines) take for line ends."""

_PARSE_ERROR: Final = -32700
_INVALID_REQUEST: Final = -32600


class BadLine(NamedTuple):
    """A line that is not a valid message. `reply` is the error message to send."""

    reply: bytes


_WIDE: Final = (
    "The line is UTF-16 or UTF-32. Send UTF-8; in PowerShell type first: "
    "$OutputEncoding = [System.Text.UTF8Encoding]::new()"
)

TOO_LONG: Final = BadLine(
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"The line has more than 8 MiB."}}'
)


def as_line(message: bytes) -> bytes:
    """Return the line to send for a JSON message. Every reader reads it as exactly one line."""
    for character, escape in _LINE_ENDS.items():
        message = message.replace(character, escape)
    return message + b"\n"


def parse_line(line: bytes) -> JSONRPCMessage | BadLine | None:
    """Return the message on a line, a `BadLine` if the line is invalid, or None if the line is blank."""
    try:
        return _parse(line)
    except RecursionError:  # each parsing step has a different limit
        return _bad(_PARSE_ERROR, "The line is nested too deeply.")


def _parse(line: bytes) -> JSONRPCMessage | BadLine | None:
    if b"\0" in line[:4] or line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        # A line of zero bytes is the rest of a line end in UTF-16 or UTF-32.
        return _bad(_PARSE_ERROR, _WIDE) if line.strip(b"\0\r") else None
    try:
        text = line.decode("utf-8").strip(_BLANK)
        if not text:
            return None
        raw = json.loads(text, parse_constant=_no_constant)
    except UnicodeDecodeError:
        return _bad(_PARSE_ERROR, "The line is not UTF-8.")
    except ValueError:
        return _bad(_PARSE_ERROR, "The line is not JSON.")
    if not isinstance(raw, dict):
        return _bad(_INVALID_REQUEST, "The line is not a JSON-RPC message (batches are not supported).")
    request_id = _id(raw)
    if "id" in raw and request_id is None:
        return _bad(_INVALID_REQUEST, "An id must be text or a whole number.")
    if b"\\u" in line and _has_surrogates(raw):
        return _bad(_INVALID_REQUEST, "The line contains a lone surrogate, which is not valid Unicode.", request_id)
    try:
        return jsonrpc_message_adapter.validate_python(raw, by_name=False)
    except ValidationError:
        return _bad(_INVALID_REQUEST, "The line is not a JSON-RPC message.", request_id)


def _no_constant(_text: str) -> NoReturn:
    raise ValueError


def _id(raw: Mapping[str, object]) -> str | int | None:
    """Return the message's id, or None if there is no id that a reply can repeat."""
    given = raw.get("id")
    if isinstance(given, bool) or not isinstance(given, str | int) or _has_surrogates(given):
        return None
    return given


def _has_surrogates(raw: object) -> bool:
    try:
        json.dumps(raw, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _bad(code: int, message: str, request_id: str | int | None = None) -> BadLine:
    reply = {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
    return BadLine(json.dumps(reply).encode("utf-8"))

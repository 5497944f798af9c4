"""One line of the wire: what it means, or the error reply it deserves; and a message as the line that is sent.

Always: pure; no reply repeats anything of the line but a valid id.
"""

import codecs
import json
from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

from mcp_types import JSONRPCMessage, jsonrpc_message_adapter
from pydantic import ValidationError

LINE_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of a line, at most: a value of 1 MiB of control characters takes six."""

_BLANK: Final = "\ufeff \t\r\v\f"
"""What may be around a message: blanks, and the mark that some programs write before whatever they write in UTF-8."""

_LINE_ENDS: Final = {chr(code).encode(): rb"\u%04x" % code for code in (0x85, 0x2028, 0x2029)}
"""What ends a line for some readers (Node's readline, Python's splitlines) and JSON leaves as it is; and its escape."""

_PARSE_ERROR: Final = -32700
_INVALID_REQUEST: Final = -32600


class BadLine(NamedTuple):
    """A line that is no message; `reply` is the message to answer with."""

    reply: bytes


_WIDE: Final = (
    "The line is UTF-16 or UTF-32. Send UTF-8; in PowerShell type first: "
    "$OutputEncoding = [System.Text.UTF8Encoding]::new()"
)

TOO_LONG: Final = BadLine(
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"The line has more than 8 MiB."}}'
)


def as_line(message: bytes) -> bytes:
    """The line to send for a message in JSON. However a client finds the ends of lines, it finds one: the last byte."""
    for character, escape in _LINE_ENDS.items():
        message = message.replace(character, escape)
    return message + b"\n"


def parse_line(line: bytes) -> JSONRPCMessage | BadLine | None:
    """The message on a line; None for a blank one."""
    try:
        return _parse(line)
    except RecursionError:  # how deep is too deep differs from step to step
        return _bad(_PARSE_ERROR, "The line is nested too deeply.")


def _parse(line: bytes) -> JSONRPCMessage | BadLine | None:
    if b"\0" in line[:4] or line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        # Zero bytes only: what is left of a line's end.
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
        return _bad(_INVALID_REQUEST, "An id is text or a whole number.")
    if b"\\u" in line and _has_surrogates(raw):
        return _bad(_INVALID_REQUEST, "The line holds a lone surrogate, which is no Unicode text.", request_id)
    try:
        return jsonrpc_message_adapter.validate_python(raw, by_name=False)
    except ValidationError:
        return _bad(_INVALID_REQUEST, "The line is not a JSON-RPC message.", request_id)


def _no_constant(_text: str) -> NoReturn:
    raise ValueError


def _id(raw: Mapping[str, object]) -> str | int | None:
    """The id, where it is one that can be repeated."""
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

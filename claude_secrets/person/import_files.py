"""Read the files in which other programs keep secrets: recognise the kind, and parse the names and values.

Always: these functions are pure. All problems of a file are reported together. No error, note or `repr` contains a
value. Errors and notes about a .env file give line numbers instead of names, because a line of an unquoted private key
can look like a name.
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Final, NamedTuple

from claude_secrets.errors import CallerError, Code, CustodyError, StoreError
from claude_secrets.exec import dotenv_file
from claude_secrets.exec.dotenv_file import CannotRewrite, Statement
from claude_secrets.exec.references import mentioned, reference
from claude_secrets.keys.cipher import KEY_BYTES, TokenInvalid, open_gcm
from claude_secrets.model import check_name, check_value

SIZE_LIMIT: Final = 50 * 1024 * 1024
"""The size of the largest file that is read, in bytes."""


_CONTAINS_REFERENCE: Final = "contains a reference"
_BOM: Final = "\ufeff"
_SEALED: Final = re.compile(rb"\s*[A-Za-z0-9+/]+=*:[A-Za-z0-9+/]+=*:[A-Za-z0-9+/]*=*\s*")
_BINDING: Final = re.compile(rb"^[^\S\r\n]*(?:export\s+)?[A-Za-z0-9_.'-]+[ \t]*=", re.MULTILINE)


class FileKind(StrEnum):
    """The kinds of files that can be imported."""

    DOTENV = "dotenv"
    JSON = "json"
    TYPESCRIPT = "typescript"


class ImportedEntry(NamedTuple):
    """A name and its value.

    `statements` are the numbers of the .env statements that set the name. The last of these statements sets the value.
    """

    name: str
    value: str
    statements: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"Entry({self.name!r})"


class Problem(NamedTuple):
    """A problem in a file, and its location."""

    code: Code
    where: str
    words: str


class ImportedFile(NamedTuple):
    """The contents of an imported file.

    Each name occurs once in `entries`. `notes` say which parts of the file were left out or changed. If there are
    `problems`, there are no entries.
    """

    entries: tuple[ImportedEntry, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def recognise(name: str, data: bytes) -> tuple[FileKind, str]:
    """Return the kind of a file, and say whether the file's name or content shows the kind.

    Raises:
        CallerError: INVALID_ARGUMENTS if neither the name nor the content shows the kind.
    """
    name = PurePath(name).name.lower()
    if name == "secrets.encrypted":
        return FileKind.TYPESCRIPT, "by its name"
    if name.endswith(".json"):
        return FileKind.JSON, "by its name"
    if name.endswith(".env") or name.startswith(".env"):
        return FileKind.DOTENV, "by its name"
    if data.removeprefix(_BOM.encode()).lstrip().startswith(b"{"):
        return FileKind.JSON, "by its content"
    if _SEALED.fullmatch(data):
        return FileKind.TYPESCRIPT, "by its content"
    if _BINDING.search(data):
        return FileKind.DOTENV, "by its content"
    raise CallerError(
        Code.INVALID_ARGUMENTS,
        "The kind of file cannot be recognised by its name or content; nothing was imported.",
        f"Name the kind: --from {'|'.join(FileKind)}",
    )


def read_entries(kind: FileKind, data: bytes, key: Callable[[], bytes]) -> ImportedFile:
    """Return the entries of a file, with notes and problems.

    `key` returns the TypeScript tool's key in base64, and is called only for a store of that tool.

    Raises:
        CallerError: INVALID_VALUE if the file is not text, or is not a JSON object.
        StoreError: STORE_FORMAT if the file is not a store of the TypeScript tool, or the store is not a JSON object.
        CustodyError: KEY_WRONG, or an error of `key`.
    """
    if kind is FileKind.DOTENV:
        return _from_dotenv(dotenv_file.parse(_text(data)))
    if kind is FileKind.JSON:
        return _from_json(_text(data))
    plain = _decrypted(data, key)
    try:
        return _from_json(_text(plain))
    except CallerError:
        # From None: the exception holds the unreadable text.
        raise StoreError(
            Code.STORE_FORMAT, "The key opens the file, but the decrypted content is not a JSON object."
        ) from None


def rewrite(data: bytes, entries: Sequence[ImportedEntry]) -> bytes:
    """Return the .env file with each value of the `entries` replaced by a reference.

    Raises:
        CallerError: INVALID_VALUE if a value in this file cannot be replaced by a reference.
    """
    references = {number: reference(entry.name) for entry in entries for number in entry.statements}
    text = data.decode("utf-8")
    bom = _BOM if text.startswith(_BOM) else ""
    try:
        return (bom + dotenv_file.rewritten(text.removeprefix(_BOM), references)).encode("utf-8")
    except CannotRewrite as error:
        raise CallerError(
            Code.INVALID_VALUE,
            f"{error}; nothing was imported.",
            "Import without --rewrite, and write the references into the file by hand.",
        ) from None


def mentioned_by(data: bytes) -> list[str]:
    """Return the secret names that a .env file's values refer to.

    Before that, each `${NAME}` in a value is replaced by the value of NAME in the file, or else in the environment.

    Raises:
        CallerError: INVALID_ARGUMENTS if the file cannot be parsed.
    """
    return mentioned(dotenv_file.values(_text(data)).values())


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    # Outside the handler: the caught exception holds the file's content.
    raise CallerError(Code.INVALID_VALUE, f"Line {line} of the file is not UTF-8 text; nothing was imported.")


def _from_dotenv(statements: Sequence[Statement]) -> ImportedFile:
    numbers: dict[str, list[int]] = {}
    notes, problems = list[str](), list[Problem]()
    for number, statement in enumerate(statements):
        where = f"line {statement.line}"
        if statement.wrong:
            problems.append(Problem(Code.INVALID_VALUE, where, "python-dotenv cannot parse this."))
        if statement.cut:
            notes.append(f"{where}: {dotenv_file.CUT}")
        if statement.name is not None:
            numbers.setdefault(statement.name, []).append(number)
            left_out = _left_out_of(statement)
            if left_out:
                notes.append(f"{where}: {left_out}; left out")
            elif statement.padded:
                problems.append(Problem(Code.INVALID_VALUE, where, "A value of several lines must be quoted."))
            else:
                problems += _wrong(where, statement.name, statement.meant)
    entries = []
    for name, places in numbers.items():
        last = statements[places[-1]]
        if len(places) > 1:
            lines = ", ".join(str(statements[number].line) for number in places)
            notes.append(f"lines {lines}: these lines set the same name; only the last line is used")
        if last.meant is not None and not _left_out_of(last):
            given = tuple(number for number in places if not _left_out_of(statements[number]))
            entries.append(ImportedEntry(name, last.meant, given))
            if last.meant != last.value:
                notes.append(f"line {last.line}: ${{…}} is replaced by the value that the file sets for that variable")
    return _contents(entries, notes, problems)


def _left_out_of(statement: Statement) -> str | None:
    """Return the reason why a statement is not imported, or None if the statement is imported."""
    if statement.value is None:
        return "a name without a value (a value of several lines must be quoted)"
    if statement.meant is None:
        return "a value with a ${…} that the file does not set"
    if statement.meant == "":
        return "an empty value"
    return _CONTAINS_REFERENCE if _has_reference(statement.meant) else None


def _has_reference(value: object) -> bool:
    return isinstance(value, str) and mentioned([value]) != []


def _wrong(where: str, name: str, value: object) -> list[Problem]:
    problems = []
    for check, given in ((check_name, name), (check_value, value)):
        try:
            check(given)
        except CallerError as error:
            problems.append(Problem(error.code, where, error.message))
    return problems


class _Object(list[tuple[str, object]]):
    """A JSON object that keeps duplicate keys."""


def _from_json(text: str) -> ImportedFile:
    entries, seen = dict[str, ImportedEntry](), set[str]()
    notes, problems = list[str](), list[Problem]()
    for number, (name, value) in enumerate(_object(text), start=1):
        where = f"entry {number}" if _wrong("", name, "-") else f"'{name}'"
        if _has_reference(value):
            notes.append(f"{where}: {_CONTAINS_REFERENCE}; left out")
        else:
            problems += _wrong(where, name, value)
        if name in seen:
            problems.append(Problem(Code.INVALID_NAME, where, "The name occurs twice."))
        elif isinstance(value, str) and not _has_reference(value):
            entries[name] = ImportedEntry(name, value)
        seen.add(name)
    return _contents(entries.values(), notes, problems)


def _contents(entries: Iterable[ImportedEntry], notes: Sequence[str], problems: Sequence[Problem]) -> ImportedFile:
    return ImportedFile(entries=() if problems else tuple(entries), notes=tuple(notes), problems=tuple(problems))


def _object(text: str) -> _Object:
    try:
        parsed = json.loads(text, object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):  # a number has thousands of digits, or the nesting is too deep
        where = "it is nested too deeply, or a number has too many digits"
    else:
        if isinstance(parsed, _Object):
            return parsed
        where = "it holds another JSON value"
    # Outside the handlers: the caught exceptions hold the file's content.
    raise CallerError(Code.INVALID_VALUE, f"The file is not one JSON object ({where}); nothing was imported.")


def _decrypted(data: bytes, key: Callable[[], bytes]) -> bytes:
    """Decrypt a store of the TypeScript tool: `{iv}:{tag}:{ciphertext}`, each in base64."""
    parts = [_decoded(part) for part in data.strip().split(b":")]
    if len(parts) != 3 or None in parts:
        raise StoreError(Code.STORE_FORMAT, "The file is not a complete store of the TypeScript tool.")
    iv, tag, ciphertext = (part or b"" for part in parts)
    secret = _decoded(key().strip())
    if secret is None or len(secret) != KEY_BYTES:
        raise CustodyError(Code.KEY_WRONG, f"The key is not {KEY_BYTES} bytes in base64; nothing was imported.")
    try:
        return open_gcm(secret, iv=iv, tag=tag, ciphertext=ciphertext)
    except TokenInvalid:
        raise CustodyError(
            Code.KEY_WRONG, "The key does not open the file: the key is wrong, or the file is damaged."
        ) from None


def _decoded(part: bytes) -> bytes | None:
    try:
        return b64decode(part, validate=True)
    except ValueError:
        return None

"""The fuzz targets: each gives any bytes to one reader, and raises if the reader breaks its promise."""

import json
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Final

import dotenv

from claude_secrets.errors import CallerError, Code, DeniedError, SecretsError
from claude_secrets.exec import dotenv_file, references
from claude_secrets.model import Call, Tool, check_name
from claude_secrets.person import inspection, log, secrets
from claude_secrets.person.import_files import FileKind
from claude_secrets.person.import_files import read_entries as read_source
from claude_secrets.person.inspection import damages
from claude_secrets.person.person import Person
from claude_secrets.policy import rules
from claude_secrets.policy.allowlist import parse_allowlist
from claude_secrets.policy.decisions import arguments
from claude_secrets.policy.globs import glob_match
from claude_secrets.policy.personal_files import parse_policy
from claude_secrets.policy.rules import Rules
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.redactor import Redactor
from claude_secrets.regex import NameSearch, Search
from claude_secrets.server.lines import BadLine, as_line, parse_line
from claude_secrets.store.store import Store
from tests.fuzz.wire import wire
from tests.vectors.held import HeldKey

NAMES: Final = ("GITHUB_TOKEN", "A", "x.y-z", "_", "Z" * 128)

DIRECTORY: Final = Path(__file__).parent.parent / "vectors"
VECTOR: Final = "good-everything"

CALLS: Final = [Call(tool=tool, name="GITHUB_TOKEN", value="v", pattern="", prompt="p") for tool in Tool]


def line(data: bytes) -> None:
    """Check that a line is a message, is nothing, or gets an error reply that repeats only a valid id."""
    for one in data.split(b"\n"):
        found = parse_line(one)
        if isinstance(found, BadLine):
            reply = json.loads(found.reply)
            assert len(as_line(found.reply).decode().splitlines()) == 1
            assert set(reply) == {"jsonrpc", "id", "error"}
            assert set(reply["error"]) == {"code", "message"}
            assert reply["id"] is None or type(reply["id"]) in (str, int)
        elif found is not None:
            found.model_dump_json(by_alias=True, exclude_unset=True).encode("utf-8")


def allowlist(data: bytes) -> None:
    """Check that an allowlist is valid, or is refused with an error that repeats nothing of it."""
    try:
        found = parse_allowlist(data)
    except DeniedError as error:
        _is_invalid(error, data)
        return
    assert found == parse_allowlist(data)
    for name in NAMES:
        entry = found.entry_for(name)
        assert (entry is not None) == any(glob_match(one.pattern, name) for one in found.entries)
    _decides(found.rules)


def policy_yaml(data: bytes) -> None:
    """Check that a YAML policy decides calls without a fault, or is refused by an error that repeats nothing of it."""
    _policy(data, "policy.yml")


def policy_json(data: bytes) -> None:
    """Check that a JSON policy decides calls without a fault, or is refused by an error that repeats nothing of it."""
    _policy(data, "policy.json")


def dotenv_text(data: bytes) -> None:
    """Check that a .env file is read as python-dotenv reads it, or refused, and that its references are filled."""
    text = data.decode("utf-8", "replace")
    try:
        found = dotenv_file.values(text)
        names = references.names_in(found.values())
    except CallerError as error:
        _repeats_nothing(error, data)
        return
    theirs = dotenv.dotenv_values(stream=StringIO(text.replace("\r\n", "\n").replace("\r", "\n"), newline=""))
    assert found == {name: value for name, value in theirs.items() if value is not None}
    values = {check_name(name): "<filled>" for name in names}
    assert not any(references.PREFIX in references.filled(one, values) for one in found.values())


def source(data: bytes) -> None:
    """Check that a file to import gives either entries with different names or problems."""
    for kind in FileKind:
        with suppress(SecretsError):
            found = read_source(kind, data, lambda: b"k" * 44)
            told = [f"{problem.words}{problem.where}" for problem in found.problems]
            assert not (found.problems and found.entries), told
            assert len({entry.name for entry in found.entries}) == len(found.entries)


def redactor(data: bytes) -> None:
    """Check that the output does not depend on the chunks, and contains no value of six or more characters."""
    head, _, text = data[:4096].partition(b"\0")
    values = {
        f"S{number}": value
        for number, raw in enumerate(head.split(b"\1")[:8])
        if (value := raw[:200].decode("utf-8", "ignore").strip("\r\n"))
    }
    if not values:
        return
    finder, whole = Finder(values), _redacted(Finder(values), [text])
    for size in (1, 3, 64):
        assert _redacted(finder, [text[at : at + size] for at in range(0, len(text), size)]) == whole
    marks = "".join(f"[secret://{name}]" for name in values)
    for value in values.values():
        if len(value) >= 6 and "[" not in value and value not in marks and not any(c in value for c in "secrt:/S]"):
            assert value.encode() not in whole


def pattern(data: bytes) -> None:
    """Check that a pattern is refused, or finds the same names in a list as it finds one by one."""
    head, _, rest = data.decode("utf-8", "replace").partition("\n")
    names = [name for name in rest.split("\n") if name.isascii() and name.isprintable() and name][:150]
    try:
        each = Search(head)
        found = [name for name in names if each.matches(name)]
        assert NameSearch(head).among(names) == found
    except CallerError as error:
        _repeats_nothing(error, head.encode("utf-8", "replace"))


def store(data: bytes) -> None:
    """Check that a store file of any bytes is refused with a code, or opens and returns a value stored in it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "data", "secrets.db")
        path.parent.mkdir(mode=0o700)
        path.write_bytes(data)
        path.chmod(0o600)
        with closing(Store(path, HeldKey(_master_key()), lambda: 2e9)) as opened:
            person = Person(store=opened)
            for look in (
                secrets.list_all,
                inspection.check_store,
                log.verify_log,
                lambda person: damages(person, lambda *_: None),
            ):
                with suppress(SecretsError):
                    look(person)
            with suppress(SecretsError):
                secrets.set_value(person, "A", "value")
                assert secrets.get_value(person, "A", warn=lambda _: None) == "value"


@cache
def _master_key() -> str:
    """Return the master key of the vectors from which the corpus of stores is made."""
    vectors = json.loads((DIRECTORY / "vectors.json").read_text())
    return str(next(one["master_key"] for one in vectors if one["name"] == VECTOR))


def _policy(data: bytes, file: str) -> None:
    try:
        found = parse_policy(data, file)
    except DeniedError as error:
        _is_invalid(error, data)
        return
    _decides(found)


def _decides(found: Rules) -> None:
    for call in CALLS:
        with suppress(CallerError):  # a pattern that takes too long
            verdict = rules.apply((found, rules.built_in(found)), call.tool, arguments(call))
            assert call.tool not in found.hidden or verdict.refused_by is not None


def _is_invalid(error: DeniedError, data: bytes) -> None:
    assert error.code is Code.ALLOWLIST_INVALID
    assert "line " in error.message
    _repeats_nothing(error, data)


def _repeats_nothing(error: SecretsError, data: bytes) -> None:
    said = f"{error} {error.hint}"
    for one in data.decode("utf-8", "ignore").split():
        assert len(one) < 16 or one not in said or one in _OUR_OWN_WORDS, "an error repeats what it was given"


_OUR_OWN_WORDS: Final = ("back-references:", "back-references", "https://github.com/google/re2/wiki/Syntax")


def _redacted(finder: Finder, pieces: list[bytes]) -> bytes:
    one = Redactor(finder)
    return b"".join([one.feed(piece) for piece in pieces] + [one.finish()])


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__.replace("_", "-"): target
    for target in (wire, line, allowlist, policy_yaml, policy_json, dotenv_text, source, redactor, pattern, store)
}
"""The targets by name."""

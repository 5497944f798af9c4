"""The real `import` command: what it stores, prints and asks, and what it does not change."""

import errno
import json
import os
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from claude_secrets import plain_file
from claude_secrets.errors import CallerError, Code, SecretsError, StoreError
from claude_secrets.model import SHARED
from claude_secrets.person import importing, log, secrets, trust
from claude_secrets.person.import_files import ImportedEntry
from claude_secrets.person.importing import Change
from claude_secrets.store import records
from claude_secrets.store.grants import Grant
from tests.support import terminals
from tests.support.keychain import StandInKeychain
from tests.support.machine import DEADLINE, PROGRAM, Machine
from tests.support.posix import give_away, is_root, make_pipe
from tests.support.program import SECURITY
from tests.support.store_world import Agent, World

pytestmark = pytest.mark.usefixtures("quick_starts")

VECTORS = {
    vector["name"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors" / "typescript.json").read_text(encoding="utf-8"))
}
CANARY = "canary"
"""A part of every value in these tests. No output and no argument may contain it."""

DOTENV = """\
# canary in a comment
export TOKEN=canary-one  # why

URL="canary-two ${TOKEN}"
KEY='-----BEGIN canary-----
canary-three
'
ALONE
EMPTY=
THERE=secret://THERE
"""
REWRITTEN = """\
# canary in a comment
export TOKEN=secret://TOKEN  # why

URL="secret://URL"
KEY='secret://KEY'
ALONE
EMPTY=
THERE=secret://THERE
"""
VALUES = {
    "TOKEN": "canary-one",
    "URL": "canary-two canary-one",
    "KEY": "-----BEGIN canary-----\ncanary-three\n",
}
WHERE = {"TOKEN": "line 2", "ALONE": "line 8", "EMPTY": "line 9", "THERE": "line 10", "URL": "line 4"}


class Watched(Machine):
    """A machine that checks each command except `get`: no value is in its arguments or its output."""

    def run(
        self, *arguments: str, at: Path | None = None, stdin: str | None = None, environment: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        done = super().run(*arguments, at=at, stdin=stdin, environment=environment)
        if "get" not in arguments:
            assert CANARY not in " ".join(arguments) + done.stdout + done.stderr
        return done

    def bring(self, *arguments: str, at: Path | None = None, stdin: str | None = None) -> tuple[int, str, str]:
        """Run `import` without a terminal. Return the exit code, the error's code and all output."""
        done = self.run("import", *arguments, at=at, stdin=stdin)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: [")]
        assert len(errors) == int(done.returncode != 0), done.stderr
        return done.returncode, "".join(errors).partition("[")[2].partition("]")[0], done.stdout + done.stderr

    def values(self, *arguments: str) -> dict[str, str]:
        """Return all secrets of a scope with their values."""
        listed = json.loads(self.run("list", "--json").stdout)
        scope = arguments[1] if arguments else SHARED
        names = [secret["name"] for secret in listed if secret["scope"] == scope]
        return {name: self.run("get", name, *arguments).stdout for name in names}

    def rows(self) -> list[str]:
        """Return everything in the store, including the log."""
        with closing(sqlite3.connect(self.store)) as connection:
            return [*connection.iterdump()]

    def file(self, name: str, content: str) -> Path:
        path = self.home / "files" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode())
        return path


@pytest.fixture(name="machine")
def watched_machine(tmp_path: Path) -> Watched:
    return Watched(tmp_path).use_key_file()


def on_a_terminal(
    machine: Machine, arguments: list[str], answer: str, *, meanwhile: Callable[[], object] = lambda: None
) -> tuple[int, str]:
    """Run a command on a real terminal. Call `meanwhile` while the question is shown, and then answer."""
    questions = [("[y/N]", answer)]
    code, screen = terminals.on_a_terminal(machine, arguments, machine.home, questions, meanwhile=meanwhile)
    assert CANARY not in screen
    return code, screen


# Imports and their results


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_dotenv_file_comes_in_and_stays_as_it_is(machine: Watched, newline: str) -> None:
    file = machine.file(".env", DOTENV.replace("\n", newline))
    before = (file.read_bytes(), file.stat())
    code, _, said = machine.bring(str(file), "--yes")
    assert (code, machine.values()) == (0, VALUES)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (before[0], before[1].st_mtime_ns)
    assert [path.name for path in file.parent.iterdir()] == [".env"]
    notes = [line.removeprefix("note: ").partition(":")[0] for line in said.splitlines() if line.startswith("note:")]
    assert notes == [WHERE[name] for name in ("ALONE", "EMPTY", "THERE", "URL")]
    assert "Read as dotenv (by its name)." in said
    assert "Imported 3 secrets into scope 'shared'." in said


def test_the_first_import_makes_the_store(tmp_path: Path) -> None:
    machine = Watched(tmp_path)
    machine.environment["CLAUDE_SECRETS_KEY_FILE"] = str(machine.home / "master.key")
    assert machine.bring(str(machine.file(".env", DOTENV)), "--yes")[0] == 0
    assert machine.values() == VALUES


def test_thousands_of_names_come_in_at_once(machine: Watched) -> None:
    file = machine.file("many.json", json.dumps({f"NAME_{number}": f"canary-{number}" for number in range(3000)}))
    code, _, said = machine.bring(str(file), "--yes")
    assert (code, "Imported 3000 secrets into scope 'shared'." in said) == (0, True)
    assert machine.run("get", "NAME_2999").stdout == "canary-2999"


def test_a_json_object_comes_in_by_name_content_or_word(machine: Watched) -> None:
    content = json.dumps({"A": "canary\n", "B": "canary é"})
    for name, arguments, how in [
        ("some.json", [], "its name"),
        ("some", [], "its content"),
        (".env", ["--from", "json"], "--from"),
    ]:
        code, _, said = machine.bring(str(machine.file(name, content)), "--yes", *arguments)
        assert (code, f"Read as json (by {how})." in said) == (0, True)
        assert machine.values() == {"A": "canary\n", "B": "canary é"}
        machine.run("purge", "A", "--yes")
        machine.run("purge", "B", "--yes")


def test_the_typescript_tools_store_comes_in_with_its_key_from_a_descriptor(machine: Watched) -> None:
    vector = VECTORS["two"]
    file = machine.file("secrets.encrypted", vector["file"])
    code, _, _ = machine.bring(str(file), "--yes", "--key-fd", "0", stdin=vector["key"] + "\n")
    assert (code, machine.values()) == (0, vector["secrets"])
    assert file.read_text() == vector["file"]


def test_what_was_done_can_be_had_as_json(machine: Watched) -> None:
    machine.run("set", "URL", stdin="other canary")
    machine.run("set", "KEY", "--exact", stdin=VALUES["KEY"])
    file = machine.file(".env", DOTENV)
    done = machine.run("import", str(file), "--json", "--yes", "--overwrite", "--rewrite")
    told = json.loads(done.stdout)
    assert told["secrets"] == [
        {"name": "TOKEN", "change": "new", "version": 1},
        {"name": "URL", "change": "overwrites", "version": 2},
        {"name": "KEY", "change": "same", "version": 1},
    ]
    assert (told["from"], told["copy"], len(told["notes"])) == ("dotenv", f"{file}.before-import", 4)
    again = json.loads(machine.run("import", str(machine.file("again.env", DOTENV)), "--json").stdout)
    assert [secret["change"] for secret in again["secrets"]] == ["same"] * 3


def test_in_a_project_they_become_its_own_and_others_are_let_to_it(machine: Watched) -> None:
    project = machine.project("api", ["TOKEN", "URL"])
    machine.run("set", "URL", stdin=VALUES["URL"])
    file = machine.file(".env", DOTENV)
    code, _, said = machine.bring(str(file), "--yes", at=project)
    assert (code, "agents of this project cannot use all imported secrets yet" in said) == (0, True)
    listed = {secret["name"]: secret for secret in json.loads(machine.run("list", "--json").stdout)}
    assert {name: secret["origin"] for name, secret in listed.items()} == {
        "TOKEN": str(project),
        "KEY": str(project),
        "URL": "person",
    }
    with machine.server(project) as wire:
        assert wire.text("get_secret", name="TOKEN") == VALUES["TOKEN"]
        assert wire.text("get_secret", name="URL") == VALUES["URL"]
    with machine.server(machine.project("other")) as wire:
        assert wire.code("get_secret", name="TOKEN") == "NOT_TRUSTED"
    log = [entry for entry in json.loads(machine.run("log", "--json").stdout) if entry["action"] == "import"]
    assert sorted(entry["name"] for entry in log) == sorted(VALUES)
    assert {entry["project"] for entry in log} == {str(project)}


def test_they_come_into_the_scope_that_is_named(machine: Watched) -> None:
    file = machine.file(".env", DOTENV)
    code, error, said = machine.bring(str(file), "--scope", "acme", "--yes", "--rewrite")
    assert (code, error) == (2, "INVALID_ARGUMENTS")
    assert "would name secrets in scope 'shared', but the import uses 'acme'" in said
    assert machine.values("--scope", "acme") == {}
    assert machine.bring(str(file), "--scope", "acme", "--yes")[0] == 0
    assert machine.values("--scope", "acme") == VALUES
    assert machine.values() == {}
    assert machine.bring(str(file), "--scope", "a b", "--yes")[:2] == (2, "INVALID_NAME")


def test_what_agents_of_another_project_stored_is_theirs_no_more_and_that_is_said(machine: Watched) -> None:
    other = machine.project("other")
    with machine.server(other) as wire:
        wire.text("set_secret", name="TOKEN", value="canary-one")
    _, _, said = machine.bring(str(machine.file("a.env", DOTENV)), "--yes", at=machine.project("api"))
    assert "'TOKEN' belonged to ~/work/other; it now belongs to this project" in said


def test_new_secrets_have_the_access_that_the_person_configured(machine: Watched) -> None:
    machine.configure("presence: any", "default_access: use-only")
    machine.run("set", "TOKEN", "--readable", stdin="canary-zero")
    machine.bring(str(machine.file(".env", DOTENV)), "--yes", "--overwrite")
    listed = {secret["name"]: secret["access"] for secret in json.loads(machine.run("list", "--json").stdout)}
    assert listed == {"TOKEN": "readable", "URL": "use-only", "KEY": "use-only"}


# Questions and refusals


def test_each_name_is_shown_with_what_becomes_of_it(machine: Watched) -> None:
    for name, value in [("SAME", "canary-same"), ("OTHER", "canary-1"), ("OTHER", "canary-2"), ("GONE", "canary-g")]:
        machine.run("set", name, stdin=value)
    machine.run("delete", "GONE", "--yes")
    content = "".join(f"{name}=canary-{name.lower()}\n" for name in ("SAME", "OTHER", "GONE", "FRESH"))
    file = machine.file(".env", content)
    before = machine.rows()
    code, error, said = machine.bring(str(file), "--yes")
    assert (code, error, machine.rows()) == (2, "INVALID_ARGUMENTS", before)
    shown = dict(line.split(maxsplit=1) for line in said.splitlines() if line.split(" ")[0].isupper())
    assert shown == {
        "NAME": "IMPORTING",
        "SAME": "already has this value (version 1)",
        "OTHER": "overwrites version 2",
        "GONE": "restores a deleted secret",
        "FRESH": "new",
    }
    assert "Already stored with another value: OTHER." in said
    code, _, said = machine.bring(str(file), "--yes", "--overwrite")
    assert (code, "Imported 4 secrets (1 overwritten) into scope 'shared'; 1 of them already had this" in said) == (
        0,
        True,
    )
    assert machine.values() == {name: f"canary-{name.lower()}" for name in ("SAME", "OTHER", "GONE", "FRESH")}
    versions = {secret["name"]: secret["version"] for secret in json.loads(machine.run("list", "--json").stdout)}
    assert versions == {"SAME": 1, "OTHER": 3, "GONE": 3, "FRESH": 1}


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_it_asks_once(machine: Watched, answer: str, code: int) -> None:
    file = machine.file(".env", DOTENV)
    before = machine.rows()
    ended, screen = on_a_terminal(machine, ["import", str(file), "--rewrite"], answer)
    assert (ended, screen.count("[y/N]")) == (code, 1)
    named = f"~/{file.relative_to(machine.home)}"
    assert (
        f"Import 3 secrets from {named} into scope 'shared', and replace the values in the file with references?"
        in screen
    )
    if code:
        assert (machine.rows(), file.read_bytes().decode()) == (before, DOTENV)
        assert [path.name for path in file.parent.iterdir()] == [".env"]
    else:
        assert (machine.values(), file.read_bytes().decode()) == (VALUES, REWRITTEN)


@pytest.mark.parametrize("arguments", [[], ["--rewrite"], ["--json"], ["--overwrite"]])
def test_nobody_to_ask_means_no(machine: Watched, arguments: list[str]) -> None:
    file = machine.file(".env", DOTENV)
    before = machine.rows()
    code, error, said = machine.bring(str(file), *arguments)
    assert (code, error, "--yes" in said) == (2, "INVALID_ARGUMENTS", True)
    assert (machine.rows(), file.read_bytes().decode()) == (before, DOTENV)
    assert [path.name for path in file.parent.iterdir()] == [".env"]


def test_where_nothing_is_to_do_nothing_is_asked_or_done(machine: Watched) -> None:
    file = machine.file(".env", DOTENV)
    machine.bring(str(file), "--yes")
    before = machine.rows()
    code, _, said = machine.bring(str(file))
    assert (code, "Nothing to import." in said, machine.rows()) == (0, True, before)
    for name, content in [("empty.env", ""), ("empty.json", "{}"), ("some.env", "A=secret://A\n")]:
        code, _, said = machine.bring(str(machine.file(name, content)))
        assert (code, "Nothing to import." in said, machine.rows()) == (0, True, before)


BIG = "canary" * 200_000

REFUSED: dict[str, tuple[str, str | bytes, list[str], str]] = {
    "a statement that is none": (".env", "A=canary\nB='canary\n", [], "INVALID_VALUE"),
    "a name that is none": (".env", "A=canary\n.B=canary\n", [], "INVALID_NAME"),
    "a value that is too long": (".env", f"A=canary\nB={BIG}\n", [], "INVALID_VALUE"),
    "not UTF-8": (".env", b"A=canary\nB=\xffcanary\n", [], "INVALID_VALUE"),
    "a key without quotes": (".env", "A=canary\ncanaryAAA\ncanaryBBB==\n", [], "INVALID_VALUE"),
    "a number": ("a.json", '{"A": "canary", "B": 7}', [], "INVALID_VALUE"),
    "nested": ("a.json", '{"A": {"B": "canary"}}', [], "INVALID_VALUE"),
    "twice": ("a.json", '{"A": "canary", "A": "canary"}', [], "INVALID_NAME"),
    "a lone surrogate": ("a.json", '{"A": "\\udc00canary"}', [], "INVALID_VALUE"),
    "a list": ("a.json", '["canary"]', [], "INVALID_VALUE"),
    "no JSON": ("a.json", '{"A": "canary"', [], "INVALID_VALUE"),
    "no kind": ("canary", "canary", [], "INVALID_ARGUMENTS"),
    "rewriting JSON": ("a.json", '{"A": "canary"}', ["--rewrite"], "INVALID_ARGUMENTS"),
    "a key for a .env file": (".env", "A=canary", ["--key-fd", "0"], "INVALID_ARGUMENTS"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_not_right_is_refused_whole(machine: Watched, what: str) -> None:
    name, content, arguments, refused = REFUSED[what]
    file = machine.file(name.replace("canary", "data"), "")
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = (machine.rows(), file.read_bytes())
    code, error, _ = machine.bring(str(file), "--yes", "--overwrite", *arguments, stdin="canary")
    assert (code, error) == (2, refused)
    assert (machine.rows(), file.read_bytes()) == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_all_problems_are_listed_at_once(machine: Watched) -> None:
    file = machine.file(".env", "A=canary\n.B=canary\n\nC='canary\nD=canary\n-E=canary\n")
    _, _, said = machine.bring(str(file), "--yes", "--rewrite")
    listed = [line.partition(":")[0] for line in said.splitlines() if line.startswith("line ")]
    assert listed == ["line 2", "line 4", "line 6"]
    assert "3 problems" in said


def test_what_is_no_plain_file_or_too_long_is_refused(machine: Watched) -> None:
    directory = machine.file("x", "").parent
    make_pipe(directory / "pipe.env")
    (directory / "directory.env").mkdir()
    (directory / "loop.env").symlink_to("loop.env")
    with (directory / "long.json").open("wb") as file:
        file.truncate(50 * 1024 * 1024 + 1)
    for name in ("pipe.env", "directory.env", "loop.env", "long.json", "absent.env"):
        for rewrite in ([], ["--rewrite"]) if name.endswith("env") else ([],):
            assert machine.bring(str(directory / name), "--yes", *rewrite)[:2] == (2, "INVALID_ARGUMENTS"), name
    assert "larger than 50 MiB" in machine.bring(str(directory / "long.json"), "--yes")[2]


def test_a_store_that_does_not_open_is_no_reason_to_touch_the_file(machine: Watched) -> None:
    file = machine.file(".env", DOTENV)
    machine.run("set", "T", stdin="x")
    machine.key_file.unlink()
    assert machine.bring(str(file), "--yes", "--rewrite")[:2] == (4, "KEY_MISSING")
    assert file.read_bytes().decode() == DOTENV
    assert [path.name for path in file.parent.iterdir()] == [".env"]


# One transaction


def entries(**values: str) -> list[ImportedEntry]:
    return [ImportedEntry(name, value) for name, value in values.items()]


def test_all_are_stored_or_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.set_value(world.person(), "A", "old")
    person = world.person(world.project("api"))
    shown = importing.preview(person, entries(A="new", B="x", C="x"))
    before, put = world.rows(), records.put

    def fails_late(*arguments: object, name: str, **options: object) -> object:
        if name == "C":
            raise StoreError(Code.STORE_FULL, "The disk is full.")
        return put(*arguments, name=name, **options)  # type: ignore[arg-type]  # passed on unchanged

    with monkeypatch.context() as patched:
        patched.setattr(records, "put", fails_late)
        with pytest.raises(StoreError):
            importing.carry_out(person, shown)
    assert world.rows() == before
    assert log.entries(world.person(), lambda entry: entry.event.action == "import") == []
    importing.carry_out(person, shown)
    assert [record.name for record in secrets.list_all(world.person())] == ["A", "B", "C"]
    assert trust.list_grants(world.person()) == [
        Grant(project=str(world.root / "work" / "api"), scope=SHARED, name="A")
    ]


@pytest.mark.parametrize("name", ["NEW", "SAME", "OVERWRITTEN", "DELETED"])
@pytest.mark.parametrize("deed", ["set", "delete", "restore"])
def test_what_was_shown_is_what_is_stored_or_nothing_is(world: World, name: str, deed: str) -> None:
    for each, value in [("SAME", "canary"), ("OVERWRITTEN", "other"), ("DELETED", "x")]:
        secrets.set_value(world.person(), each, value)
    secrets.delete(world.person(), "DELETED")
    person = world.person()
    shown = importing.preview(
        person, entries(NEW="canary", SAME="canary", OVERWRITTEN="canary", DELETED="canary", MORE="canary")
    )
    assert [each.change for each in shown] == [
        Change.NEW,
        Change.SAME,
        Change.OVERWRITES,
        Change.BRINGS_BACK,
        Change.NEW,
    ]
    assert CANARY not in repr(shown)
    versions = {record.name: record.version for record in secrets.list_all(world.person())}
    if deed == "set":
        secrets.set_value(world.person(), name, "meanwhile")
    elif deed == "delete":
        secrets.delete(world.person(), name)
    elif name == "DELETED":
        secrets.set_value(world.person(), name, "x")
    after = {record.name: record.version for record in secrets.list_all(world.person())}
    if after == versions:  # there was nothing to delete or restore
        assert len(importing.carry_out(person, shown)) == 5
        return
    before = world.rows()
    with pytest.raises(StoreError) as caught:
        importing.carry_out(person, shown)
    assert (caught.value.code, world.rows()) == (Code.STORE_BUSY, before)


def test_the_change_of_another_is_found_while_the_question_stands_there(machine: Watched) -> None:
    file = machine.file(".env", DOTENV)

    def meanwhile() -> None:
        machine.run("set", "TOKEN", stdin="canary-other")

    code, screen = on_a_terminal(machine, ["import", str(file), "--rewrite"], "y\n", meanwhile=meanwhile)
    assert (code, "[STORE_BUSY]" in screen) == (1, True)
    assert (machine.values(), file.read_bytes().decode()) == ({"TOKEN": "canary-other"}, DOTENV)


def test_agents_of_a_project_reach_what_it_imported(world: World) -> None:
    project = world.project("api")
    person = world.person(project)
    importing.carry_out(person, importing.preview(person, entries(A="canary")))
    assert Agent(world, project).get("A") == "canary"


# The key of the TypeScript tool


@pytest.fixture
def keychain(machine: Watched) -> StandInKeychain:
    """A stand-in for macOS' `/usr/bin/security`, which the machine's program uses."""
    keychain = StandInKeychain(machine.home / "tools")
    machine.environment[SECURITY] = str(keychain.program)
    return keychain


def test_the_key_comes_from_the_keychain_by_a_stand_in_for_security(
    machine: Watched, keychain: StandInKeychain
) -> None:
    vector = VECTORS["two"]
    keychain.put("claude-secrets-mcp", "master-key", vector["key"])
    project = machine.project("api")
    planted = project / "tools" / "security"
    planted.parent.mkdir()
    planted.write_text(f"#!/bin/sh\ntouch {project}/ran\n")
    planted.chmod(0o700)
    machine.environment["PATH"] = f"{planted.parent}:{machine.environment['PATH']}"
    code, _, said = machine.bring(str(machine.file("secrets.encrypted", vector["file"])), "--yes", at=project)
    assert (code, machine.values()) == (0, vector["secrets"])
    assert vector["key"] not in said
    [run] = keychain.runs()
    assert run["stdin"] == '"find-generic-password" "-s" "claude-secrets-mcp" "-a" "master-key" "-w"\n'
    assert (run["arguments"], run["directory"]) == (["-i"], "/")
    assert not (project / "ran").exists()


@pytest.mark.parametrize(
    ("fault", "key", "refused"),
    [
        ([""], None, "KEY_MISSING"),
        (["say", 36, "canary"], None, "KEYRING_LOCKED"),
        (["say", 1, "canary"], None, "KEYRING_UNAVAILABLE"),
        (["say", 0, "canary-no-key"], None, "KEY_WRONG"),
        (["say", 0, ""], None, "KEY_WRONG"),
        ([""], VECTORS["another key"]["key"], "KEY_WRONG"),
        (None, None, "KEYRING_UNAVAILABLE"),
    ],
)
def test_a_keychain_that_gives_no_key_is_told_apart(
    machine: Watched, keychain: StandInKeychain, fault: list[object] | None, key: str | None, refused: str
) -> None:
    keychain.set(fault=fault or [""])
    if fault is None:
        keychain.program.unlink()
    if key is not None:
        keychain.put("claude-secrets-mcp", "master-key", key)
    file = machine.file("secrets.encrypted", VECTORS["two"]["file"])
    before = machine.rows()
    code, error, said = machine.bring(str(file), "--yes")
    assert (code, error, machine.rows()) == (4, refused, before)
    assert VECTORS["another key"]["key"] not in said


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if "code" in vector])
def test_a_store_that_does_not_open_brings_nothing_in(machine: Watched, name: str) -> None:
    vector = VECTORS[name]
    file = machine.file("secrets.encrypted", vector["file"])
    before = machine.rows()
    code, error, said = machine.bring(str(file), "--yes", "--key-fd", "0", stdin=vector["key"])
    exits = {"KEY_WRONG": 4, "STORE_FORMAT": 1}
    assert (code, error, machine.rows()) == (exits.get(vector["code"], 2), vector["code"], before)
    assert vector["key"] not in said


# Rewriting


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o755])
def test_rewriting_changes_the_values_alone_and_keeps_a_private_copy(machine: Watched, newline: str, mode: int) -> None:
    file = machine.file(".env", DOTENV.replace("\n", newline))
    file.chmod(mode)
    code, _, said = machine.bring(str(file), "--yes", "--rewrite")
    assert (code, file.read_bytes().decode()) == (0, REWRITTEN.replace("\n", newline))
    copy = file.with_name(".env.before-import")
    assert copy.read_bytes().decode() == DOTENV.replace("\n", newline)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, copy)] == [mode, 0o600]
    assert sorted(path.name for path in file.parent.iterdir()) == [".env", ".env.before-import"]
    assert f"rm {copy}" in said
    assert "git's history" in said
    assert machine.values() == VALUES


@pytest.mark.parametrize("ignored", [".env\n", "", ".env*\n", "!*.before-import\n"])
@pytest.mark.parametrize("name", [".env", "odd [name]*.env"])
def test_git_takes_the_copy_into_no_commit(machine: Watched, ignored: str, name: str) -> None:
    place = machine.home / "repository"
    (place / "sub").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet"], cwd=place, check=True)
    (place / ".gitignore").write_text(ignored)
    (place / ".git" / "info" / "exclude").write_text("*.tmp")
    file = place / "sub" / name
    file.write_text(DOTENV)
    code, _, said = machine.bring(str(file), "--yes", "--rewrite")
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    taken = subprocess.run(["git", "ls-files", "-z"], cwd=place, check=True, capture_output=True, text=True).stdout
    told = "git does not ignore" in said
    assert (code, file.with_name(f"{name}.before-import").exists()) == (0, True)
    assert (f"sub/{name}.before-import" in taken.split("\0")) == told == ignored.startswith("!")
    lines = (place / ".git" / "info" / "exclude").read_text().splitlines()
    assert (lines[0], len(lines)) == ("*.tmp", 1 if ignored == ".env*\n" and name == ".env" else 2)


def test_rewriting_keeps_the_owner_and_all_of_the_mode(machine: Watched) -> None:
    file = machine.file(".env", DOTENV)
    if is_root():  # only root can change a file's owner
        give_away(file, 1234, 4321)
    file.chmod(0o2640)
    before = file.stat()
    assert machine.bring(str(file), "--yes", "--rewrite")[0] == 0
    after = file.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_what_had_its_value_already_is_rewritten_too(machine: Watched) -> None:
    file = machine.file(".env", DOTENV)
    machine.bring(str(file), "--yes")
    code, _, said = machine.bring(str(file), "--yes", "--rewrite")
    assert (code, file.read_bytes().decode()) == (0, REWRITTEN)
    assert "3 of them already had this value" in said


def test_a_copy_that_is_there_is_never_overwritten(machine: Watched) -> None:
    file = machine.file(".env", DOTENV)
    before = machine.rows()
    copy = file.with_name(".env.before-import")
    for make in (lambda: copy.write_text("mine"), lambda: copy.symlink_to("nowhere")):
        make()
        code, error, said = machine.bring(str(file), "--yes", "--rewrite")
        assert (code, error, str(copy) in said) == (2, "INVALID_ARGUMENTS", True)
        assert (machine.rows(), file.read_bytes().decode()) == (before, DOTENV)
        assert copy.is_symlink() or copy.read_text() == "mine"
        copy.unlink()


def test_rewriting_twice_finds_nothing_to_do_before_it_looks_at_the_copy(machine: Watched) -> None:
    file = machine.file(".env", DOTENV)
    assert machine.bring(str(file), "--yes", "--rewrite")[0] == 0
    before, status = machine.rows(), (file.stat().st_ino, file.stat().st_mtime_ns)
    copy = file.with_name(".env.before-import")
    for arguments in ([], ["--yes"], ["--overwrite"], ["--scope", "other"]):
        code, _, said = machine.bring(str(file), "--rewrite", *arguments)
        assert (code, "Nothing to import." in said, "copy" in said) == (0, True, False)
    assert (machine.rows(), copy.read_bytes().decode()) == (before, DOTENV)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == status
    file.write_text(f"{REWRITTEN}MORE=canary-more\n")
    code, error, said = machine.bring(str(file), "--yes", "--rewrite")
    assert (code, error, "hint: The copy contains the values from before" in said) == (2, "INVALID_ARGUMENTS", True)
    assert machine.rows() == before
    command = said.rpartition(": rm ")[2].strip()
    subprocess.run(["sh", "-c", f"rm {command}"], check=True)
    assert machine.bring(str(file), "--yes", "--rewrite")[0] == 0
    assert file.read_text() == f"{REWRITTEN}MORE=secret://MORE\n"


@pytest.mark.parametrize("arguments", [[], ["--overwrite"], ["--rewrite", "--overwrite"]])
@pytest.mark.parametrize("name", ["some.env", "some.json"])
def test_a_value_with_a_reference_inside_is_left_alone_and_listed(
    machine: Watched, name: str, arguments: list[str]
) -> None:
    machine.run("set", "URL", stdin="canary-old")
    url = "postgres://app:secret://DB_PASSWORD@localhost/app"
    text, where = f"TOKEN=canary\nURL={url}\n", "line 2"
    if name.endswith("json"):
        text, where = json.dumps({"TOKEN": "canary", "URL": url}), "'URL'"
        arguments = [each for each in arguments if each != "--rewrite"]
    file = machine.file(name, text)
    code, _, said = machine.bring(str(file), "--yes", *arguments)
    assert (code, machine.values()) == (0, {"TOKEN": "canary", "URL": "canary-old"})
    assert f"note: {where}: contains a reference; left out" in said
    assert file.read_text() == (text.replace("=canary", "=secret://TOKEN") if "--rewrite" in arguments else text)


def test_of_a_link_the_target_is_rewritten_and_that_is_said(machine: Watched) -> None:
    target = machine.file("target", DOTENV)
    link = machine.home / ".env"
    link.symlink_to("files/target")
    code, _, said = machine.bring(str(link), "--yes", "--rewrite")
    assert (code, link.is_symlink(), target.read_bytes().decode()) == (0, True, REWRITTEN)
    assert f"{link} is a link to {target}, which will be rewritten" in said
    assert (target.parent / "target.before-import").read_bytes().decode() == DOTENV
    assert not (machine.home / ".env.before-import").exists()


def test_another_name_of_the_file_is_told_of(machine: Watched) -> None:
    file = machine.file(".env", DOTENV)
    (file.parent / "other").hardlink_to(file)
    _, _, said = machine.bring(str(file), "--yes", "--rewrite")
    assert "another name (a hard link)" in said
    assert (file.parent / "other").read_bytes().decode() == DOTENV


@pytest.mark.parametrize("how", ["content", "mode", "another file", "a link", "gone"])
def test_a_file_that_was_changed_meanwhile_is_left_alone(machine: Watched, how: str) -> None:
    file = machine.file(".env", DOTENV)

    def meanwhile() -> None:
        match how:
            case "content":
                file.write_text("A=canary-new\n")
            case "mode":
                file.chmod(0o600)
            case "another file":
                file.rename(file.with_name("old"))
                file.write_bytes(DOTENV.encode())
            case "a link":
                file.rename(file.with_name("old"))
                file.symlink_to("old")
            case "gone":
                file.unlink()

    code, screen = on_a_terminal(machine, ["import", str(file), "--rewrite"], "y\n", meanwhile=meanwhile)
    assert (code, "so it was not " in screen) == (1, True)
    assert "The secrets were imported. Run the command again" in screen
    assert machine.values() == VALUES
    left = {path.name: path.read_bytes().decode() for path in file.parent.iterdir()}
    assert (
        left
        == {
            "content": {".env": "A=canary-new\n"},
            "mode": {".env": DOTENV},
            "another file": {".env": DOTENV, "old": DOTENV},
            "a link": {".env": DOTENV, "old": DOTENV},
            "gone": {},
        }[how]
    )


def test_where_it_cannot_be_written_it_is_left_without_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".env"
    path.write_text(DOTENV)
    file = plain_file.read_plain_file(path, limit=1000)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, CANARY)

    for patched in ("fsync", "fchown", "write"):
        with monkeypatch.context() as patch:
            patch.setattr(os, patched, full)
            with pytest.raises(SecretsError) as caught:
                plain_file.rewrite(file, b"new")
        assert CANARY not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {".env": DOTENV}
    assert plain_file.rewrite(file, b"new").read_text() == DOTENV
    assert path.read_bytes() == b"new"


def test_a_process_that_is_killed_leaves_the_old_file_or_the_new(machine: Watched) -> None:
    """Kill the process at the rename: the file and its copy are complete, and no other file contains a value."""
    file = machine.file(".env", DOTENV)
    code = (
        "import os, signal, sys, pathlib\n"
        "from claude_secrets.cli.main import main\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"main(['import', {str(file)!r}, '--yes', '--rewrite'])\n"
    )
    done = subprocess.run(
        [*PROGRAM[:2], "-c", code],
        env=machine.environment,
        cwd=machine.home,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == -9
    left = {path.name: path.read_bytes().decode() for path in file.parent.iterdir()}
    assert left.pop(".env") == left.pop(".env.before-import") == DOTENV
    assert [*left.values()] == [REWRITTEN]
    assert machine.values() == VALUES


@pytest.mark.parametrize("what", ["user", "group", "directory", "nothing"])
def test_what_is_not_ones_own_is_found_before_anything_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = tmp_path / ".env"
    path.write_text(DOTENV)
    file = plain_file.read_plain_file(path, limit=1000)
    if what == "user":
        monkeypatch.setattr(os, "geteuid", lambda: file.status.st_uid + 1)
    if what == "group":  # no longer root, who may set any group
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
        file = file._replace(status=os.stat_result([*file.status[:4], 1234, 4321, *file.status[6:]]))
    if what == "directory":
        monkeypatch.setattr(os, "access", lambda place, _: place != tmp_path)
    if what == "nothing":
        plain_file.refuse_what_cannot_be_replaced(file)
        return
    with pytest.raises(CallerError) as caught:
        plain_file.refuse_what_cannot_be_replaced(file)
    assert caught.value.code is Code.INVALID_ARGUMENTS


# No other place contains a value


def test_no_value_is_left_anywhere_but_where_it_belongs(machine: Watched) -> None:
    file = machine.file(".env", DOTENV.replace("# canary", "#"))
    machine.bring(str(file), "--yes", "--rewrite")
    machine.bring(str(machine.file("a.json", '{"A": "canary-a"}')), "--yes")
    holding = {
        path.relative_to(machine.home).as_posix()
        for path in machine.home.rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    }
    assert holding == {"files/.env.before-import", "files/a.json"}

"""Every question at the terminal: the person cancels it, leaves it empty, or answers it by pasting text.

A table lists every question of every command. One test compares the table with the source, so that no question is
missing.
"""

import ast
import itertools
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from claude_secrets.cli import main, opening
from claude_secrets.cli.parser import COMMANDS
from tests.support.keyrings import real_keyring, wait_until
from tests.support.machine import PROGRAM, Machine
from tests.support.posix import skip_without
from tests.support.program import ASKED
from tests.support.rounds import in_turn
from tests.support.terminals import PROMPT, Bash, Running

if sys.platform != "win32":
    from termios import ECHO

skip_without("POSIX terminals")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")

WORDS = "correct horse battery staple"
OTHER_WORDS = "quiet lantern orbit mustard velvet"
CODE = "the recovery code"
"""The table's placeholder for the store's recovery code."""
PASTED = "canary-of-a-paste\ny\n"


class Asked(NamedTuple):
    """A question: its text on the screen, the chain of the command line's functions that asks it, and its answer.

    If `may_be_empty`, an empty line is a valid answer.
    """

    shows: str
    by: str
    answer: str = "y"
    may_be_empty: bool = False

    @property
    def is_hidden(self) -> bool:
        """Return whether the typed text is hidden."""
        return self.by.endswith("read_hidden")


class Row(NamedTuple):
    """A command line, its working directory relative to the home directory, and its questions in order."""

    line: str
    at: str
    questions: list[Asked]


YES = "asking.require_yes terminal.confirm"
AGREED = "asking.agreed terminal.confirm"
ABOUT_OTHERS = "asking.ask terminal.confirm"
TYPED = "asking.passphrase terminal.read_hidden"
VALUE = Asked("Value of", "set.run asking.value_from_input terminal.read_hidden", "a value")
SCOPE = Asked("use the scope acme", f"opening.the_person ask_about_others.require_scope {ABOUT_OTHERS}")
REFERENCES = "ask_about_others.require_references"
COPIES = "old_copies.ask_which_to_remove asking.agreed terminal.confirm"
NEW_WORDS = "key.run key._rotate_data key._new_passphrases key._new_passphrase"
STORE = Asked("Passphrase of the store", f"opening._open {TYPED}", WORDS)


def new_words(what: str, by: str) -> list[Asked]:
    """Return the two questions for a new passphrase."""
    through = f"{by} asking.new_passphrase"
    return [
        Asked(f"New passphrase of {what}", f"{through} {TYPED}", WORDS),
        Asked(f"{what}, again", f"{through} asking.the_same_again {TYPED}", WORDS),
    ]


SETUP = "setup.run setup._planned"
AGREES = "setup._agrees terminal.confirm"
CHOOSES = "client_project.choose_project client_project._asked"

ASKS_FOR_KEY = "init.run init_key.ask_for_key_place"
KEY_PLACE = Asked("Type 1, 2 or 3", f"{ASKS_FOR_KEY} init_key._number terminal.read_line", "1", may_be_empty=True)
KEY_PATH = f"{ASKS_FOR_KEY} init_key._path terminal.read_line"

PURGED = Asked("Remove th", f"purge.run {COPIES}", may_be_empty=True)

KEYED = [
    Row("set NEW", "work/clone", [VALUE]),
    Row(
        "set AWS_KEY",
        "work/clone",
        [Asked("Overwrite AWS_KEY", f"set.run ask_about_others.require_name {ABOUT_OTHERS}"), VALUE],
    ),
    Row("delete OWN", "work/clone", [Asked("Delete 'OWN'", f"delete.run {YES}")]),
    Row("purge OWN", "work/clone", [Asked("Purge 'OWN'", f"purge.run purge._one {YES}"), PURGED]),
    Row(
        "purge --deleted",
        "",
        [Asked("Purge 1 deleted", f"purge.run purge._deleted {AGREED}", may_be_empty=True), PURGED],
    ),
    Row(
        "allow AWS_KEY", "work/clone", [Asked("use AWS_KEY", f"allow.run ask_about_others.require_name {ABOUT_OTHERS}")]
    ),
    Row(
        "allow 'AWS_*'",
        "work/clone",
        [Asked(r"matching AWS_\*", f"allow.run ask_about_others.require_names {ABOUT_OTHERS}")],
    ),
    Row(
        "access AWS_KEY --readable",
        "work/clone",
        [Asked("Make AWS", f"access.run ask_about_others.require_name {ABOUT_OTHERS}")],
    ),
    Row("trust", "work/clone", [Asked("Let ", f"trust.run {YES}")]),
    Row("exec -- true", "work/clone", [Asked("Let this command", f"exec.run {REFERENCES} {ABOUT_OTHERS}")]),
    Row("export", "work/clone", [Asked("Let this command", f"export.run {REFERENCES} {ABOUT_OTHERS}")]),
    Row("import values.env", "work/clone", [Asked("Import 1 secret", f"import.run import._ask {YES}")]),
    Row("import values.env --rewrite", "work/clone", [Asked("Import 1 secret", f"import.run import._ask {YES}")]),
    Row(
        "init", "work/clone/below", [Asked("Make a second project", f"init.run init._ask_before_hiding {ABOUT_OTHERS}")]
    ),
    Row("key add-passphrase", "", new_words("the store", "key.run")),
    Row("key remove SLOT", "", [Asked("Remove key slot", f"key.run key._remove {YES}")]),
    Row(
        "key rotate --data",
        "",
        [
            Asked("or nothing to remove the slot", f"{NEW_WORDS} {TYPED}", OTHER_WORDS, may_be_empty=True),
            Asked(", again", f"{NEW_WORDS} asking.the_same_again {TYPED}", OTHER_WORDS),
            Asked("Replace all keys", f"key.run key._rotate_data {YES}"),
            Asked("Remove th", f"key._rotate_data {COPIES}", may_be_empty=True),
        ],
    ),
    Row("backup new.backup", "", new_words("the backup", "backup.run backup._make")),
    Row("backup --verify old.backup", "", [Asked("Passphrase of the backup", f"backup.run {TYPED}", WORDS)]),
    Row(
        "backup restore old.backup --aside --key-file new.key",
        "",
        [
            Asked("Passphrase of the backup", f"backup.run backup._restore {TYPED}", WORDS),
            Asked("Rename the store", f"backup._restore {YES}"),
        ],
    ),
    Row(
        "recover use --key-file new.key",
        "",
        [Asked("Recovery code", "recover.run asking.code_from_input terminal.read_hidden")],
    ),
    Row("--store other.db init", "fresh", [KEY_PLACE, Asked("Path of the key file", KEY_PATH, may_be_empty=True)]),
    Row(
        "--store other.db init",
        "fresh",
        [KEY_PLACE._replace(answer="2"), *new_words("the store", "init.run init._passphrase")],
    ),
    Row(
        "--store other.db setup",
        "fresh",
        [
            KEY_PLACE._replace(by=f"{SETUP} first_key.plan_store {KEY_PLACE.by.partition(' ')[2]}"),
            Asked("Path of the key file", "init_key._path terminal.read_line", may_be_empty=True),
            Asked("Make a recovery code", f"{SETUP} setup._wants_code {AGREES}", may_be_empty=True),
            Asked("Connect all", f"{SETUP} setup._clients {AGREES}", may_be_empty=True),
            Asked("Use ~/Claude", f"{SETUP} {CHOOSES} terminal.confirm", may_be_empty=True),
            Asked("Add these hooks", f"{SETUP} setup._wants_hooks {AGREES}", may_be_empty=True),
            Asked("Make these changes", f"{SETUP} setup._confirm {AGREES}", may_be_empty=True),
        ],
    ),
    Row(
        "--store other.db setup",
        "fresh",
        [
            KEY_PLACE._replace(answer="2", by=f"first_key.plan_store {KEY_PLACE.by.partition(' ')[2]}"),
            *new_words("the store", "first_key.plan_store"),
        ],
    ),
    Row(
        "uninstall --purge-store",
        "",
        [Asked("Permanently remove", f"uninstall.run store_removal.purge_store {AGREED}")],
    ),
    Row(
        "install claude-desktop",
        "",
        [
            Asked("Use ~/Claude", f"install.run {CHOOSES} terminal.confirm", "n", may_be_empty=True),
            Asked("Another directory", f"install.run {CHOOSES} terminal.read_line", may_be_empty=True),
        ],
    ),
    Row("--store other.db init --passphrase", "fresh", new_words("the store", "init.run init._passphrase")),
    *(Row(line, "work/evil", [SCOPE]) for line in ("get AWS", "rename AWS NEW", "history AWS", "restore AWS")),
    Row("set NEW", "work/evil", [SCOPE, VALUE]),
    Row("delete AWS", "work/evil", [SCOPE, Asked("Delete 'AWS'", YES)]),
    Row("purge AWS", "work/evil", [SCOPE, Asked("Purge 'AWS'", YES), PURGED]),
    Row("allow AWS", "work/evil", [SCOPE, Asked("use AWS", ABOUT_OTHERS)]),
    Row("access AWS --readable", "work/evil", [SCOPE, Asked("Make AWS", ABOUT_OTHERS)]),
    Row("exec -- true", "work/evil", [SCOPE, Asked("Let this command", ABOUT_OTHERS)]),
    Row("export", "work/evil", [SCOPE, Asked("Let this command", ABOUT_OTHERS)]),
    Row("import values.env", "work/evil", [SCOPE, Asked("Import 1 secret", YES)]),
]
"""Command lines for a store with its key in a file."""

OPENING = [
    "get T",
    "set NEW",
    "list",
    "search T",
    "delete T --yes",
    "history T",
    "restore T",
    "purge T --yes",
    "rename T U",
    "exec --only T -- true",
    "export --only T",
    "scan .",
    "import values.env --yes",
    "access T --use-only",
    "allow T",
    "revoke T",
    "trust",
    "projects",
    "log",
    "key list",
    "key add-file new.key",
    "key add-passphrase",
    "key remove 0",
    "key rotate",
    "key rotate --data",
    "recover create",
    "backup new.backup",
    "doctor",
    "doctor --deep",
    "setup",
]
"""Commands whose first question is for the passphrase that opens the store."""

LOCKED = [
    *(Row(line, "work/api", [STORE]) for line in OPENING),
    Row("backup restore old.backup", "", [STORE]),
    Row("recover use --key-file new.key", "", [Asked("Recovery code", "terminal.read_hidden", "AAAAA")]),
]
"""Command lines for a store that a passphrase opens."""

OPEN_NO_STORE = {"serve", "hook", "policy", "init", "install", "uninstall"}
"""Commands that never ask for the passphrase, because nobody can answer or because they open no store."""

EXEMPT = {
    ("setup.run", "first_key.wait_until_written_down"),  # everything is done by then, and every input ends it
    ("first_key.wait_until_written_down", "terminal.read_line"),
    ("as_agent._set", "asking.value_from_input"),  # an agent's command refuses a terminal before it asks
    ("serve.run", "serve.start"),
    ("serve.start", "asking.passphrase"),  # `serve` reads only the descriptor of --passphrase-fd
}

INPUTS = {"Ctrl-C": "\x03", "Ctrl-D": "\x04", "nothing": "\n", "a paste": PASTED}


class Scene(NamedTuple):
    """A machine that no test changes, and the values for the placeholders `SLOT` and `CODE`."""

    machine: Machine
    slot: str = ""
    code: str = ""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    machine = Machine(tmp_path_factory.mktemp("keyed")).use_key_file()
    (machine.home / "fresh").mkdir()
    (machine.home / ".claude.json").write_text("{}")
    (machine.home / ".config" / "Claude").mkdir()
    infra, clone = machine.project("infra"), machine.project("clone")
    scoped = [machine.project("infra2"), machine.project("evil")]
    for project in scoped:
        (project / ".claude" / "secrets.yml").write_text(yaml.safe_dump({"scope": "acme", "allow": "*"}))
    for name, at in (
        ("AWS_KEY", infra),
        ("PERSONAL", machine.home),
        ("OWN", clone),
        ("GONE", clone),
        ("AWS", scoped[0]),
    ):
        run(machine, "set", name, at=at, stdin=f"value-of-{name}")
    run(machine, "delete", "GONE", "--yes", at=clone)
    (clone / "below").mkdir()
    for project, name in ((clone, "AWS_KEY"), (scoped[1], "AWS")):
        (project / ".env").write_text(f"A=secret://{name}\n")
        (project / "values.env").write_text("FRESH=value\n")
    run(machine, "backup", "old.backup", "--backup-passphrase-fd", "0", stdin=WORDS)
    run(machine, "key", "add-passphrase", "--new-passphrase-fd", "0", stdin=WORDS)
    code = run(machine, "recover", "create").strip()
    slots = json.loads(run(machine, "key", "list", "--json"))
    machine.store.with_name(f"{machine.store.name}.aside-20270101-000000").write_bytes(machine.store.read_bytes())
    return Scene(machine, next(slot["slot"] for slot in slots if slot["kind"] == "passphrase"), code)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    machine = Machine(tmp_path_factory.mktemp("locked"))
    run(machine, "init", "--passphrase", "--new-passphrase-fd", "0", stdin=WORDS)
    api = machine.project("api")
    (api / "values.env").write_text("FRESH=value\n")
    with machine.server(api, wrapper=["bash", "-c", f'exec "$@" --passphrase-fd 3 3<<<"{WORDS}"', "-"]) as wire:
        wire.text("set_secret", name="T", value="value-of-T")
    run(machine, "--passphrase-fd", "0", "recover", "create", stdin=WORDS)
    run(machine, "--passphrase-fd", "0", "backup", "old.backup", "--backup-passphrase-fd", "0", stdin=WORDS)
    return Scene(machine)


def run(machine: Machine, *words: str, at: Path | None = None, stdin: str | None = None) -> str:
    done = machine.run(*words, at=at, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cases(rows: list[Row]) -> list[object]:
    """Pair each question with one kind of input in turn, or with all kinds if TESTS_DEEP is set."""
    found: list[object] = []
    for row in rows:
        for number, asked in enumerate(row.questions):
            possible = [what for what in INPUTS if not (asked.may_be_empty and what == "nothing")]
            for what in in_turn(possible, len(found), 1):
                name = f"{row.line}-{number + 1}-{what}-in {row.at or 'home'}"
                found.append(pytest.param(row, number, what, id=name))
    return found


def contents(directory: Path) -> dict[str, bytes]:
    """Return all files below a directory with their contents, except `-shm` files and empty `-wal` files of SQLite."""
    found = {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if not path.endswith("-shm") and (data or "-wal" not in path)}


@pytest.mark.parametrize(("row", "number", "what"), cases(KEYED))
def test_a_question_that_is_not_answered_changes_nothing(
    keyed: Scene, tmp_path: Path, row: Row, number: int, what: str
) -> None:
    break_off(keyed, tmp_path / "asked", row, number, what)


@pytest.mark.parametrize(("row", "number", "what"), cases(LOCKED))
def test_neither_where_the_store_has_to_be_opened_first(
    locked: Scene, tmp_path: Path, row: Row, number: int, what: str
) -> None:
    break_off(locked, tmp_path / "asked", row, number, what)


def break_off(scene: Scene, asked: Path, row: Row, number: int, what: str) -> None:
    """Answer the earlier questions, give input `what` to question `number`, and check that nothing has changed."""
    machine, question = scene.machine, row.questions[number]
    before = contents(machine.home)
    words = [scene.slot if word == "SLOT" else word for word in shlex.split(row.line)]
    environment = {**machine.environment, ASKED: str(asked)}
    with Running([*PROGRAM, *words], machine.home / row.at, environment) as running:
        for earlier in row.questions[:number]:
            running.see(f"{earlier.shows}.*(: |] )")
            running.type(f"{scene.code if earlier.answer == CODE else earlier.answer}\n")
        running.see(f"{question.shows}.*(: |] )")
        running.type(INPUTS[what])
        code = running.ended()
        assert (code, said(running.shown)) == expected(question, what)
        assert running.settings() == running.before
        assert running.left_over() == b""
        assert not (question.is_hidden and "canary" in running.shown)
    assert contents(machine.home) == before
    put = asked.read_text().splitlines()
    assert len(put) == number + 1
    assert all(line.endswith(each.by) for line, each in zip(put, row.questions, strict=False)), put


def said(shown: str) -> str:
    """Return the last line, which says the outcome. Check that at most one line says "Cancelled"."""
    lines = [line for line in shown.splitlines() if not line.startswith("hint: ")]
    assert sum("Cancelled" in line for line in lines) <= 1
    return lines[-1]


def expected(question: Asked, what: str) -> tuple[int, str]:
    """Return the expected exit code and last line."""
    if what in ("Ctrl-C", "Ctrl-D"):
        return 130, "Cancelled; nothing was changed."
    if what == "a paste":
        return 2, "error: [INVALID_VALUE] More than one line was entered; nothing was changed."
    if question.is_hidden:
        return 1, "error: [CANCELLED] The input was empty; nothing was changed."
    return 1, "Nothing was changed."


# The table is complete


def test_the_table_has_every_place_that_asks() -> None:
    rows = [*KEYED, *LOCKED]
    driven = {pair for row in rows for asked in row.questions for pair in itertools.pairwise(asked.by.split())}
    assert places_that_ask() - driven - EXEMPT == set()
    assert {row.line.split()[0] for row in LOCKED} | OPEN_NO_STORE == set(COMMANDS)
    assert {row.line.split()[0] for row in KEYED if SCOPE in row.questions} == opening._IN_A_SCOPE


def places_that_ask() -> set[tuple[str, str]]:
    """Return each call that can ask, as a pair: a function of the command line, and the asking function that it calls.

    `opening.the_person` asks only for some commands; a separate test compares those commands with the table. A function
    that only calls an asking function in a lambda does not count as asking.
    """
    calls = {call for path in Path(main.__file__).parent.rglob("*.py") for call in calls_in(path)}
    asking = {"terminal.read_hidden", "terminal.confirm", "terminal.read_line"}
    while True:
        more = {caller for caller, callee, later in calls if callee in asking and not later} - {"opening.the_person"}
        if more <= asking:
            return {(caller, callee) for caller, callee, _ in calls if callee in asking}
        asking |= more


def calls_in(path: Path) -> Iterator[tuple[str, str, bool]]:
    """Yield each call in a module: the calling function, the called function, and whether a lambda makes the call."""
    tree = ast.parse(path.read_text())
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                home = node.module.rpartition(".")[2]
                known[alias.asname or alias.name] = alias.name if home in ("cli", "prompt") else f"{home}.{alias.name}"
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    known.update({function.name: f"{path.stem}.{function.name}" for function in functions})
    for function in functions:
        lambdas = {id(part) for node in ast.walk(function) if isinstance(node, ast.Lambda) for part in ast.walk(node)}
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                callee = ".".join(known.get(part, part) for part in ast.unparse(node.func).split("."))
                yield f"{path.stem}.{function.name}", callee, id(node) in lambdas


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT], ids=lambda number: number.name)
@pytest.mark.parametrize("words", [["set", "NEW"], ["delete", "OWN"]], ids=["hidden", "shown"])
def test_a_signal_ends_it_with_the_terminal_as_it_was(keyed: Scene, words: list[str], number: int) -> None:
    machine = keyed.machine
    before = contents(machine.home)
    with Running([*PROGRAM, *words], machine.home / "work" / "clone", machine.environment) as running:
        running.see("(: |] )")
        if words[0] == "delete":  # once this echo is visible, no earlier output is still on its way
            running.type("half a canary")
            running.see("half a canary")
        running.process.send_signal(number)
        assert running.ended() == -number
        assert running.settings() == running.before
        assert running.left_over() == b""
    assert contents(machine.home) == before


@pytest.mark.parametrize("how", ["\x1a", signal.SIGSTOP, signal.SIGTSTP], ids=["Ctrl-Z", "SIGSTOP", "SIGTSTP"])
def test_a_hidden_question_goes_on_hidden_after_it_was_stopped(tmp_path: Path, how: str | int) -> None:
    machine = Machine(tmp_path).use_key_file()
    with Bash(machine.home, machine.environment, size=(24, 200)) as bash:
        usual = bash.settings()
        bash.type(f"{shlex.join(PROGRAM)} set NEW\n")
        bash.see(r"\(not shown\): ")
        if isinstance(how, str):  # a key arrives after this input, but a signal could arrive before it
            bash.type("canary-half")
        if isinstance(how, str):
            bash.type(how)
        else:
            os.killpg(foreground(bash), how)
        bash.see(f"Stopped.*\n{PROMPT}")
        assert bash.settings() == usual
        assert bash.run("echo 'between'").endswith("between\n")
        bash.type("fg\n")
        bash.see(r"\(not shown\): ")
        wait_until(lambda: not bash.settings()[3] & ECHO, "it is hidden")  # type: ignore[operator]
        bash.type("canary-whole\n")
        seen = bash.see(r"Stored 'NEW' \(version 1\)")
        assert "canary" not in seen
    assert machine.run("get", "NEW").stdout == "canary-whole"


def foreground(bash: Bash) -> int:
    """Return the terminal's foreground process group."""
    return os.tcgetpgrp(bash._terminal)


def test_a_question_that_was_begun_in_the_background_is_put_in_the_foreground(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    with Bash(machine.home, machine.environment, size=(24, 200)) as bash:
        bash.type(f"{shlex.join(PROGRAM)} set NEW &\n")
        bash.see(PROMPT)
        wait_until(lambda: "Stopped" in bash.run("jobs"), "it waits for the terminal")
        bash.type("fg\n")
        bash.see(r"\(not shown\): ")
        wait_until(lambda: not bash.settings()[3] & ECHO, "it is hidden")  # type: ignore[operator]
        bash.type("canary-whole\n")
        assert "canary" not in bash.see(r"Stored 'NEW' \(version 1\)")


def test_a_stopped_question_can_be_ended(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    with Bash(machine.home, machine.environment, size=(24, 200)) as bash:
        usual, shell = bash.settings(), foreground(bash)
        bash.type(f"{shlex.join(PROGRAM)} set NEW\n")
        bash.see(r"\(not shown\): ")
        asking = foreground(bash)
        os.killpg(asking, signal.SIGSTOP)
        bash.see(f"Stopped.*\n{PROMPT}")
        bash.type("sleep 1000\n")
        wait_until(lambda: foreground(bash) not in (shell, asking), "something else has the terminal")
        bash.type("a line for that\n")  # the asking process must not read this: reading would stop it again
        bash.see("a line for that\n")
        os.kill(asking, signal.SIGTERM)
        os.kill(asking, signal.SIGCONT)
        wait_until(lambda: not Path(f"/proc/{asking}").exists(), "it has ended")
        bash.type("\x03")
        bash.see(f"Terminated.*\n{PROMPT}")
        assert bash.settings() == usual


# Ctrl-C while the program computes or waits


def test_ctrl_c_while_a_passphrase_is_stretched_ends_it(tmp_path: Path, locked: Scene) -> None:
    machine = locked.machine
    before = contents(machine.home)
    with Running([*PROGRAM, "get", "T"], machine.home, machine.environment) as running:
        running.see(r"\(not shown\): ")
        running.type(f"{WORDS}\n")
        # Stretching takes 64 MiB, and nothing before it takes as much.
        wait_until(lambda: memory(running.process.pid) > 64 * 2**20, "it is stretched")
        running.type("\x03")
        assert running.ended() == 130
        assert "value-of-T" not in running.shown
        assert running.settings() == running.before
    assert contents(machine.home) == before


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def has_socket(pid: int) -> bool:
    """Return whether a process has an open socket, for example to the session bus."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(link.readlink()).startswith("socket:"):
                return True
    return False


@pytest.mark.parametrize("frozen", ["before the question", "after it"])
@pytest.mark.parametrize("line", ["set NEW", "recover use"])
def test_ctrl_c_while_the_keyring_waits_for_its_password_leaves_nothing_behind(
    tmp_path: Path, line: str, frozen: str
) -> None:
    with real_keyring() as keyring:
        machine = Machine(tmp_path)
        machine.environment.update(keyring.environment)
        answer = "canary"
        if line == "recover use":
            answer = run(machine.use_key_file(), "recover", "create").strip()
            machine.key_file.unlink()
        before, entries = contents(machine.home), keyring.entries()
        try:
            if frozen == "before the question":
                keyring.freeze()
            patient = {**machine.environment, "DISPLAY": ":0"}  # waits longer with a display
            with Running([*PROGRAM, *line.split()], machine.home, patient) as running:
                if frozen == "after it":
                    running.see(r"\(not shown\): ")
                    keyring.freeze()
                    running.type(f"{answer}\n")
                wait_until(lambda: has_socket(running.process.pid), "the keyring is asked")
                running.type("\x03")
                assert running.ended() == 130
        finally:
            keyring.thaw()
        assert contents(machine.home) == before
        assert keyring.entries() == entries

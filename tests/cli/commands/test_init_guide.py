"""`init` at a terminal asks where to keep the key, shows .env files that hold secrets, and names commands that work."""

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.hook_events import VALUE
from tests.support.machine import PROGRAM, Machine
from tests.support.mounts import mounted, root_on_linux
from tests.support.posix import skip_without
from tests.support.terminals import Running

skip_without("POSIX terminals")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")

FILE = Path(".claude") / "secrets.yml"
WORDS = "correct horse battery staple"
ENV = f"PORT=3000\nAPI_TOKEN={VALUE}\nDEBUG=true\nDATABASE_URL=postgres://app:{VALUE.replace('/', '-')}@db/app\n"


def project(machine: Machine, name: str = "fresh", *, git: bool = False) -> Path:
    directory = machine.home / name
    directory.mkdir(parents=True)
    if git:
        subprocess.run(["git", "init", "--quiet", str(directory)], check=True)
    return directory


def init(machine: Machine, at: Path, *answers: tuple[str, str], columns: int = 400, options: str = "") -> str:
    """Run `init` at a terminal, type the answers to the questions, and return all that was shown."""
    seen = ""
    with Running([*PROGRAM, *options.split(), "init"], at, machine.environment, columns=columns) as running:
        for question, answer in answers:
            seen += running.see(re.escape(question))
            running.type(f"{answer}\n")
        assert running.ended() == 0, running.shown
        return seen + running.shown


def commands(shown: str) -> list[list[str]]:
    """Return the words of each command that is shown on its own line, without the program."""
    lines = re.findall(r"^  python -P -m claude_secrets (.*?)(?:   .*)?$", shown, re.MULTILINE)
    return [shlex.split(line) for line in lines]


# The key


def test_a_key_file_is_made_in_the_same_run(bare_machine: Machine) -> None:
    fresh = project(bare_machine)
    shown = init(bare_machine, fresh, ("Type 1, 2 or 3: ", "1"), ("[~/claude-secrets.key]: ", ""))
    assert "[KEYRING_UNAVAILABLE]" in shown
    assert (bare_machine.home / "claude-secrets.key").stat().st_mode & 0o777 == 0o600
    assert ["allow", "NAME"] in commands(shown)
    assert ["set", "NAME"] in commands(shown)
    assert bare_machine.run("allow", "TOK", at=fresh).returncode == 0
    assert bare_machine.run("set", "TOK", at=fresh, stdin=VALUE).returncode == 0
    assert bare_machine.run("get", "TOK", at=fresh).stdout == VALUE


def test_the_key_files_path_can_be_typed_and_a_file_that_is_there_is_not_proposed(bare_machine: Machine) -> None:
    (bare_machine.home / "claude-secrets.key").write_text("another store's key")
    (bare_machine.home / "claude-secrets-2.key").symlink_to("nowhere")
    fresh = project(bare_machine)
    question = "[~/claude-secrets-3.key]: "
    init(bare_machine, fresh, ("Type 1, 2 or 3: ", "1"), (question, "~/my keys/master.key"))
    assert (bare_machine.home / "my keys" / "master.key").is_file()
    assert (bare_machine.home / "claude-secrets.key").read_text() == "another store's key"


def test_a_passphrase_is_asked_for_in_the_same_run(bare_machine: Machine) -> None:
    fresh = project(bare_machine)
    asked = [("Type 1, 2 or 3: ", "2"), ("(not shown): ", WORDS), ("again (not shown): ", WORDS)]
    shown = init(bare_machine, fresh, *asked)
    assert WORDS not in shown
    assert bare_machine.run("--passphrase-fd", "0", "list", stdin=WORDS).returncode == 0


@pytest.mark.parametrize("at", ["here", "elsewhere"])
def test_later_makes_the_allowlist_alone_and_names_the_commands(bare_machine: Machine, at: str) -> None:
    fresh = project(bare_machine)
    options = "" if at == "here" else f"--project {fresh} --store {bare_machine.home}/own/own.db"
    where = fresh if at == "here" else bare_machine.home
    shown = init(bare_machine, where, ("Type 1, 2 or 3: ", "3"), options=options)
    assert (fresh / FILE).is_file()
    assert list(bare_machine.home.glob("**/*.db")) == []
    first, second, third, fourth = commands(shown)
    assert [first[-3], second[-1], third[-2], fourth[-2]] == ["init", "--passphrase", "allow", "set"]
    named = [word.replace("~", str(bare_machine.home)) for word in first]
    assert bare_machine.run(*named, at=where).returncode == 0
    assert bare_machine.run(*third[:-1], "TOK", at=where).returncode == 0


@pytest.mark.parametrize("answers", [["1", "inside.key"], ["1", "{home}/taken.key"], ["4", "", "yes"]])
def test_an_answer_that_cannot_be_used_changes_nothing(bare_machine: Machine, answers: list[str]) -> None:
    fresh = project(bare_machine, git=True)
    (bare_machine.home / "taken.key").write_text("taken")
    with Running([*PROGRAM, "init"], fresh, bare_machine.environment) as running:
        for answer in answers:
            running.see(r"3: |key\]: ")
            running.type(f"{answer.format(home=bare_machine.home)}\n")
        assert running.ended() in (1, 2)
    assert [path.name for path in fresh.iterdir()] == [".git"]
    assert (bare_machine.home / "taken.key").read_text() == "taken"
    assert not bare_machine.store.exists()


@pytest.mark.parametrize("kept", [False, True])
def test_a_directory_that_was_there_stays_if_nothing_is_made(bare_machine: Machine, kept: bool) -> None:
    fresh = project(bare_machine)
    if kept:
        (fresh / ".claude").mkdir()
    (bare_machine.home / "taken.key").write_text("taken")
    done = bare_machine.run("init", "--key-file", str(bare_machine.home / "taken.key"), at=fresh)
    assert (done.returncode, done.stdout) == (2, "")
    assert [path.name for path in fresh.rglob("*")] == [".claude"] * kept


def test_nothing_is_asked_where_output_or_input_is_no_terminal(bare_machine: Machine) -> None:
    fresh = project(bare_machine)
    for redirected in ("</dev/null", "| cat"):
        words = ["sh", "-c", f'"$@" init {redirected}', "-", *PROGRAM]
        with Running(words, fresh, bare_machine.environment) as running:
            assert running.ended() == 0
            assert "Type 1" not in running.shown
            assert "init --key-file" in running.shown


def test_a_locked_keyring_can_be_unlocked_instead(bare_machine: Machine, locked_keyring: Mapping[str, str]) -> None:
    bare_machine.environment.update(locked_keyring)
    shown = init(bare_machine, project(bare_machine), ("Type 1, 2 or 3: ", "3"))
    assert "[KEYRING_LOCKED]" in shown
    assert re.search(r"3  Decide later\n +Unlock the keyring", shown)


def test_nothing_is_asked_where_there_is_a_key(machine: Machine) -> None:
    shown = init(machine, project(machine))
    assert "Type 1" not in shown
    assert commands(shown) == [["allow", "NAME"], ["set", "NAME"], ["setup"]]


# .env files and git


def test_env_files_are_shown_with_names_and_the_command_that_imports_them(machine: Machine) -> None:
    fresh = project(machine)
    (fresh / ".env").write_text(ENV)
    (fresh / ".env.local").write_text("".join(f"K{number}_TOKEN={VALUE}\n" for number in range(7)))
    (fresh / ".env.test").write_text("PORT=1\n")
    shown = init(machine, fresh)
    assert ".env: 2 of 4 variables look like secrets: API_TOKEN, DATABASE_URL." in shown
    assert ": K0_TOKEN, K1_TOKEN, K2_TOKEN, K3_TOKEN, K4_TOKEN and 2 more." in " ".join(shown.split())
    assert ".env.test: no variable looks like a secret (1 variable)." in shown
    assert "canary" not in shown
    assert (fresh / ".env").read_text() == ENV, "nothing is imported yet"
    first, second, *_ = commands(shown)
    assert machine.run(*first, "--yes", at=fresh).returncode == 0
    assert machine.run(*second, "--yes", at=fresh).returncode == 0
    assert "secret://API_TOKEN" in (fresh / ".env").read_text()
    assert machine.run("get", "API_TOKEN", at=fresh).stdout == VALUE
    again = init(machine, fresh)
    assert ".env: no variable looks like a secret" in again
    assert "before-import" not in again


def test_the_import_works_from_another_directory_too(machine: Machine) -> None:
    fresh = project(machine, "with blanks")
    (fresh / ".env").write_text(ENV)
    with Running([*PROGRAM, "--project", str(fresh), "init"], machine.home, machine.environment) as running:
        assert running.ended() == 0
        words = commands(running.shown)[0]
    assert machine.run(*words, "--yes").returncode == 0
    assert "secret://API_TOKEN" in (fresh / ".env").read_text()


def test_a_pipe_gets_a_hint(machine: Machine) -> None:
    fresh = project(machine)
    (fresh / ".env").write_text(ENV)
    (fresh / ".env.test").write_text("PORT=1\n")
    done = machine.run("init", at=fresh)
    (hint,) = done.stderr.splitlines()
    assert hint.startswith("hint: .env: 2 of 4 variables look like secrets: API_TOKEN, DATABASE_URL. To move their ")
    assert hint.endswith("import .env --rewrite")
    assert done.stdout.splitlines()[-1].startswith("Next: ")


def test_at_most_ten_files_are_read(machine: Machine) -> None:
    fresh = project(machine)
    for number in range(12):
        (fresh / f".env.{number:02}").write_text(ENV)
    shown = init(machine, fresh)
    assert (shown.count("look like secrets"), ".env.09: 2" in shown, ".env.10" in shown) == (10, True, False)


def test_a_file_that_cannot_be_imported_is_named_without_its_content(machine: Machine) -> None:
    fresh = project(machine)
    (fresh / ".env").write_text(f"KEY=-----BEGIN PRIVATE KEY-----\n{VALUE}==\n'{VALUE}\n")
    (fresh / ".env.bytes").write_bytes(b"A_TOKEN=\xff\n")
    shown = init(machine, fresh)
    assert ".env cannot be read as a .env file; `python -P -m claude_secrets import .env` says why." in shown
    assert ".env.bytes cannot be read" in shown
    assert "canary" not in shown


def test_what_is_no_file_with_values_is_left_out(machine: Machine) -> None:
    fresh = project(machine)
    (fresh / ".env").mkdir()
    for name in (".env.example", ".env.local.sample", ".env.vault", ".envrc", "x.env", ".environment"):
        (fresh / name).write_text(ENV)
    subprocess.run(["mkfifo", str(fresh / ".env.pipe")], check=True)
    (fresh / ".env.gone").symlink_to("nowhere")
    assert ".env" not in init(machine, fresh)


def git(directory: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(directory), *words], check=True)


def nothing(directory: Path) -> None:
    """Leave the repository as it is."""


def ignored(directory: Path) -> None:
    (directory / ".gitignore").write_text(".env*\n")


def without_values(directory: Path) -> None:
    (directory / ".env").write_text("PORT=3000\nNEXT_PUBLIC_KEY=abc\n")
    git(directory, "add", ".env")


def encrypted(directory: Path) -> None:
    (directory / ".gitattributes").write_text(".env filter=git-crypt\n")
    git(directory, "config", "filter.git-crypt.clean", "base64")
    git(directory, "add", ".env")


def tracked(directory: Path) -> None:
    git(directory, "add", ".env")


def allowlist_ignored(directory: Path) -> None:
    (directory / ".gitignore").write_text(".env\n.claude/\n")


STATES = {
    nothing: ["git does not ignore .env"],
    ignored: [],
    without_values: [],
    tracked: ["git tracks .env"],
    allowlist_ignored: ["git ignores .claude/secrets.yml"],
    encrypted: ["git does not ignore .env"],
}
"""What is done to a repository with a .env file, and what is then said about git."""


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_what_git_does_is_said_only_if_it_may_be_a_mistake(machine: Machine, state: object) -> None:
    assert callable(state)
    fresh = project(machine, git=True)
    (fresh / ".env").write_text(ENV)
    state(fresh)
    shown = init(machine, fresh)
    said = re.findall(r"git (?:tracks|does not ignore|ignores) [\w./]+\w", shown)
    assert said == STATES[state]


def test_a_repository_around_home_and_one_without_git_are_not_spoken_of(machine: Machine) -> None:
    git(machine.home, "init", "--quiet")
    fresh = project(machine)
    (fresh / ".env").write_text(ENV)
    assert "git" not in init(machine, fresh).replace("github", "")
    machine.environment["PATH"] = str(Path(sys.executable).parent)
    other = project(machine, "other", git=True)
    (other / ".env").write_text(ENV)
    assert "git does not" not in init(machine, other)


def test_a_git_in_the_project_does_not_run(machine: Machine) -> None:
    fresh = project(machine, git=True)
    (fresh / ".env").write_text(ENV)
    planted = fresh / "bin" / "git"
    planted.parent.mkdir()
    planted.write_text(f"#!/bin/sh\ntouch {machine.home}/ran\n")
    planted.chmod(0o755)
    monitor = f"touch {machine.home}/ran; false"
    git(fresh, "config", "core.fsmonitor", monitor)
    machine.environment["PATH"] = f"{planted.parent}:{machine.environment['PATH']}"
    assert "git does not ignore .env" in init(machine, fresh)
    assert not (machine.home / "ran").exists()


# What it looks like


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_lines_fit_the_terminal_and_commands_are_whole(bare_machine: Machine, columns: int) -> None:
    fresh = project(bare_machine, git=True)
    (fresh / ".env").write_text(ENV)
    allowlist_ignored(fresh)
    answers = [("Type 1, 2 or 3: ", "1"), ("key]: ", "")]
    shown = init(bare_machine, fresh, *answers, columns=columns)
    assert [line for line in shown.splitlines() if len(line) > columns] == []
    assert ["import", ".env", "--rewrite"] in commands(shown)
    assert "`git add --force .claude/secrets.yml`" in shown
    assert "canary" not in shown


# Slips


def test_at_home_it_says_which_directory_to_use(machine: Machine) -> None:
    done = machine.run("init")
    assert done.returncode == 3
    assert "A project is the directory in which you start your agent, such as a git repository." in done.stderr
    assert "cd DIRECTORY && " in done.stderr


def test_in_a_part_of_a_repository_it_says_that_the_rest_is_left_out(machine: Machine) -> None:
    part = project(machine, "shop", git=True) / "api"
    part.mkdir()
    assert "It is only for this directory, and not for the rest of the repository in ~/shop." in init(machine, part)


@pytest.mark.parametrize("what", ["a file", "a link", "a broken link"])
def test_a_directory_whose_place_is_taken_gets_a_clear_sentence(machine: Machine, what: str) -> None:
    fresh = project(machine)
    if what == "a file":
        (fresh / ".claude").write_text("mine")
    else:
        (fresh / ".claude").symlink_to(machine.home if what == "a link" else "nowhere")
    done = machine.run("init", at=fresh)
    error, hint = done.stderr.splitlines()
    kind = "a file, not a directory" if what == "a file" else "a link, which may lead out of the project"
    assert (done.returncode, done.stdout) == (3, "")
    assert f"The project's .claude is {kind}, so the allowlist cannot be made; nothing was changed." in error
    assert hint.endswith(f": {fresh / '.claude'}")


@pytest.mark.parametrize("content", ["allow: [", "link"])
def test_an_allowlist_that_cannot_be_read_is_spoken_of_and_left_alone(machine: Machine, content: str) -> None:
    fresh = project(machine)
    (fresh / ".claude").mkdir()
    if content == "link":
        (fresh / FILE).symlink_to("nowhere")
    else:
        (fresh / FILE).write_text(content)
    done = machine.run("init", at=fresh)
    assert (done.returncode, "already exists; it was not changed" in done.stdout) == (0, True)
    assert "agents can use no secrets here: [ALLOWLIST_INVALID]" in done.stderr


@root_on_linux
def test_a_read_only_directory_gets_a_clear_sentence(machine: Machine) -> None:
    fresh = project(machine)
    with mounted(fresh, fresh, read_only=True):
        done = machine.run("init", at=fresh)
    assert (done.returncode, done.stdout) == (3, "")
    assert "cannot be written (Read-only file system); nothing was changed." in done.stderr
    assert f"Check the permissions of {fresh}." in done.stderr

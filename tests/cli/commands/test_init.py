"""`init` asks before it hides another project, and the next commands that it prints work."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.machine import PROGRAM, Machine
from tests.support.posix import skip_without
from tests.support.terminals import Running

skip_without("POSIX terminals")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")

FILE = Path(".claude") / "secrets.yml"
WORDS = "correct horse battery staple"


def repository(directory: Path, *, project: bool = False) -> Path:
    directory.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", str(directory)], check=True)
    if project:
        (directory / FILE).parent.mkdir()
        (directory / FILE).write_text("allow: []\n")
    return directory


def below(directory: Path, name: str) -> Path:
    (directory / name).mkdir(parents=True, exist_ok=True)
    return directory / name


UNNOTICED: dict[str, Callable[[Path], tuple[Path, list[str]]]] = {
    "the first project of a repository": lambda work: (repository(work / "a"), []),
    "the first one, in a directory of a repository": lambda work: (below(repository(work / "a"), "deep/er"), []),
    "a directory without git": lambda work: (below(work, "a"), []),
    "a project that is there": lambda work: (repository(work / "a", project=True), []),
    "a project that is there, in another one": lambda work: (
        repository(repository(work / "a", project=True) / "b", project=True),
        [],
    ),
    "a package that wants its own": lambda work: (
        below(repository(work / "a", project=True), "packages/b"),
        ["--here"],
    ),
    "--here in a directory that belongs to no other": lambda work: (below(work, "a"), ["--here"]),
    "another repository below": lambda work: (repository(repository(work / "a", project=True) / "b"), []),
    "a submodule": lambda work: (submodule(repository(work / "a", project=True)), []),
    "a directory beside": lambda work: (below(repository(work / "a", project=True).parent, "b"), []),
    "a project above home alone": lambda work: (below(repository(work.parent / "b", project=True).parent, "c"), []),
}
"""Cases in which `init` hides no project and must not ask: the directory and the options of each."""


def submodule(directory: Path) -> Path:
    (directory / "vendor").mkdir()
    (directory / "vendor" / ".git").write_text("gitdir: ../.git/modules/vendor\n")
    return directory / "vendor"


@pytest.mark.parametrize("case", UNNOTICED)
def test_init_asks_nothing_where_no_project_is_hidden(machine: Machine, case: str) -> None:
    directory, options = UNNOTICED[case](machine.home / "w")
    done = machine.run("init", *options, at=directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert (directory / FILE).is_file()
    named = machine.run("--project", str(directory), "init", *options)
    assert (named.returncode, "already exists" in named.stdout) == (0, True)


def test_a_store_is_made_from_home_without_a_project(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    done = machine.run("init", "--key-file", "master.key")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"Next, in a project's directory: .* init\n", done.stdout)
    assert not (machine.home / FILE).exists()


@pytest.mark.parametrize("named", [False, True])
def test_a_project_is_not_hidden_where_nobody_can_be_asked(machine: Machine, named: bool) -> None:
    outer = repository(machine.home / "a", project=True)
    inner = below(outer, "packages/b")
    words = ["--project", str(inner), "init"] if named else ["init"]
    done = machine.run(*words, at=machine.home if named else inner)
    assert (done.returncode, done.stdout) == (2, "")
    assert "~/a/packages/b belongs to the project ~/a." in done.stderr
    assert "allow NAME" in done.stderr
    assert "init --here" in done.stderr
    assert list(inner.iterdir()) == []
    for command in (["allow", "TOK"], ["set", "TOK"]):
        assert machine.run(*command, at=inner, stdin="v").returncode == 0
    assert list(inner.iterdir()) == [], "these work in the project that there is"
    assert "TOK" in (outer / FILE).read_text()


@pytest.mark.parametrize(("answer", "made"), [("y", True), ("n", False)])
@pytest.mark.parametrize("columns", [60, 80])
def test_at_a_terminal_it_is_asked(machine: Machine, answer: str, made: bool, columns: int) -> None:
    inner = below(repository(machine.home / "a", project=True), "packages/b")
    with Running([*PROGRAM, "init"], inner, machine.environment, columns=columns) as running:
        asked = running.see(r"\[y/N\] ")
        assert "~/a/packages/b belongs to the project ~/a." in asked
        assert "Make a second project in ~/a/packages/b, to which the allowlist of ~/a does not apply?" in asked
        running.type(f"{answer}\n")
        assert running.ended() == (0 if made else 1)
    assert (inner / FILE).exists() == made


# The next commands that `init` prints


def test_where_the_keyring_works_it_is_chosen_without_a_word(
    tmp_path: Path, unlocked_keyring: Mapping[str, str]
) -> None:
    machine = Machine(tmp_path)
    machine.environment.update(unlocked_keyring)
    fresh = below(machine.home, "fresh")
    done = machine.run("init", at=fresh)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("Next: ")
    assert "--key-file" not in done.stdout
    assert machine.run("allow", "TOK", at=fresh).returncode == 0


ANSWERS = {
    "--key-file": [[], [], ["a value"], []],
    "--passphrase": [[WORDS, WORDS], [WORDS], [WORDS, "a value"], [WORDS]],
}
"""The text typed at each step."""


@pytest.mark.parametrize("chosen", ANSWERS)
@pytest.mark.parametrize("at", ["here", "elsewhere"])
def test_without_a_keyring_the_steps_that_are_named_work(tmp_path: Path, chosen: str, at: str) -> None:
    machine = Machine(tmp_path)
    fresh = below(machine.home, "fresh")
    elsewhere = below(machine.home, "else where")
    options = [] if at == "here" else ["--project", str(fresh), "--store", str(machine.home / "o t h e r" / "a.db")]
    done = machine.run(*options, "init", at=fresh if at == "here" else elsewhere)
    assert (done.returncode, (fresh / FILE).is_file()) == (0, True)
    assert "[KEYRING_UNAVAILABLE]" in done.stderr
    steps = [step.strip() for step in done.stdout.splitlines() if f"init {chosen}" in step]
    named = re.fullmatch(r"Then: (.*) allow NAME, and (.*) set NAME", done.stdout.splitlines()[-1])
    assert len(steps) == 1
    assert named is not None
    assert done.stdout.index(steps[0]) < done.stdout.index("Then: ")
    assert list((machine.home / ".local").glob("**/*.db")) == [], "nothing is chosen silently"
    steps += [f"{named[1]} allow TOK", f"{named[2]} set TOK", f"{named[2]} get TOK"]
    for step, answers in zip(steps, ANSWERS[chosen], strict=True):
        words = shlex.split(step.partition("claude_secrets ")[2])
        with Running([*PROGRAM, *words], fresh if at == "here" else elsewhere, machine.environment) as running:
            for answer in answers:
                running.see(r"\(not shown\): ")
                running.type(f"{answer}\n")
            assert running.ended() == 0, running.shown
    assert "a value" in running.shown


def test_a_locked_keyring_can_be_unlocked_instead(tmp_path: Path, locked_keyring: Mapping[str, str]) -> None:
    machine = Machine(tmp_path)
    machine.environment.update(locked_keyring)
    done = machine.run("init", at=below(machine.home, "fresh"))
    assert (done.returncode, "[KEYRING_LOCKED]" in done.stderr) == (0, True)
    assert "Unlock the keyring" in done.stdout


def test_where_the_store_does_not_open_no_step_is_named(machine: Machine) -> None:
    machine.key_file.rename(machine.home / "away")
    done = machine.run("init", at=below(machine.home, "fresh"))
    assert (done.returncode, "allow NAME" in done.stdout) == (0, False)
    assert "the store cannot be opened here" in done.stderr
    assert "[KEY_MISSING]" in done.stderr


def test_a_key_file_that_the_environment_names_needs_no_keyring(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.environment["CLAUDE_SECRETS_KEY_FILE"] = str(machine.home / "master.key")
    done = machine.run("init", at=below(machine.home, "fresh"))
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.run("allow", "TOK", at=machine.home / "fresh").returncode == 0


@pytest.mark.parametrize("choice", [["--passphrase"], ["--key-file", "other.key"]])
def test_where_there_is_a_store_another_choice_changes_nothing(machine: Machine, choice: list[str]) -> None:
    fresh = below(machine.home, "fresh")
    done = machine.run("init", *choice, at=fresh)
    assert (done.returncode, "[STORE_UNAVAILABLE]" in done.stderr) == (1, True)
    assert list(fresh.iterdir()) == []


def test_a_passphrase_that_is_too_weak_changes_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    fresh = below(machine.home, "fresh")
    done = machine.run("init", "--passphrase", "--new-passphrase-fd", "0", at=fresh, stdin="short")
    assert (done.returncode, list(fresh.iterdir()), machine.store.exists()) == (2, [], False)


def test_init_makes_an_allowlist_once_and_none_at_home(machine: Machine) -> None:
    project = machine.home / "fresh"
    project.mkdir()
    assert machine.run("init", at=project).returncode == 0
    written = (project / ".claude" / "secrets.yml").read_bytes()
    assert b"#" in written
    (project / ".claude" / "secrets.yml").write_bytes(written + b"# mine\n")
    again = machine.run("init", at=project)
    assert (again.returncode, "already exists" in again.stdout) == (0, True)
    assert (project / ".claude" / "secrets.yml").read_bytes() == written + b"# mine\n"
    assert machine.run("init", at=machine.home).returncode == 3
    assert not (machine.home / ".claude").exists()


@pytest.mark.parametrize("mask", ["0", "0777", "0022"])
def test_directories_that_are_made_are_private_whatever_the_umask_is(tmp_path: Path, mask: str) -> None:
    machine = Machine(tmp_path)
    home, backup = machine.home, machine.home / "a" / "made.backup"
    (home / "a").mkdir(mode=0o755)
    store, key = home / "a" / "b" / "c" / "secrets.db", home / "a" / "k" / "l" / "master.key"

    def run(*words: str, stdin: str) -> None:
        masked = ["sh", "-c", f'umask {mask}; exec "$@"', "-", *PROGRAM, "--store", str(store), *words]
        at = {"cwd": home, "env": machine.environment}
        done = subprocess.run(masked, input=stdin, text=True, capture_output=True, check=False, **at)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr

    run("init", "--key-file", str(key), stdin="")
    run("set", "A", stdin="v")
    run("backup", str(backup), "--backup-passphrase-fd", "0", stdin="five parrots juggle quartz lemons")
    run("key", "rotate", "--data", "--yes", stdin="")
    made = {path: path.stat().st_mode & 0o777 for path in (home / "a").rglob("*")}
    assert {store, key, backup, key.parent.parent} <= {*made}
    assert made == {path: 0o700 if path.is_dir() else 0o600 for path in made}
    assert (home / "a").stat().st_mode & 0o777 == 0o755  # this directory existed before


def test_init_never_replaces_a_store_or_a_key_file(machine: Machine) -> None:
    before = (machine.store.read_bytes(), machine.key_file.read_bytes())
    project = machine.project("api")
    done = machine.run("init", "--key-file", str(machine.home / "keys" / "another"), at=project)
    assert (done.returncode, done.stderr.split()[1]) == (1, "[STORE_UNAVAILABLE]")
    assert not (machine.home / "keys" / "another").exists()
    other = str(machine.home / "second" / "secrets.db")
    done = machine.run("--store", other, "init", "--key-file", str(machine.key_file), at=project)
    assert (done.returncode, done.stderr.split()[1]) == (2, "[INVALID_ARGUMENTS]")
    assert not Path(other).exists()
    assert (machine.store.read_bytes(), machine.key_file.read_bytes()) == before


def test_init_says_how_to_open_a_store_whose_key_is_lost(machine: Machine) -> None:
    new, project = str(machine.home / "new.key"), machine.project("api")
    machine.run("recover", "create")
    machine.key_file.unlink()
    done = machine.run("init", "--key-file", new, at=project)
    error, hint = done.stderr.splitlines()
    assert (done.returncode, "A store already exists at" in error, "key was not moved" in error) == (1, True, False)
    for way in (
        f"Put the key file that belongs to this store back at {machine.key_file}.",
        " recover use --key-file NEW_PATH`",
        " backup restore FILE --aside --key-file NEW_PATH`",
        "--store",
    ):
        assert way in hint


def test_init_writes_nothing_through_a_link(machine: Machine) -> None:
    victim, project = machine.home / "victim", machine.home / "clone"
    for directory in (victim, victim / ".claude", project):
        directory.mkdir()
    for target in (victim / ".claude", machine.home / "nowhere"):
        (project / ".claude").symlink_to(target)
        done = machine.run("init", at=project)
        assert (done.returncode, done.stderr.split()[1]) == (3, "[ALLOWLIST_INVALID]")
        (project / ".claude").unlink()
    assert list((victim / ".claude").iterdir()) == []

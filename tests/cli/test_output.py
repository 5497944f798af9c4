"""The output of the commands: lost output is reported, and no printed text can imitate another text."""

import shlex
import shutil

import pytest

from tests.support.machine import PROGRAM, Machine, in_a_shell
from tests.support.rounds import in_turn

pytestmark = pytest.mark.usefixtures("quick_starts")


def test_names_of_directories_cannot_pose_as_lines_or_move_the_cursor(machine: Machine) -> None:
    evil = machine.project("evil\x1b]0;T\x07\x1b[2K\rfine\n  SAFE, stored from you (use-only)\u202e")
    with machine.server(evil) as wire:
        wire.text("set_secret", name="GITHUB_TOKEN", value="x")
    project = machine.project("api")
    for done in (
        machine.run("list", at=project),
        machine.run("doctor", at=evil),
        machine.run("allow", "OTHER", at=evil),
        machine.run("trust", at=project),
        machine.run("--project", "\x1b[31mnope", "list", at=project),
        machine.run("--store", str(evil / "secrets.db"), "list", at=evil),
    ):
        said = done.stdout + done.stderr
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(said)
        assert not any(line.startswith("  SAFE") for line in said.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "T", "--exact=hunter2"],
        ["list", "--json=hunter2"],
        ["set", "T", "hunter2"],
        ["hunter2"],
        ["get", "T", "--hunter2"],
        ["set", "--use-only", "--readable=hunter2", "T"],
    ],
)
def test_arguments_that_do_not_fit_are_not_repeated(machine: Machine, arguments: list[str]) -> None:
    done = machine.run(*arguments)
    assert (done.returncode, "hunter2" in done.stdout + done.stderr) == (2, False)
    assert done.stderr.startswith("error: ")


PRINTING = [
    *("list", "list --json", "search .", "get T", "history T", "log", "log --verify", "projects", "doctor", "scan"),
    *("policy check", "policy explain get_secret T", "key list", "export --only T", "hook session-start <event"),
]
CHANGING = [
    *("set NEW <event", "allow T --yes", "revoke T", "access T --use-only", "rename T U", "restore T --version 1"),
    *("delete T --yes", "purge T --yes"),
]


@pytest.fixture
def printing(machine: Machine) -> Machine:
    """A machine on which every command in `PRINTING` has something to print."""
    project = machine.project("api", ["T"])
    for value in ("older value", "canary-value-1234567"):
        machine.keep("T", value, at=project)
    machine.run("allow", "T", "--yes", at=project)
    (project / "event").write_text("{}")
    return machine


def ended(machine: Machine, command: str, streams: str) -> tuple[int, str, str]:
    words, _, given = command.partition("<")
    done = in_a_shell(machine, f"cd work/api; {shlex.join(PROGRAM)} {words} <{given or '/dev/null'} {streams}")
    return done.returncode, done.stdout, done.stderr


def unwritten(why: str) -> str:
    return f"error: The output could not be written: {why}.\n"


@pytest.mark.parametrize("command", PRINTING)
def test_output_that_nobody_takes_is_told(printing: Machine, command: str) -> None:
    code, out, err = ended(printing, command, "")
    assert out
    for streams in in_turn((">&-", ">/dev/full", "2>&-", "| head -c0"), PRINTING.index(command), 2):
        told = ended(printing, command, streams)
        match streams:
            case ">&-":
                assert told == (1, "", err + unwritten("standard output is closed"))
            case ">/dev/full":
                assert told == (1, "", err + unwritten("No space left on device"))
            case "2>&-":
                assert told[0::2] == (code, "")
            case _:
                assert told[1:] == ("", err)


@pytest.mark.parametrize("command", CHANGING)
def test_what_a_command_changes_does_not_depend_on_who_reads(printing: Machine, command: str) -> None:
    kept = printing.home.parent / "kept"
    shutil.copytree(printing.home, kept)
    after = []
    lost = (
        (">&-", unwritten("standard output is closed")),
        (">/dev/full", unwritten("No space left on device")),
        ("2>/dev/full", ""),
    )
    for streams, says in (("", ""), *in_turn(lost, CHANGING.index(command), 2)):
        code, _, err = ended(printing, command, streams)
        assert (code, err.endswith(says)) == (int(bool(says)), True)
        after.append(printing.run("list").stdout + printing.run("projects").stdout)
        shutil.rmtree(printing.home)
        shutil.copytree(kept, printing.home)
    assert after == after[:1] * len(after)


def test_an_error_that_nobody_takes_has_its_code(machine: Machine) -> None:
    for streams in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        for command, code in (("get ABSENT", 1), ("get 'a b'", 2), ("allow T", 3), ("no-such-command", 2)):
            done = in_a_shell(machine, f"{shlex.join(PROGRAM)} {command} {streams}")
            assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_nobody_answers_what_was_not_shown(machine: Machine) -> None:
    machine.keep("TOKEN", "v", at=machine.project("other"))
    project = machine.project("api", ["TOKEN"])
    for streams in (">&-", ">/dev/full"):
        line = shlex.quote(f"cd {shlex.quote(str(project))}; {shlex.join(PROGRAM)} trust {streams}")
        done = in_a_shell(machine, f"script -qec {line} /dev/null")
        assert (done.returncode, "could not be written" in done.stdout) == (1, True)
        assert "[y/N]" not in done.stdout
    assert machine.run("projects").stdout == ""


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_usage_that_nobody_takes_is_told(machine: Machine, command: str) -> None:
    full = in_a_shell(machine, f"{shlex.join(PROGRAM)} {command} >/dev/full")
    assert (full.returncode, full.stderr) == (1, unwritten("No space left on device"))


@pytest.mark.parametrize("words", ["doctor", "--project ./nope-… list"])
def test_pipes_and_files_get_utf8_whatever_the_encoding_of_the_system_is(machine: Machine, words: str) -> None:
    project = machine.project("pröject-🔑-…")
    line = f"cd {shlex.quote(str(project))}; PYTHONIOENCODING=latin-1 {shlex.join(PROGRAM)} {words} 2>&1"
    assert "…" in in_a_shell(machine, line).stdout
    assert "…" in in_a_shell(machine, f"({line}) >file; cat file").stdout

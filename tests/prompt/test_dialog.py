"""Asking in a desktop dialog: real zenity and kdialog on a display, stand-ins for the programs of other systems."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from claude_secrets.programs import Places
from claude_secrets.prompt import dialog
from claude_secrets.prompt.dialog import DialogAnswer, Dialogs
from tests.support.display import Screen
from tests.support.keyrings import wait_until
from tests.support.posix import skip_without
from tests.support.program_places import make, taken
from tests.support.requirements import require

skip_without("X displays, and no shell for the stand-ins")
assert sys.platform != "win32"

TITLE = "Claude Secrets asks"
DEADLINE = 60.0
LONG = 60.0
"""Seconds that a person has in these tests, unless a test is about a lack of time."""

HOSTILE = [
    'x" & (do shell script "id") & "',
    '\\"; $(id)',
    "`id` $(id) ${HOME} %PATH% '; exit 0; '",
    "--help",
    "-e",
    "first\nsecond \U0001f600 ü",
    "<b>bold</b> &amp; _x \\n",
]

each_program = pytest.mark.parametrize("program", ["zenity", "kdialog"])


class Asking:
    """A question that is asked in a separate thread."""

    def __init__(self, ask: Callable[[threading.Event], DialogAnswer | str | None]) -> None:
        self.cancelled = threading.Event()
        self._got: list[DialogAnswer | str | None] = []
        self._thread = threading.Thread(target=lambda: self._got.append(ask(self.cancelled)), daemon=True)
        self._thread.start()

    def answer(self) -> DialogAnswer | str | None:
        """Return the answer."""
        self._thread.join(DEADLINE)
        assert self._got, "the dialog is still there"
        return self._got[0]


class Desk:
    """A display with one of the two programs, and a person who uses it."""

    def __init__(self, program: str, display: str, root: Path) -> None:
        self.program = program
        self.real = require(program)
        self.screen = Screen(display)
        self.places = taken(make(root / "bin"))
        (root / "bin" / program).symlink_to(self.real)
        (root / "run").mkdir(mode=0o700)
        self.environment = {
            "DISPLAY": display,
            "PATH": "/nowhere",
            "HOME": str(root),
            "XDG_RUNTIME_DIR": str(root / "run"),
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",  # otherwise a session bus starts and stays
        }

    def dialogs(self, **environment: str) -> Dialogs:
        chosen = {**self.environment, **environment}
        return Dialogs(environment=chosen, forbidden=[], platform="linux", places=self.places)

    def confirm(self, text: str = "Go on?", *, seconds: float = LONG, **environment: str) -> Asking:
        dialogs = self.dialogs(**environment)
        return Asking(lambda cancelled: dialogs.confirm(TITLE, text, seconds=seconds, cancelled=cancelled))

    def read_hidden(self, text: str = "Its value:", *, seconds: float = LONG, **environment: str) -> Asking:
        dialogs = self.dialogs(**environment)
        return Asking(lambda cancelled: dialogs.read_hidden(TITLE, text, seconds=seconds, cancelled=cancelled))

    def window(self, title: str = TITLE) -> int:
        """Return the dialog's window, once its content is visible."""
        wait_until(lambda: self.screen.windows(f"^{title}$"), "the dialog is shown", patience=DEADLINE)
        wait_until(lambda: len(set(self.screen.picture())) > 4, "it has been drawn", patience=DEADLINE)
        return self.screen.windows(f"^{title}$")[-1]

    def choose_yes(self) -> None:
        self.screen.press(self.window(), *{"zenity": ["Tab", "Return"], "kdialog": ["Down", "Return"]}[self.program])

    def left(self) -> bool:
        """Return whether a window remains."""
        return bool(self.screen.windows(TITLE))


@pytest.fixture
def desk(program: str, display: str, tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> Desk:
    return Desk(program, display, tmp_path / "person")


@each_program
def test_yes_is_yes(desk: Desk) -> None:
    asking = desk.confirm()
    desk.choose_yes()
    assert asking.answer() is DialogAnswer.YES


@each_program
@pytest.mark.parametrize("key", ["Return", "Escape", "space"])
def test_what_a_person_presses_without_looking_is_no(desk: Desk, key: str) -> None:
    asking = desk.confirm()
    # In kdialog's list, Space chooses the entry that is already chosen.
    keys = ["space", "Return"] if (desk.program, key) == ("kdialog", "space") else [key]
    desk.screen.press(desk.window(), *keys)
    assert asking.answer() is DialogAnswer.NO


@each_program
def test_closing_the_window_is_no(desk: Desk) -> None:
    asking = desk.confirm()
    desk.screen.close(desk.window())
    assert asking.answer() is DialogAnswer.NO


@each_program
@pytest.mark.parametrize("code", ["0", "64"])
def test_no_variable_makes_escape_a_yes(desk: Desk, code: str) -> None:
    names = [f"{kind}_{event}" for kind in ("ZENITY", "DIALOG") for event in ("OK", "CANCEL", "ESC", "ERROR")]
    dialogs = desk.dialogs(**dict.fromkeys(names, code))
    asking = Asking(lambda event: dialogs.confirm(TITLE, "Go on?", seconds=LONG, cancelled=event))
    desk.screen.press(desk.window(), "Escape")
    assert asking.answer() is DialogAnswer.NO


@each_program
@pytest.mark.parametrize(
    "value",
    ["plain", "ü€\U0001f600é", "\"'$HOME$(id)`id`\\n\\", " spaces  around ", "--help", "<b>&amp;_x"],
)
def test_the_value_arrives_as_it_was_typed(desk: Desk, value: str) -> None:
    asking = desk.read_hidden()
    window = desk.window()
    desk.screen.type(window, value)
    desk.screen.press(window, "Return")
    assert asking.answer() == value


@each_program
def test_the_environment_neither_maims_the_value_nor_adds_to_it(desk: Desk) -> None:
    asking = desk.read_hidden(LC_ALL="C", LANG="de_DE.ISO-8859-1", CHARSET="US-ASCII", G_MESSAGES_DEBUG="all")
    window = desk.window()
    desk.screen.type(window, "aüb€")
    desk.screen.press(window, "Return")
    assert asking.answer() == "aüb€"


@each_program
def test_nothing_entered_is_nothing(desk: Desk) -> None:
    asking = desk.read_hidden()
    desk.screen.press(desk.window(), "Return")
    assert asking.answer() is None


@each_program
@pytest.mark.parametrize("how", ["Escape", "close"])
def test_what_was_typed_and_not_entered_is_nothing(desk: Desk, how: str) -> None:
    asking = desk.read_hidden()
    window = desk.window()
    desk.screen.type(window, "half of it")
    if how == "close":
        desk.screen.close(window)
    else:
        desk.screen.press(window, how)
    assert asking.answer() is None


@each_program
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="shown there alone")
def test_the_typed_value_shows_in_no_process(desk: Desk, started: list[subprocess.Popen[bytes]]) -> None:
    value = "s3cret-typed-here"
    asking = desk.read_hidden()
    window = desk.window()
    desk.screen.type(window, value)
    for place in ("cmdline", "environ"):
        shown = Path(f"/proc/{started[0].pid}/{place}").read_bytes()
        assert shown
        assert value.encode() not in shown
    assert value not in desk.screen.title(window)
    desk.screen.press(window, "Return")
    assert asking.answer() == value
    assert value not in repr(started[0].args)


@each_program
@pytest.mark.parametrize("hidden", [False, True])
def test_cancelling_takes_the_window_away(desk: Desk, started: list[subprocess.Popen[bytes]], hidden: bool) -> None:
    asking = desk.read_hidden() if hidden else desk.confirm()
    window = desk.window()
    if hidden:
        desk.screen.type(window, "half of it")
    asking.cancelled.set()
    assert asking.answer() is (None if hidden else DialogAnswer.NONE)
    assert_gone(started)
    wait_until(lambda: not desk.left(), "the window is gone")


@each_program
@pytest.mark.parametrize("hidden", [False, True])
def test_the_deadline_takes_the_window_away(desk: Desk, started: list[subprocess.Popen[bytes]], hidden: bool) -> None:
    # The result is the same whether or not the program had time to show its window.
    asking = desk.read_hidden(seconds=2.0) if hidden else desk.confirm(seconds=2.0)
    assert asking.answer() is (None if hidden else DialogAnswer.NONE)
    assert_gone(started)
    wait_until(lambda: not desk.left(), "the window is gone")


def assert_gone(started: list[subprocess.Popen[bytes]]) -> None:
    """Check that the dialog's program was killed with its whole process group, and reaped."""
    [process] = started
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


@each_program
@pytest.mark.parametrize("hidden", [False, True])
def test_without_its_display_nobody_is_asked(desk: Desk, hidden: bool) -> None:
    dialogs = desk.dialogs(DISPLAY=":987")
    assert dialogs.available()
    asking = desk.read_hidden(DISPLAY=":987") if hidden else desk.confirm(DISPLAY=":987")
    assert asking.answer() is (None if hidden else DialogAnswer.NONE)


LITERAL = "a <b>bold</b> & &amp; _x __y \\n \\\\ \\t ü \U0001f600\n<qt>second</qt> %1 line"


@each_program
@pytest.mark.parametrize("hidden", [False, True])
def test_the_text_is_shown_as_it_is(desk: Desk, hidden: bool) -> None:
    """Compare the dialog pixel by pixel with a dialog whose text gives each character by its number."""
    asking = desk.read_hidden(LITERAL) if hidden else desk.confirm(LITERAL)
    desk.window()
    pictures = collect_pictures(desk)
    asking.cancelled.set()
    asking.answer()
    wait_until(lambda: not desk.left(), "the window is gone")
    with subprocess.Popen(
        [desk.real, f"--title={TITLE}", *by_number(desk.program, LITERAL, hidden=hidden)],
        env={**desk.environment, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as reference:
        try:
            desk.window()
            # The text cursor blinks.
            wait_until(lambda: desk.screen.picture() in pictures, "both look the same", patience=DEADLINE)
        finally:
            reference.kill()
    wait_until(lambda: not desk.left(), "the window is gone")


def collect_pictures(desk: Desk) -> set[bytes]:
    """Return pictures of the finished dialog, with and without its text cursor."""
    seen: list[bytes] = []

    def look() -> bool:
        seen.append(desk.screen.picture())
        threading.Event().wait(0.1)
        return len(seen) == 25

    wait_until(look, "it has blinked", patience=DEADLINE)
    return set(seen[5:])


def by_number(program: str, text: str, *, hidden: bool) -> list[str]:
    entities = "".join(character if character == "\n" else f"&#{ord(character)};" for character in text)
    if program == "zenity":
        if not hidden:
            return ["--question", "--default-cancel", f"--text={entities}"]
        # Even an underscore that is written as a C escape must be doubled.
        octal = "".join(f"\\{byte:03o}" for byte in text.replace("_", "__").encode())
        return ["--entry", "--hide-text", f"--text={octal}"]
    shown = f'<p style="white-space:pre-wrap">{entities}</p>'.replace("\n", "<br/>")
    return [f"--password={shown}"] if hidden else ["--default=No", f"--menu={shown}", "--", "no", "No", "yes", "Yes"]


@each_program
@pytest.mark.parametrize("title", ["--help", "-e <b> & _x \\n", "a[*]b"])
def test_the_title_is_shown_as_it_is(desk: Desk, title: str) -> None:
    asking = Asking(lambda event: desk.dialogs().confirm(title, "Go on?", seconds=LONG, cancelled=event))
    wait_until(lambda: desk.screen.windows("."), "the dialog is shown", patience=DEADLINE)
    shown = [desk.screen.title(window).removesuffix(" — KDialog") for window in desk.screen.windows(".")]
    assert title in shown
    asking.cancelled.set()
    assert asking.answer() is DialogAnswer.NONE


class ProgramStandIn:
    """A program that records how it was called and gives a set answer: `said` on its output, and exit code `code`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_suffix(".note")
        make(path.parent)
        self.answer(b"")

    def answer(self, said: bytes, *, code: int = 0, then: str = "") -> "ProgramStandIn":
        self.path.write_text(
            f"#!{sys.executable} -I\n"
            "import json, os, subprocess, sys\n"
            "given = sys.stdin.buffer.read()\n"
            f"with open({str(self._note)!r}, 'w') as note:\n"
            "    json.dump([sys.argv[1:], given.decode('latin-1'), os.getcwd(), os.getsid(0), os.getpid(),"
            " dict(os.environ)], note)\n"
            f"sys.stdout.buffer.write({said!r})\n"
            "sys.stdout.flush()\n"
            "sys.stderr.write('noise')\n"
            f"{then}\n"
            f"sys.exit({code})\n"
        )
        self.path.chmod(0o755)
        return self

    def _noted(self) -> Any:
        return json.loads(self._note.read_text())

    @property
    def arguments(self) -> list[str]:
        return list(self._noted()[0])

    @property
    def given(self) -> bytes:
        return str(self._noted()[1]).encode("latin-1")

    @property
    def place(self) -> tuple[str, bool]:
        """Return the program's working directory, and whether the program leads a session."""
        _, _, directory, session, process, _ = self._noted()
        return directory, session == process

    @property
    def environment(self) -> dict[str, str]:
        return dict(self._noted()[5])

    @property
    def called(self) -> bool:
        return self._note.exists()


def ask(dialogs: Dialogs, text: str, *, hidden: bool, title: str = TITLE) -> DialogAnswer | str | None:
    put = dialogs.read_hidden if hidden else dialogs.confirm
    return put(title, text, seconds=LONG, cancelled=threading.Event())


@pytest.fixture
def osascript_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProgramStandIn:
    stand_in = ProgramStandIn(tmp_path / "mac" / "OsascriptStandIn")
    monkeypatch.setattr(dialog, "OSASCRIPT_PATH", str(stand_in.path))
    return stand_in


@pytest.fixture
def powershell_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProgramStandIn:
    stand_in = ProgramStandIn(tmp_path / "windows" / "PowerShellStandIn")
    monkeypatch.setattr(dialog, "powershell", lambda: str(stand_in.path))
    return stand_in


MAC = Dialogs(environment={"PATH": "/usr/bin:/bin"}, forbidden=[], platform="darwin")
WINDOWS = Dialogs(environment={"PATH": "/usr/bin:/bin"}, forbidden=[], platform="win32")


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("text", HOSTILE)
def test_osascript_gets_the_text_as_an_argument_of_a_constant_script(
    osascript_stand_in: ProgramStandIn, text: str, hidden: bool
) -> None:
    osascript_stand_in.answer(b"yes\n")
    assert ask(MAC, "harmless", hidden=hidden) == "yes"
    option, script, *_ = osascript_stand_in.arguments
    assert option == "-e"
    assert script.startswith("on run argv\n")
    assert "harmless" not in script
    assert TITLE not in script
    assert script.isascii()
    assert ask(MAC, text, hidden=hidden, title=text) == "yes"
    assert osascript_stand_in.arguments == ["-e", script, "ask", text, text]
    assert osascript_stand_in.given == b""


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("text", HOSTILE)
def test_powershell_gets_the_text_as_input_of_a_constant_script(
    powershell_stand_in: ProgramStandIn, text: str, hidden: bool
) -> None:
    powershell_stand_in.answer(b"yes\n")
    assert ask(WINDOWS, "harmless", hidden=hidden) == "yes"
    arguments = powershell_stand_in.arguments
    assert arguments[:-1] == ["-NoLogo", "-NoProfile", "-NonInteractive", "-STA", "-Command"]
    assert arguments[-1].startswith("$ErrorActionPreference")
    # The script has no characters that Windows' command lines and PowerShell read differently.
    assert '"' not in arguments[-1]
    assert arguments[-1].isascii()
    assert ask(WINDOWS, text, hidden=hidden, title=text) == "yes"
    assert powershell_stand_in.arguments == arguments
    kind = b"hidden" if hidden else b"confirm"
    assert powershell_stand_in.given.isascii()
    assert powershell_stand_in.given.endswith(b"\n")
    lines = powershell_stand_in.given.splitlines()
    assert [base64.b64decode(line, validate=True) for line in lines] == [kind, text.encode(), text.encode()]


@pytest.mark.parametrize(
    ("said", "code", "answer"),
    [
        (b"yes\n", 0, DialogAnswer.YES),
        (b"no\n", 0, DialogAnswer.NO),
        (b"yes\n", 1, DialogAnswer.NONE),
        (b"yes", 0, DialogAnswer.NONE),
        (b"Yes\n", 0, DialogAnswer.NONE),
        (b"yes\nyes\n", 0, DialogAnswer.NONE),
        (b"", 0, DialogAnswer.NONE),
        (b"", 1, DialogAnswer.NONE),
    ],
)
def test_only_the_word_yes_is_yes_there(
    osascript_stand_in: ProgramStandIn,
    powershell_stand_in: ProgramStandIn,
    said: bytes,
    code: int,
    answer: DialogAnswer,
) -> None:
    for dialogs, stand_in in ((MAC, osascript_stand_in), (WINDOWS, powershell_stand_in)):
        stand_in.answer(said, code=code)
        assert ask(dialogs, "Go on?", hidden=False) is answer


VALUES = [
    (b"value\n", "value"),
    (b"two\nlines\n\n", "two\nlines\n"),
    (b" \n", " "),
    (b"carriage\r\n", "carriage\r"),
    ("ü\U0001f600\n".encode(), "ü\U0001f600"),
    (b"\n", None),
    (b"", None),
    (b"cut off", None),
    (b"l\xfctin-1\n", None),
    (b"\xed\xa0\x80\n", None),
]


@pytest.mark.parametrize(("said", "value"), VALUES)
def test_a_value_loses_one_newline_and_is_utf8_or_nothing(
    osascript_stand_in: ProgramStandIn, powershell_stand_in: ProgramStandIn, said: bytes, value: str | None
) -> None:
    for dialogs, stand_in in ((MAC, osascript_stand_in), (WINDOWS, powershell_stand_in)):
        assert ask(dialogs, "Its value:", hidden=True) is None
        stand_in.answer(said)
        assert ask(dialogs, "Its value:", hidden=True) == value
        stand_in.answer(said, code=1)
        assert ask(dialogs, "Its value:", hidden=True) is None


class StandInMachine:
    """A Linux machine with stand-ins in a directory of the system and in one of a project."""

    def __init__(self, root: Path) -> None:
        self.root = make(root)
        self.project = root / "project"
        self.zenity = ProgramStandIn(root / "system" / "zenity")
        self.kdialog = ProgramStandIn(root / "system" / "kdialog")
        self.places = taken(root / "system")._replace(below=root)

    def dialogs(self, *, places: Places | None = None, **environment: str) -> Dialogs:
        chosen = {"DISPLAY": ":7", "PATH": "/nowhere", **environment}
        places = places or self.places
        return Dialogs(environment=chosen, forbidden=[self.project], platform="linux", places=places)


@pytest.fixture(name="machine")
def machine_of_stand_ins(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> StandInMachine:
    return StandInMachine(tmp_path / "machine")


def test_zenity_comes_before_kdialog(machine: StandInMachine) -> None:
    machine.zenity.answer(b"", code=64)
    machine.kdialog.answer(b"yes\n")
    assert ask(machine.dialogs(), "Go on?", hidden=False) is DialogAnswer.YES
    assert not machine.kdialog.called
    machine.zenity.path.unlink()
    assert ask(machine.dialogs(), "Go on?", hidden=False) is DialogAnswer.YES
    assert machine.kdialog.called


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_an_option(machine: StandInMachine, text: str) -> None:
    machine.zenity.answer(b"v\n", code=64)
    dialogs = machine.dialogs()
    ask(dialogs, text, hidden=False, title=text)
    assert machine.zenity.arguments == [
        "--question", "--no-markup", "--default-cancel", f"--title={text}", f"--text={text}"
    ]  # fmt: skip
    ask(dialogs, text, hidden=True, title=text)
    assert machine.zenity.arguments[:3] == ["--entry", "--hide-text", f"--title={text}"]
    assert machine.zenity.arguments[3].startswith("--text=")
    assert len(machine.zenity.arguments) == 4
    machine.zenity.path.unlink()
    ask(dialogs, text, hidden=False, title=text)
    first, second, third, *rest = machine.kdialog.arguments
    assert (first, second) == (f"--title={text}", "--default=No")
    assert third.startswith("--menu=<p ")
    assert rest == ["--", "no", "No", "yes", "Yes"]
    ask(dialogs, text, hidden=True, title=text)
    first, second = machine.kdialog.arguments
    assert first == f"--title={text}"
    assert second.startswith("--password=<p ")


@pytest.mark.parametrize("text", ["nul \0 in it", "half \ud83d of a pair"])
def test_what_no_argument_can_hold_is_no_error(machine: StandInMachine, text: str) -> None:
    machine.zenity.answer(b"", code=64)
    assert ask(machine.dialogs(), text, hidden=False, title=text) is DialogAnswer.YES


def test_long_lines_are_broken_where_the_program_does_not(machine: StandInMachine) -> None:
    machine.zenity.answer(b"v\n", code=64)
    assert ask(machine.dialogs(), "word " * 100 + "x" * 300, hidden=True) == "v"
    shown = machine.zenity.arguments[-1].removeprefix("--text=")
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.replace("\n", "") == "word " * 100 + "x" * 300


@pytest.mark.parametrize("code", [0, 1, 5, 67, 68, 69, 127, 255])
def test_a_program_that_fails_is_no_answer(machine: StandInMachine, code: int) -> None:
    machine.zenity.answer(b"value\n", code=code)
    assert ask(machine.dialogs(), "Go on?", hidden=False) is DialogAnswer.NONE
    assert ask(machine.dialogs(), "Go on?", hidden=True) is None


@pytest.mark.parametrize("hidden", [False, True])
def test_a_program_that_crashes_is_no_answer(machine: StandInMachine, hidden: bool) -> None:
    machine.zenity.answer(b"value\n", then="os.kill(os.getpid(), 11)")
    assert ask(machine.dialogs(), "Go on?", hidden=hidden) in {None, DialogAnswer.NONE}


@pytest.mark.parametrize("hidden", [False, True])
def test_a_program_that_cannot_be_started_is_no_answer(machine: StandInMachine, hidden: bool) -> None:
    machine.zenity.path.write_bytes(b"\0 no program")
    assert ask(machine.dialogs(), "Go on?", hidden=hidden) in {None, DialogAnswer.NONE}


def test_what_a_dialog_started_ends_with_it(machine: StandInMachine, tmp_path: Path) -> None:
    child = tmp_path / "child"
    then = f"open({str(child)!r}, 'w').write(str(subprocess.Popen(['/bin/sleep', '600']).pid))"
    machine.zenity.answer(b"value\n", code=64, then=then)
    assert ask(machine.dialogs(), "Its value:", hidden=True) == "value"
    number = int(child.read_text())
    wait_until(lambda: not alive(number), "the program's child has ended")


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
        # In a container, perhaps no process reaps it.
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("hidden", [False, True])
def test_what_is_cancelled_before_it_begins_is_not_shown(machine: StandInMachine, hidden: bool) -> None:
    dialogs = machine.dialogs()
    put = dialogs.read_hidden if hidden else dialogs.confirm
    event = threading.Event()
    assert put(TITLE, "Go on?", seconds=0.0, cancelled=event) in {None, DialogAnswer.NONE}
    event.set()
    assert put(TITLE, "Go on?", seconds=LONG, cancelled=event) in {None, DialogAnswer.NONE}
    assert not machine.zenity.called


def test_the_child_has_nothing_of_ours(machine: StandInMachine, capfd: pytest.CaptureFixture[str]) -> None:
    machine.zenity.answer(b"value\n", code=64)
    inside = str(machine.project / "x")
    kept = os.dup(0)
    reading, writing = os.pipe()
    os.write(writing, b"not for the dialog\n")
    os.dup2(reading, 0)
    try:
        assert ask(machine.dialogs(LD_PRELOAD=inside, GTK_PATH=inside, HOME="/home/p"), "?", hidden=True) == "value"
    finally:
        os.dup2(kept, 0)
        for descriptor in (kept, reading, writing):
            os.close(descriptor)
    assert machine.zenity.given == b""
    assert machine.zenity.place == ("/", True)
    assert "".join(capfd.readouterr()) == ""
    assert machine.zenity.environment["HOME"] == "/home/p"
    assert not {"LD_PRELOAD", "GTK_PATH"} & set(machine.zenity.environment)


@pytest.mark.parametrize("path", ["PROJECT", "PROJECT/bin", "OTHER", "OTHER:/usr/bin:/bin", "", "."])
def test_no_path_brings_the_program(
    machine: StandInMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    directories = (machine.project, machine.project / "bin", tmp_path / "other")
    stand_ins = [ProgramStandIn(directory / "zenity").answer(b"", code=64) for directory in directories]
    monkeypatch.chdir(machine.project)
    dialogs = machine.dialogs(PATH=path.replace("PROJECT", str(machine.project)).replace("OTHER", str(directories[2])))
    machine.zenity.answer(b"", code=65)
    assert ask(dialogs, "Go on?", hidden=False) is DialogAnswer.NO
    assert machine.zenity.environment["PATH"] == str(machine.zenity.path.parent)
    machine.zenity.path.unlink()
    machine.kdialog.path.unlink()
    assert not dialogs.available()
    assert ask(dialogs, "Go on?", hidden=False) is DialogAnswer.NONE
    assert not any(stand_in.called for stand_in in stand_ins)


@pytest.mark.parametrize("place", ["project", "project/bin"])
def test_a_place_of_the_systems_that_is_in_the_project_does_not_count(machine: StandInMachine, place: str) -> None:
    stand_in = ProgramStandIn(machine.root / place / "zenity")
    dialogs = machine.dialogs(places=machine.places._replace(directories=[machine.root / place]))
    assert not dialogs.available()
    assert ask(dialogs, "Go on?", hidden=False) is DialogAnswer.NONE
    assert not stand_in.called


def test_there_has_to_be_a_display_and_a_program(machine: StandInMachine) -> None:
    assert machine.dialogs().available()
    assert machine.dialogs(DISPLAY="", WAYLAND_DISPLAY="wayland-0").available()
    assert not machine.dialogs(DISPLAY="").available()
    assert ask(machine.dialogs(DISPLAY=""), "Go on?", hidden=False) is DialogAnswer.NONE
    assert not machine.zenity.called
    machine.zenity.path.unlink()
    assert machine.dialogs().available()
    machine.kdialog.path.unlink()
    assert not machine.dialogs().available()


def test_elsewhere_there_has_to_be_the_systems_own_program(
    monkeypatch: pytest.MonkeyPatch, osascript_stand_in: ProgramStandIn, powershell_stand_in: ProgramStandIn
) -> None:
    for dialogs, stand_in in ((MAC, osascript_stand_in), (WINDOWS, powershell_stand_in)):
        assert dialogs.available()
        stand_in.path.unlink()
        assert not dialogs.available()
        assert ask(dialogs, "Go on?", hidden=False) is DialogAnswer.NONE
        assert ask(dialogs, "Go on?", hidden=True) is None
    monkeypatch.undo()
    assert dialog.OSASCRIPT_PATH == "/usr/bin/osascript"
    assert dialog.powershell() == ""


def test_no_repr_shows_an_environment_or_an_output() -> None:
    assert "/usr/bin:/bin" not in repr(MAC)
    assert "value" not in repr(dialog._Ended(0, b"value"))

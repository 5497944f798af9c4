"""Opening the page from WSL in a Windows browser. WSL and the programs of Windows are stand-ins."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from claude_secrets.prompt import browser, wsl
from claude_secrets.prompt.browser import open_page
from claude_secrets.prompt.entry_file import EntryFile
from tests.support.posix import skip_without
from tests.support.program_places import make, taken
from tests.support.wsl_stand_in import DRIVES, NATIVE_RELEASE, NO_DRIVES, WslStandIn

skip_without("shell for the stand-ins")
assert sys.platform != "win32"

URL = "http://127.0.0.1:1234/page"
DEADLINE = 20.0
DISTRIBUTION = {"WSL_DISTRO_NAME": "Ubuntu-24.04"}
DISPLAY = {"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}


class Person:
    """A person whose server opens a page, on a machine that the stand-in describes."""

    def __init__(self, root: Path, started: list[subprocess.Popen[bytes]]) -> None:
        self.root = make(root)
        self.wsl = WslStandIn(self.root)
        self.started = started
        self.files: list[EntryFile] = []

    def open(self, environment: dict[str, str], *, forbidden: Sequence[Path] = ()) -> bool:
        places = taken(self.wsl.system)._replace(below=self.root)
        return open_page(
            URL, environment, forbidden=forbidden, platform="linux", places=places, entry_file=self.entry_file
        )

    def entry_file(self) -> Path:
        self.files.append(EntryFile(URL, seconds=wsl.RELAY_SECONDS))
        return self.files[-1].path

    def put(self, name: str, code: int = 0) -> None:
        self.wsl.script(self.wsl.system / name, f'echo "$1" > {self.root}/{name}\nexit {code}\n')

    def wait(self) -> None:
        for process in self.started:
            process.wait(DEADLINE)

    def shown_on_linux(self, name: str) -> str | None:
        self.wait()
        said = self.root / name
        return said.read_text().strip() if said.exists() else None

    def shown_on_windows(self) -> list[str] | None:
        self.wait()
        return self.wsl.said.read_text().splitlines() if self.wsl.said.exists() else None


@pytest.fixture
def person(tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> Person:
    person = Person(tmp_path / "machine", started)
    monkeypatch.setattr(wsl, "SYSTEM", person.wsl.machine)
    monkeypatch.setenv("TMPDIR", str(make(tmp_path / "temporary")))
    monkeypatch.setattr("tempfile.tempdir", None)
    return person


def release(text: str) -> Callable[[Person], None]:
    def change(person: Person) -> None:
        (person.wsl.kernel / "release").write_text(text)

    return change


def no_wslpath(person: Person) -> None:
    (person.wsl.system / "wslpath").unlink()


def no_interop(person: Person) -> None:
    """A Windows program without WSL's interpreter: the real kernel refuses to start it."""
    person.wsl.program.write_bytes(b"MZ\x90\0")


def firefox(person: Person) -> None:
    person.put("firefox")


def no_browser_behind_xdg_open(person: Person) -> None:
    person.put("xdg-open", 3)


def nothing(person: Person) -> None:
    """Change nothing."""


class Case(NamedTuple):
    """`shown_by` is the program on Linux, "Windows", or None if nothing can be opened."""

    made: Sequence[Callable[[Person], None]]
    environment: dict[str, str]
    shown_by: str | None
    project: str = "home/project"


PEOPLE = {
    # People for whom WSL's way changes nothing.
    "a desktop": Case([release(NATIVE_RELEASE), no_wslpath, firefox], DISPLAY, "firefox"),
    "a server": Case([release(NATIVE_RELEASE), no_wslpath], {}, None),
    "a server that says it is WSL": Case([release(NATIVE_RELEASE)], DISTRIBUTION, None),
    "a desktop whose kernel is named so": Case([release("6.1.0-microsoft"), no_wslpath, firefox], DISPLAY, "firefox"),
    "a server whose kernel is named so": Case([release("6.1.0-microsoft"), no_wslpath], DISTRIBUTION, None),
    "a container on WSL's kernel": Case([no_wslpath], {}, None),
    "WSLg with Firefox": Case([firefox], {**DISPLAY, **DISTRIBUTION}, "firefox"),
    "WSLg with Firefox and a mirrored network": Case(
        [firefox, lambda person: person.wsl.mirror()], {**DISPLAY, **DISTRIBUTION}, "firefox"
    ),
    "WSL without interop": Case([no_interop], DISTRIBUTION, None),
    "WSL without drives": Case([lambda person: person.wsl.mount("")], DISTRIBUTION, None),
    # People for whom the page opens on Windows.
    "WSL without WSLg": Case([], DISTRIBUTION, "Windows"),
    "WSL 1's name": Case([release("4.4.0-19041-Microsoft")], DISTRIBUTION, "Windows"),
    "WSLg without a browser": Case([], {**DISPLAY, **DISTRIBUTION}, "Windows"),
    "WSLg with nothing behind xdg-open": Case([no_browser_behind_xdg_open], {**DISPLAY, **DISTRIBUTION}, "Windows"),
    "a project on the drive": Case([], DISTRIBUTION, "Windows", project="mnt/c/Users/me/project"),
    # People for whom the page must not open on Windows.
    "a mirrored network": Case([lambda person: person.wsl.mirror()], DISTRIBUTION, None),
    "without the distribution's name": Case([], {}, None),
    "the drive is the project": Case([], DISTRIBUTION, None, project="mnt/c"),
    "the system is the project": Case([], DISTRIBUTION, None, project="system"),
}


@pytest.mark.parametrize("name", PEOPLE)
def test_each_person_gets_the_page_where_they_can_use_it(person: Person, name: str) -> None:
    case = PEOPLE[name]
    for change in case.made:
        change(person)
    opened = person.open(case.environment, forbidden=[person.root / case.project])
    assert opened is (case.shown_by is not None)
    assert person.shown_on_linux("firefox") == (URL if case.shown_by == "firefox" else None)
    assert (person.shown_on_windows() is not None) is (case.shown_by == "Windows")
    # The entry file is made only for Windows, or if its program cannot be started.
    assert bool(person.files) is (case.shown_by == "Windows" or no_interop in case.made)


def test_windows_gets_only_the_path_of_the_entry_file(person: Person) -> None:
    assert person.open(DISTRIBUTION)
    [file] = person.files
    assert person.shown_on_windows() == ["url.dll,FileProtocolHandler", f"file://wsl.localhost/Ubuntu-24.04{file.path}"]
    assert URL in file.path.read_text()
    assert f'content="{wsl.RELAY_SECONDS}; url={URL}"' in file.path.read_text()
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert Path(f"{person.wsl.said}.cwd").read_text() == "/\n"


def test_the_environment_chooses_nothing(person: Person) -> None:
    evil = make(person.root / "evil")
    for name in ("rundll32.exe", "wslpath", "wslview"):
        person.wsl.script(evil / name, f"echo > {person.root}/hostile\n")
    hostile = {
        "PATH": str(evil),
        "BROWSER": str(evil / "wslview"),
        "WSLENV": "PATH/l",
        "SystemRoot": str(evil),
        "WSL_INTEROP": str(evil / "socket"),
        "LD_PRELOAD": str(evil / "x.so"),
    }
    assert person.open({**DISTRIBUTION, **hostile})
    assert person.shown_on_windows() is not None
    assert not (person.root / "hostile").exists()
    given = Path(f"{person.wsl.said}.env").read_text()
    names = {line.split()[1].partition("=")[0] for line in given.splitlines() if line.startswith("export ")}
    assert not names & {"BROWSER", "WSLENV", "LD_PRELOAD"}
    assert path_of(given) == str(person.wsl.system)


def path_of(exported: str) -> str:
    [line] = [line for line in exported.splitlines() if line.startswith("export PATH=")]
    return line.removeprefix("export PATH=").strip("'\"")


@pytest.mark.parametrize("kind", DRIVES)
def test_a_drive_is_recognised_in_each_way_of_mounting(person: Person, kind: str) -> None:
    person.wsl.mount(DRIVES[kind])
    assert person.open(DISTRIBUTION)


@pytest.mark.parametrize("kind", NO_DRIVES)
def test_a_planted_drive_is_not_used(person: Person, kind: str) -> None:
    person.wsl.mount(NO_DRIVES[kind])
    assert not person.open(DISTRIBUTION)
    assert (person.shown_on_windows(), person.files) == (None, [])


@pytest.mark.parametrize("what", ["a link", "a directory", "not executable", "missing"])
def test_only_a_program_in_its_place_is_used(person: Person, what: str) -> None:
    program = person.wsl.program
    if what == "not executable":
        program.chmod(0o644)
    else:
        moved = program.rename(person.root / "moved.exe")
        if what == "a link":
            program.symlink_to(moved)
        elif what == "a directory":
            program.mkdir()
    assert not person.open(DISTRIBUTION)
    assert person.shown_on_windows() is None


@pytest.mark.parametrize("printed", ["", "rundll32.exe", "/bin/sh", "EVIL/rundll32.exe", "PROGRAM\n/bin/sh", "\\377"])
def test_no_other_program_is_run_whatever_wslpath_prints(person: Person, printed: str) -> None:
    evil = make(person.root / "evil") / "rundll32.exe"
    evil.write_text(person.wsl.program.read_text())
    evil.chmod(0o755)
    text = printed.replace("EVIL", str(evil.parent)).replace("PROGRAM", str(person.wsl.program)).replace("\n", "\\n")
    program = f"if [ $1 = -u ]; then printf '{text}\\n'; else echo //wsl.localhost/Ubuntu$2; fi\n"
    person.wsl.script(person.wsl.system / "wslpath", program)
    assert not person.open(DISTRIBUTION)
    assert person.shown_on_windows() is None


@pytest.mark.parametrize("name", ["..", ".", ".x", "a/b", "a\\b", "a b", "-", "../evil", "a?b", "a\nb"])
def test_a_name_of_a_distribution_leads_to_no_other_place(person: Person, name: str) -> None:
    opened = person.open({"WSL_DISTRO_NAME": name})
    assert opened is (name == "-")
    assert (person.shown_on_windows() is not None) is opened


def test_a_file_on_a_drive_of_windows_is_not_opened(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """On such a drive, the file's mode does not keep other users of Windows away."""
    monkeypatch.setenv("TMPDIR", str(make(person.wsl.drive / "Temp")))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert not person.open(DISTRIBUTION)
    assert (person.shown_on_windows(), len(person.files)) == (None, 1)


def test_a_wslpath_that_others_can_change_is_not_run(person: Person) -> None:
    (person.wsl.system / "wslpath").chmod(0o777)
    assert not person.open(DISTRIBUTION)
    assert person.shown_on_windows() is None


def test_an_entry_file_that_cannot_be_made_is_no_error(person: Person) -> None:
    def fail() -> Path:
        raise OSError("no space")

    places = taken(person.wsl.system)._replace(below=person.root)
    assert not open_page(URL, DISTRIBUTION, forbidden=[], platform="linux", places=places, entry_file=fail)


@pytest.mark.parametrize("name", PEOPLE)
def test_doctor_finds_the_same_way_without_opening_anything(person: Person, name: str) -> None:
    case = PEOPLE[name]
    for change in case.made:
        change(person)
    places = taken(person.wsl.system)._replace(below=person.root)
    found = browser.opener(case.environment, forbidden=[person.root / case.project], platform="linux", places=places)
    expected = {"firefox": person.wsl.system / "firefox", "Windows": person.wsl.program}.get(case.shown_by or "")
    if no_interop in case.made:  # only starting the program shows this
        expected = person.wsl.program
    if no_browser_behind_xdg_open in case.made:
        expected = person.wsl.system / "xdg-open"
    assert found == (None if expected is None else str(expected))
    assert not person.started
    assert (person.shown_on_linux("firefox"), person.shown_on_windows(), person.files) == (None, None, [])


def test_this_machine_is_recognised_by_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSL_DISTRO_NAME", "Ubuntu")
    assert wsl.is_wsl() is ("microsoft" in os.uname().release.lower())

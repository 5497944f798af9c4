"""Opening the browser: the program that runs, its arguments and environment, and what a project cannot change."""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from claude_secrets.prompt.browser import open_page
from claude_secrets.prompt.page import InputPage
from claude_secrets.prompt.page_replies import Reply
from tests.support.chromium import ARGUMENTS, Browser
from tests.support.page_client import QUESTION, RecordingStore
from tests.support.posix import skip_without
from tests.support.program_places import make, taken

skip_without("shell for the stand-ins")
assert sys.platform != "win32"

URL = "http://127.0.0.1:1234/page"
DEADLINE = 20.0


class Programs:
    """Directories of stand-ins, each of which records how it was called."""

    def __init__(self, root: Path, started: list[subprocess.Popen[bytes]]) -> None:
        self.root = root
        self.system = root / "system"
        self.project = root / "project"
        self.said = root / "said"
        self.started = started
        for directory in (root, self.system, self.project, self.said):
            make(directory)

    def put(self, directory: Path, name: str, then: str = "exit 0") -> None:
        make(directory)
        note = shlex.quote(str(self.said / name))
        script = directory / name
        # The script uses only sh's builtins, because PATH has no other programs.
        script.write_text(
            f"#!/bin/sh\nexport -p > {note}.env\npwd > {note}.cwd\nread line && echo > {note}.stdin\n"
            f'echo noise\necho noise >&2\nfor word; do echo "$word"; done > {note}\n{then}\n'
        )
        script.chmod(0o755)

    def open(self, *directories: Path, **environment: str) -> bool:
        places = taken(*(directories or [self.system]))._replace(below=self.root)
        chosen = {"DISPLAY": ":7", "PATH": "/usr/bin:/bin", **environment}
        return open_page(URL, chosen, forbidden=[self.project], platform="linux", places=places)

    def called(self, name: str) -> list[str] | None:
        """Return this program's arguments, once all started programs have ended. Return None if it was not called."""
        for process in self.started:
            process.wait(DEADLINE)
        note = self.said / name
        return note.read_text().splitlines() if note.exists() else None


@pytest.fixture
def programs(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> Programs:
    return Programs(tmp_path / "machine", started)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("xdg-open", []),
        ("gio", ["open"]),
        ("x-www-browser", []),
        ("chromium", []),
        ("google-chrome", []),
        ("firefox", []),
        ("org.mozilla.firefox", []),
        ("org.chromium.Chromium", []),
    ],
)
def test_each_program_is_given_the_address_alone(programs: Programs, name: str, arguments: list[str]) -> None:
    programs.put(programs.system, name)
    assert programs.open()
    assert programs.called(name) == [*arguments, URL]


def test_a_program_that_fails_makes_way_for_the_next(programs: Programs) -> None:
    programs.put(programs.system, "xdg-open", "exit 3")
    programs.put(programs.system, "firefox")
    assert programs.open()
    assert programs.called("firefox") == [URL]
    programs.put(programs.system, "firefox", "exit 1")
    assert not programs.open()


def test_a_browser_that_stays_open_is_not_waited_for(programs: Programs) -> None:
    programs.put(programs.system, "chromium", "exec /bin/sleep 600")
    assert programs.open()
    assert programs.started[0].poll() is None


def test_a_browser_outlives_what_ends_the_server(programs: Programs) -> None:
    programs.put(programs.system, "chromium", "exec /bin/sleep 600")
    assert programs.open()
    # A signal from the terminal reaches only our own process group.
    assert os.getpgid(programs.started[0].pid) != os.getpgrp()


@pytest.mark.parametrize("environment", [{"DISPLAY": ""}, {"DISPLAY": "", "WAYLAND_DISPLAY": ""}])
def test_without_a_display_nothing_is_opened(programs: Programs, environment: dict[str, str]) -> None:
    programs.put(programs.system, "xdg-open")
    assert not programs.open(**environment)
    assert programs.called("xdg-open") is None
    assert programs.open(**environment | {"WAYLAND_DISPLAY": "wayland-0"})


def test_without_a_browser_nothing_is_opened(programs: Programs) -> None:
    for directory in (programs.system, programs.root / "nowhere"):
        assert not programs.open(directory)


@pytest.mark.parametrize(
    "path",
    ["PROJECT/bin", "PROJECT", "PROJECT/../project/bin", "LINK", ".", "", "bin", "::", "LINK:PROJECT/bin", "OTHER",
     "OTHER:/usr/bin:/bin"],
)  # fmt: skip
def test_no_path_chooses_the_program_or_what_it_runs(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    other = programs.root / "other"
    for directory in (programs.project, programs.project / "bin", other):
        programs.put(directory, "xdg-open", "echo hostile > " + shlex.quote(str(programs.said / "hostile")))
    (programs.root / "link").symlink_to(programs.project / "bin")
    monkeypatch.chdir(programs.project)
    hostile = path
    for word, directory in (("PROJECT", programs.project), ("LINK", programs.root / "link"), ("OTHER", other)):
        hostile = hostile.replace(word, str(directory))
    assert not programs.open(PATH=hostile)
    programs.put(programs.system, "firefox")
    assert programs.open(PATH=hostile)
    assert programs.called("hostile") is None
    assert programs.called("firefox") == [URL]
    assert path_of_child(programs, "firefox") == str(programs.system)


def path_of_child(programs: Programs, name: str) -> str:
    [line] = [line for line in (programs.said / f"{name}.env").read_text().splitlines() if line[:12] == "export PATH="]
    return line.removeprefix("export PATH=").strip("'\"")


@pytest.mark.parametrize("place", ["project", "project/bin", "link"])
def test_a_place_of_the_systems_that_is_in_the_project_does_not_count(programs: Programs, place: str) -> None:
    for directory in (programs.project, programs.project / "bin"):
        programs.put(directory, "xdg-open")
    (programs.root / "link").symlink_to(programs.project / "bin")
    assert not programs.open(programs.root / place)
    programs.put(programs.system, "firefox")
    assert programs.open(programs.root / place, programs.system)
    assert programs.called("xdg-open") is None
    assert path_of_child(programs, "firefox") == str(programs.system)


def test_a_link_into_the_project_is_not_run(programs: Programs) -> None:
    programs.put(programs.project, "real")
    (programs.system / "xdg-open").symlink_to(programs.project / "real")
    assert not programs.open()
    assert programs.called("real") is None


def test_a_directory_whose_name_only_begins_alike_is_not_the_project(programs: Programs) -> None:
    other = programs.root / "project-tools"
    programs.put(other, "xdg-open")
    assert programs.open(other)


def test_the_child_gets_neither_browser_nor_anything_that_leads_into_the_project(programs: Programs) -> None:
    programs.put(programs.system, "xdg-open")
    inside = programs.project / "config"
    assert programs.open(
        PATH=f"{inside}:{programs.system}:bin",
        BROWSER="firefox",
        XDG_CONFIG_HOME=str(inside),
        XDG_DATA_DIRS=f"/usr/share:{inside}",
        LD_PRELOAD=str(inside / "x.so"),
        HOME="/home/person",
        LANG="C.UTF-8",
    )
    given = (programs.said / "xdg-open.env").read_text()
    names = {line.split()[1].partition("=")[0] for line in given.splitlines() if line.startswith("export ")}
    assert not names & {"BROWSER", "XDG_CONFIG_HOME", "XDG_DATA_DIRS", "LD_PRELOAD"}
    assert {"HOME", "LANG", "DISPLAY"} <= names
    assert path_of_child(programs, "xdg-open") == str(programs.system)
    assert str(programs.project) not in given
    assert (programs.said / "xdg-open.cwd").read_text() == "/\n"


def test_our_own_streams_stay_our_own(programs: Programs, capfd: pytest.CaptureFixture[str]) -> None:
    programs.put(programs.system, "xdg-open")
    with open_input("not for the browser\n"):
        assert programs.open()
        assert programs.called("xdg-open") == [URL]
    assert "".join(capfd.readouterr()) == ""
    assert not (programs.said / "xdg-open.stdin").exists()


@contextmanager
def open_input(text: str) -> Iterator[None]:
    """Replace this process's standard input with `text`."""
    kept = os.dup(0)
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.dup2(reading, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        for descriptor in (kept, reading, writing):
            os.close(descriptor)


@pytest.mark.parametrize(
    "url", ["https://example.com/", "file:///etc/passwd", "--version", "http://127.0.0.1.attacker.example/", ""]
)
def test_only_a_page_on_loopback_is_opened(programs: Programs, url: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        open_page(url, {"DISPLAY": ":7"}, forbidden=[], platform="linux", places=taken(programs.system))


def test_windows_opens_it_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(os, "startfile", opened.append, raising=False)
    assert open_page(URL, {}, forbidden=[], platform="win32")
    assert opened == [URL]

    def fail(_url: str) -> None:
        raise OSError("no association")

    monkeypatch.setattr(os, "startfile", fail, raising=False)
    assert not open_page(URL, {}, forbidden=[], platform="win32")


def test_macos_runs_its_own_program_by_its_full_path(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[object] = []

    def absent(command: list[str], **_options: object) -> None:
        commands.append(command)
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "Popen", absent)
    assert not open_page(URL, {"PATH": "/bin"}, forbidden=[], platform="darwin")
    assert commands == [["/usr/bin/open", URL]]


def test_a_real_chromium_comes_to_the_address(programs: Programs, browser: Browser) -> None:
    # Options for root and no screen, which a person's Chromium does not need.
    options = ["--headless=new", f"--user-data-dir={programs.root}/profile", *ARGUMENTS]
    wrapper = programs.system / "chromium"
    wrapper.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin exec {shlex.join([browser.executable, *options])} "$@"\n')
    wrapper.chmod(0o755)
    page = InputPage(QUESTION, store=RecordingStore())
    visited = threading.Event()
    look = page.visit

    def watched(cookies: Sequence[str], *, keyed: bool) -> Reply:
        visited.set()
        return look(cookies, keyed=keyed)

    page.visit = watched  # type: ignore[method-assign]  # records the visit
    page.start()
    try:
        environment = {"DISPLAY": ":7", "HOME": str(browser.home)}
        places = taken(programs.system)
        assert open_page(page.url, environment, forbidden=[programs.project], platform="linux", places=places)
        assert visited.wait(DEADLINE)
    finally:
        page.close()

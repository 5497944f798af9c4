"""Test where programs that ask or show the person something are found: only root can choose those directories."""

import os
import shlex
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import pytest

from claude_secrets import programs
from claude_secrets.programs import SYSTEM, Places, clean_for, named
from claude_secrets.prompt.browser import open_page
from claude_secrets.prompt.dialog import DialogAnswer, Dialogs
from tests.support.display import Screen
from tests.support.keyrings import wait_until
from tests.support.machine import PROGRAM, Machine, Wire
from tests.support.other_users import STRANGER
from tests.support.posix import skip_without
from tests.support.program_places import make
from tests.support.requirements import require_real

skip_without("POSIX owners and links")
assert sys.platform != "win32"

TITLE = "Claude Secrets asks"
PATIENCE = 60.0
URL = "http://127.0.0.1:1234/page"


class System:
    """A made-up system below a directory, with a program that answers yes and writes a note."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.root.chmod(0o755)
        self.bin = make(self.root / "usr" / "bin")
        make(self.root / "usr")
        self.note = self.root / "note"
        self.program = self.put(self.bin / "zenity")

    def put(self, path: Path) -> Path:
        path.write_text(f'#!/bin/sh\necho "$PATH" > {shlex.quote(str(self.note))}\nexit 64\n')
        path.chmod(0o755)
        return path

    def places(self, *directories: Path) -> Places:
        return Places(directories=list(directories) or [self.bin], owner=os.getuid(), below=self.root)

    def asks(self, *directories: Path, **environment: str) -> bool:
        """Return whether a dialog program is found. Check that a program that is found also runs and answers yes."""
        places = self.places(*directories)
        found = places.find("zenity", []) is not None
        dialogs = Dialogs({"DISPLAY": ":7", **environment}, [], "linux", places)
        assert dialogs.available() is found
        answer = dialogs.confirm(TITLE, "Go on?", seconds=PATIENCE, cancelled=threading.Event())
        assert (answer is DialogAnswer.YES) is found is self.note.exists()
        return found


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_what_only_its_owner_can_change_is_run(system: System) -> None:
    assert system.asks()
    assert system.note.read_text() == f"{system.bin}\n"


@pytest.mark.parametrize("mode", [0o757, 0o775, 0o777, 0o1777, 0o2775])
@pytest.mark.parametrize("which", ["usr/bin/zenity", "usr/bin", "usr", "."])
def test_what_others_can_change_is_not_run(system: System, which: str, mode: int) -> None:
    changed = system.root / which
    if os.getuid() == 0:
        os.chown(changed, 0, STRANGER)
    require_real(changed.stat().st_gid != 0, "a group other than root's")
    changed.chmod(mode)
    assert not system.asks()
    if which != "usr/bin/zenity":
        assert system.places().path([]) == ""


def test_a_group_may_add_to_a_directory_in_which_it_can_replace_nothing(system: System) -> None:
    """/nix/store is such a directory. The exception applies to directories, not to programs."""
    for path in (system.root / "usr", system.program):
        if os.getuid() == 0:
            os.chown(path, 0, STRANGER)
        require_real(path.stat().st_gid != 0, "a group other than root's")
    (system.root / "usr").chmod(0o1775)
    assert system.asks()
    system.note.unlink()
    system.program.chmod(0o1775)
    assert not system.asks()


def test_roots_own_group_is_root(system: System) -> None:
    require_real(os.getuid() == 0, "root")
    os.chown(system.bin, 0, 0)
    system.bin.chmod(0o775)
    assert system.asks()


@pytest.mark.parametrize("which", ["usr/bin/zenity", "usr/bin", "usr", "."])
def test_what_another_user_has_is_not_run(system: System, which: str) -> None:
    require_real(os.getuid() == 0, "root")
    os.chown(system.root / which, STRANGER, 0)
    assert not system.asks()


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("which", ["zenity", "bin", "usr"])
def test_a_link_is_followed_to_what_counts_and_not_to_what_others_can_change(
    system: System, which: str, relative: bool
) -> None:
    at = {"zenity": system.program, "bin": system.bin, "usr": system.root / "usr"}[which]
    elsewhere = make(system.root / "elsewhere")
    at.rename(elsewhere / at.name)
    at.symlink_to(os.path.relpath(elsewhere / at.name, at.parent) if relative else elsewhere / at.name)
    assert system.asks()
    system.note.unlink()
    elsewhere.chmod(0o777)
    assert not system.asks()


def test_a_link_on_the_way_back_counts_too(system: System) -> None:
    """`..` leads out of the link's target, not out of the link's own directory."""
    make(system.root / "open" / "inner")
    (system.root / "link").symlink_to(system.root / "open" / "inner")
    system.put(make(system.root / "open" / "bin") / "zenity")
    (system.root / "open").chmod(0o777)
    assert not system.asks(system.root / "link" / ".." / "bin")


def test_a_link_of_another_users_is_not_followed(system: System) -> None:
    require_real(os.getuid() == 0, "root")
    link = system.bin / "kdialog"
    link.symlink_to(system.program)
    assert system.places().find("kdialog", [])
    os.lchown(link, STRANGER, STRANGER)
    assert not system.places().find("kdialog", [])


def test_links_without_end_are_no_program(system: System) -> None:
    system.program.unlink()
    system.program.symlink_to(system.program)
    assert not system.asks()
    system.program.unlink()
    system.program.symlink_to("missing")
    assert not system.asks()


@pytest.mark.parametrize("what", ["directory", "no program", "missing"])
def test_what_cannot_be_run_is_passed_over(system: System, what: str) -> None:
    first = make(system.root / "first")
    if what == "directory":
        make(first / "zenity")
    elif what == "no program":
        system.put(first / "zenity").chmod(0o644)
    assert system.places(first, system.bin).find("zenity", []) == str(system.program)


def test_a_program_keeps_the_name_that_it_is_called_by(system: System) -> None:
    """As in /snap/bin: several links lead to one program, which acts by the name of the link."""
    (system.bin / "snap").symlink_to("zenity")
    assert system.places().find("snap", []) == str(system.bin / "snap")


LOADING = {
    "LD_PRELOAD": "/tmp/x.so",
    "LD_LIBRARY_PATH": "/tmp",
    "LD_AUDIT": "/tmp/x.so",
    "DYLD_INSERT_LIBRARIES": "/tmp/x",
    "GTK_MODULES": "x",
    "GTK3_MODULES": "/tmp/x.so",
    "GTK_PATH": "/tmp",
    "GIO_EXTRA_MODULES": "/tmp",
    "GI_TYPELIB_PATH": "/tmp",
    "GDK_PIXBUF_MODULE_FILE": "/tmp/x",
    "QT_PLUGIN_PATH": "/tmp",
    "QT_QPA_PLATFORM_PLUGIN_PATH": "/tmp",
    "VK_LAYER_PATH": "/tmp",
    "CHROMIUM_FLAGS": "--utility-cmd-prefix=/tmp/x",
    "ELECTRON_RUN_AS_NODE": "1",
    "PYTHONPATH": "/tmp",
    "PERL5OPT": "-Mx",
    "BASH_ENV": "/tmp/x",
    "ENV": "/tmp/x",
    "BASH_FUNC_grep%%": "() { echo; }",
    "SHELLOPTS": "xtrace",
    "PS4": "$(id)",
    "BROWSER": "x",
    "PATH": "/tmp",
}
KEPT = {
    "DISPLAY": ":7",
    "WAYLAND_DISPLAY": "wayland-0",
    "XAUTHORITY": "/run/user/1000/xauth",
    "XDG_RUNTIME_DIR": "/run/user/1000",
    "XDG_CURRENT_DESKTOP": "GNOME",
    "XDG_SESSION_TYPE": "wayland",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
    "XDG_CACHE_HOME": "/home/person/.cache",
    "TMPDIR": "/var/folders/x/T",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "no_proxy": "localhost",
    "SSL_CERT_FILE": "/etc/ssl/ours.pem",
    "HOME": "/home/person",
    "XDG_CONFIG_HOME": "/home/person/.config",
    "XDG_DATA_HOME": "/home/person/.local/share",
    "XDG_DATA_DIRS": "/usr/share",
    "LANG": "C.UTF-8",
    "GTK_THEME": "Adwaita:dark",
    "GTK_IM_MODULE": "ibus",
    "QT_QPA_PLATFORM": "wayland",
    "MOZ_ENABLE_WAYLAND": "1",
    "WSL_DISTRO_NAME": "Ubuntu",
    "WSL_INTEROP": "/run/WSL/1_interop",
}


def test_what_makes_programs_load_code_is_left_out_and_the_rest_is_kept(system: System) -> None:
    given = clean_for(system.places(), {**LOADING, **KEPT}, [])
    assert given == {**KEPT, "PATH": str(system.bin)}


def test_a_preloaded_library_of_a_handed_in_environment_is_not_loaded(system: System, tmp_path: Path) -> None:
    """The system's real shell runs the fake program, and would complain about a missing library."""
    said = tmp_path / "said"
    system.program.write_text(f"#!/bin/sh\n/bin/true 2> {shlex.quote(str(said))}\nexit 64\n")
    dialogs = Dialogs({"DISPLAY": ":7", "LD_PRELOAD": "/missing/x.so"}, [], "linux", system.places())
    assert dialogs.confirm(TITLE, "?", seconds=PATIENCE, cancelled=threading.Event()) is DialogAnswer.YES
    assert said.read_text() == ""


# The built-in table for this system.


def test_the_systems_own_places_hold_its_programs_and_nothing_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SYSTEM.owner == 0
    assert SYSTEM.below == Path("/")
    assert Path(str(SYSTEM.find("sh", []))).parent in SYSTEM.directories
    assert "/bin" in SYSTEM.path([]).split(":")
    expected = SYSTEM.path([])
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HOME", "/nowhere")
    assert programs._system().path([]) == expected


@pytest.fixture
def roots_own() -> Iterator[Path]:
    """A directory like /usr/bin, in which only root can write."""
    require_real(os.getuid() == 0, "root")
    directory = Path(mkdtemp(prefix="claude-secrets-test-", dir="/var/lib"))
    directory.chmod(0o755)
    yield directory
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


def test_a_link_out_of_a_place_of_roots_into_a_users_directory_is_not_run(system: System, roots_own: Path) -> None:
    os.chown(system.bin, STRANGER, STRANGER)
    os.chown(system.program, STRANGER, STRANGER)
    (roots_own / "zenity").symlink_to(system.program)
    places = SYSTEM._replace(directories=[roots_own])
    assert places.path([]) == str(roots_own)
    assert places.find("zenity", []) is None
    (roots_own / "zenity").unlink()
    (roots_own / "zenity").symlink_to(system.put(roots_own / "real"))
    assert places.find("zenity", []) == str(roots_own / "zenity")


def test_nobody_opens_the_browser_by_a_place_that_a_staff_may_write(system: System) -> None:
    """Debian's /usr/local/bin is root:staff, and its group may write there."""
    system.put(system.bin / "xdg-open").write_text(f"#!/bin/sh\necho > {shlex.quote(str(system.note))}\n")
    assert open_page(URL, {"DISPLAY": ":7"}, forbidden=[], platform="linux", places=system.places())
    system.note.unlink()
    if os.getuid() == 0:
        os.chown(system.bin, 0, STRANGER)
    require_real(system.bin.stat().st_gid != 0, "a group other than root's")
    system.bin.chmod(0o2775)
    assert not open_page(URL, {"DISPLAY": ":7"}, forbidden=[], platform="linux", places=system.places())
    assert not system.note.exists()


# The whole program.


def test_a_fake_zenity_on_the_path_is_not_asked_and_the_real_one_is(tmp_path: Path, display: str) -> None:
    """With `consent: dialog` a fake program that answers yes would let every project use everything."""
    require_real(SYSTEM.find("zenity", []), "zenity in a directory of root's")
    machine = Machine(tmp_path).use_key_file()
    machine.run("set", "TOKEN", stdin="canary")
    (machine.home / ".config" / "claude-secrets").mkdir(parents=True, exist_ok=True)
    (machine.home / ".config" / "claude-secrets" / "config.yml").write_text("consent: dialog\n")
    fake = make(tmp_path / "fake")
    called = tmp_path / "called"
    for name, code in (("zenity", 64), ("kdialog", 0)):
        (fake / name).write_text(f"#!/bin/sh\necho > {shlex.quote(str(called))}\necho yes\nexit {code}\n")
        (fake / name).chmod(0o755)
    environment = {
        "PATH": f"{fake}:{machine.environment['PATH']}",
        "DISPLAY": display,
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }
    screen = Screen(display)
    with Wire(PROGRAM, machine.project("clone"), {**machine.environment, **environment}) as wire:
        wire.shake_hands(capabilities={"elicitation": {"form": {}}})
        call = {"name": "get_secret", "arguments": {"name": "TOKEN"}}
        wire.send({"jsonrpc": "2.0", "id": "q", "method": "tools/call", "params": call})
        wait_until(lambda: screen.windows("^Claude Secrets"), "the real dialog is shown", patience=PATIENCE)
        wait_until(lambda: len(set(screen.picture())) > 4, "it has been drawn", patience=PATIENCE)
        screen.press(screen.windows("^Claude Secrets")[-1], "Escape")
        while (message := wire.receive()).get("id") != "q":
            pass
        assert message["result"]["content"][0]["text"].startswith("[NOT_TRUSTED]")
    assert not called.exists()


def test_real_dialogs_work_from_the_systems_own_places(display: str) -> None:
    """Only the built-in table is used, without fake programs or settings of the tests."""
    require_real(SYSTEM.find("zenity", []), "zenity in a directory of root's")
    screen = Screen(display)
    environment = {"DISPLAY": display, "PATH": "/nowhere", "DBUS_SESSION_BUS_ADDRESS": "disabled:", "HOME": "/"}
    answers: list[DialogAnswer] = []
    cancelled = threading.Event()
    dialogs = Dialogs(environment, [], "linux")
    asking = threading.Thread(
        target=lambda: answers.append(dialogs.confirm(TITLE, "Go on?", seconds=PATIENCE, cancelled=cancelled))
    )
    asking.start()
    try:
        wait_until(lambda: screen.windows(f"^{TITLE}$"), "the dialog is shown", patience=PATIENCE)
        wait_until(lambda: len(set(screen.picture())) > 4, "it has been drawn", patience=PATIENCE)
        screen.press(screen.windows(f"^{TITLE}$")[-1], "Tab", "Return")
        asking.join(PATIENCE)
    finally:
        cancelled.set()
        asking.join(PATIENCE)
    assert answers == [DialogAnswer.YES]


# Programs that PATH names.


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory. It contains `tool.CMD` and `git.EXE`, as a repository may."""
    directory = make(tmp_path / "clone")
    for name in ("tool.CMD", "git.EXE", "git"):
        (directory / name).write_text("")
        (directory / name).chmod(0o755)
    monkeypatch.chdir(directory)
    return directory


def installed(directory: Path, *names: str) -> str:
    make(directory)
    for name in names:
        (directory / name).write_text("")
        (directory / name).chmod(0o755)
    return str(directory)


def on_windows(word: str, *path: str, endings: str = ".COM;.EXE;.BAT;.CMD") -> str | None:
    return named(word, {"PATH": os.pathsep.join(path), "PATHEXT": endings}, platform="win32")


@pytest.mark.parametrize("relative", ["", ".", "..", "../clone", "bin"])
def test_on_windows_no_program_is_taken_from_the_working_directory(clone: Path, tmp_path: Path, relative: str) -> None:
    assert on_windows("tool", relative) is None
    there = installed(tmp_path / "there", "tool.EXE")
    assert on_windows("tool", relative, there) == f"{there}/tool.EXE"
    assert named("tool", {}, platform="win32") is None


@pytest.mark.parametrize("word", ["./tool", "../clone/tool", "./tool.CMD"])
def test_on_windows_a_word_with_a_path_names_a_program_in_the_working_directory(clone: Path, word: str) -> None:
    assert on_windows(word) == str(clone / "tool.CMD")


def test_on_windows_people_find_what_their_shell_finds(clone: Path, tmp_path: Path) -> None:
    first = installed(tmp_path / "Program Files", "a.BAT", "a.EXE", "python3.12.EXE", "plain", "x.PY")
    second = installed(tmp_path / "second", "a.COM", "b.exe.EXE")
    make(tmp_path / "second" / "c.EXE")
    assert on_windows("a", first, second) == f"{first}/a.EXE"  # the order of PATHEXT counts
    assert on_windows("a.BAT", first, second) == f"{first}/a.BAT"
    assert on_windows("python3.12", second, f'"{first}"') == f"{first}/python3.12.EXE"
    assert on_windows("b.exe", first, second) == f"{second}/b.exe.EXE"
    assert on_windows("x", first, endings=".EXE;.PY") == f"{first}/x.PY"
    assert on_windows("tool", str(clone)) == str(clone / "tool.CMD")  # PATH contains the directory's absolute path
    for word in ("plain", "x", "c", "missing"):
        assert on_windows(word, first, second) is None
    assert on_windows(f"{first}/plain") == f"{first}/plain"
    assert on_windows(str(tmp_path / "second")) is None


SKIP_HERE = "NoDefaultCurrentDirectoryInExePath"


def skips(here: Path, program: str, *path: str, endings: str = ".EXE;.CMD") -> bool:
    environment = {"PATH": os.pathsep.join(path), "PATHEXT": endings, "A": "b"}
    made = programs.without_planted(program, environment, str(here), platform="win32")
    assert made in (environment, {**environment, SKIP_HERE: "1"})
    return SKIP_HERE in made


@pytest.mark.parametrize("planted", ["node.cmd", "NODE.EXE", "node.bat", "node.exe.cmd", "node.com"])
def test_on_windows_a_planted_program_does_not_replace_one_that_a_tool_starts(
    clone: Path, tmp_path: Path, planted: str
) -> None:
    tool, node = installed(tmp_path / "npm", "wrangler.CMD"), installed(tmp_path / "nodejs", "node.exe")
    (clone / planted).write_text("")
    assert skips(clone, f"{tool}/wrangler.CMD", tool, "", str(tmp_path / "missing"), f'"{node}"')
    environment = {"PATH": node, "PATHEXT": ".EXE"}
    assert programs.without_planted(f"{node}/node.exe", environment, str(clone), platform="linux") == environment


def test_on_windows_people_still_start_programs_of_the_working_directory(clone: Path, tmp_path: Path) -> None:
    there = installed(tmp_path / "there", "node.exe", "npm.cmd", "notes.txt", "build.py")
    for own in ("build.cmd", "gradlew.bat", "notes.md", "node", "node.js"):  # names that PATH has no program for
        (clone / own).write_text("")
    assert not skips(clone, f"{there}/npm.cmd", there)
    assert not skips(tmp_path / "missing", f"{there}/npm.cmd", there)
    (clone / "node.cmd").write_text("")
    assert skips(clone, f"{there}/npm.cmd", there)
    assert not skips(clone, str(clone / "build.cmd"), there)  # the clone's own program may use its other programs
    assert not skips(clone, f"{there}/npm.cmd", there, str(clone))  # PATH contains the working directory


def test_a_program_of_the_project_is_passed_over_for_one_further_on(clone: Path, tmp_path: Path) -> None:
    there = installed(tmp_path / "there", "git")
    assert programs.find("git", os.pathsep.join([str(clone), there]), [clone]) == f"{there}/git"
    assert programs.find("git", str(clone), [clone]) is None


def test_on_windows_git_is_not_a_batch_file(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for Windows: the platform is an argument of `named`."""
    first, second = installed(tmp_path / "first", "git.CMD"), installed(tmp_path / "second", "git.EXE")
    monkeypatch.setattr(programs, "named", partial(named, platform="win32"))
    assert programs.find("git", os.pathsep.join(["", str(clone), first, second]), [clone]) == f"{second}/git.EXE"

"""Registering with clients on Windows: their files there, files that cannot be changed, and the command itself.

The commands run in one process. Another process, the test's own, holds files open.
"""

import ctypes
import json
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import wintypes
from pathlib import Path

import pytest

from claude_secrets.clients import json_text
from tests.clients import layouts
from tests.support.machine import DEADLINE, Machine
from tests.support.warm_program import WarmProgram

pytest.importorskip("msvcrt", reason="this is not Windows")
assert sys.platform == "win32"

from tests.windows.test_access import is_private  # noqa: E402  it can be loaded only on Windows

BOM = "\ufeff".encode()
TOKEN = "canary-of-another-server"
FILES = {
    "claude-code": (".claude.json", layouts.CLAUDE_CODE, b""),
    "claude-desktop": (
        "AppData/Local/Packages/Claude_x/LocalCache/Roaming/Claude/claude_desktop_config.json",
        layouts.CLAUDE_DESKTOP.replace("ghp_planted", TOKEN),
        BOM,
    ),
    "codex": (".codex/config.toml", layouts.CODEX, b""),
    "gemini": (".gemini/settings.json", layouts.GEMINI, BOM),
    "cursor": (".cursor/mcp.json", layouts.CURSOR.replace("a:b@db", f"a:{TOKEN}@db"), b""),
    "vscode": ("AppData/Roaming/Code/User/mcp.json", layouts.VS_CODE, b""),
    "windsurf": (".codeium/windsurf/mcp_config.json", layouts.WINDSURF, b""),
    "zed": ("AppData/Roaming/Zed/settings.json", layouts.ZED, b""),
}
KEYS = {"vscode": "servers", "zed": "context_servers"}
SETTINGS = (
    '{\r\n  "hooks": {\r\n    "PostToolUse": [{"hooks": [{"type": "command", "command": "lint"}]}]\r\n  }\r\n}\r\n'
)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command as pip installs it, in a directory with a blank in its name."""
    scripts = pytest.importorskip("pip._vendor.distlib.scripts", reason="pip makes the command")
    directory = tmp_path_factory.mktemp("scripts") / "My Programs"
    directory.mkdir()
    maker = scripts.ScriptMaker(None, str(directory))
    maker.executable, maker.variants = sys.executable, {""}
    (made,) = maker.make("claude-secrets = claude_secrets.__main__:entry")
    return Path(made)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmProgram]:
    with WarmProgram(tmp_path_factory.mktemp("streams")) as program:
        yield program


@pytest.fixture
def machine(tmp_path: Path, launcher: Path) -> Machine:
    """A person with all clients, whose files have the line ends of Windows."""
    machine = Machine(tmp_path)
    for name, text, mark in FILES.values():
        file = machine.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(mark + text.replace("\n", "\r\n").encode())
    settings = machine.home / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_bytes(SETTINGS.encode())
    profile = machine.home / "AppData"
    machine.environment |= {"APPDATA": str(profile / "Roaming"), "LOCALAPPDATA": str(profile / "Local")}
    machine.environment["PATH"] = str(launcher.parent)
    return machine


@pytest.fixture
def run(machine: Machine, program: WarmProgram) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = program.run(*words, at=machine.home, environment=machine.environment)
        assert done.returncode == code, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done

    return run


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def tree(root: Path) -> dict[str, bytes | None]:
    """Return all files with their contents, and all directories."""
    return {str(one.relative_to(root)): one.read_bytes() if one.is_file() else None for one in root.rglob("*")}


def without_records(found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    return {name: data for name, data in found.items() if "changed-files" not in name}


def entry(machine: Machine, client: str) -> dict[str, object]:
    data = (machine.home / FILES[client][0]).read_bytes()
    if client == "codex":
        found = tomllib.loads(data.decode())["mcp_servers"]["secrets"]
    else:
        found = json_text.read(data, (KEYS.get(client, "mcpServers"), "secrets"))
    assert isinstance(found, dict)
    return found


def test_all_clients_are_registered_and_every_byte_comes_back(machine: Machine, run: Run, launcher: Path) -> None:
    before = tree(machine.home)
    done = run("install", "--all", "--hooks", "--yes")
    assert r"Codex: added (~\.codex\config.toml)" in done.stdout
    project = machine.home / "Claude"
    for client, (name, _, mark) in FILES.items():
        found, data = entry(machine, client), (machine.home / name).read_bytes()
        assert found["command"] == str(launcher)
        needs_project = client in {"claude-desktop", "windsurf"}
        assert found["args"] == (["--project", str(project)] if needs_project else [])
        assert data.startswith(mark + b"{" if mark else data[:1])
        assert data.count(b"\n") == data.count(b"\r\n")
    assert (project / ".claude" / "secrets.yml").is_file()
    hooks = json.loads((machine.home / ".claude" / "settings.json").read_bytes())["hooks"]
    command = f'"{launcher.as_posix()}" hook session-start'
    assert hooks["SessionStart"] == [{"hooks": [{"type": "command", "command": command}]}]
    records = [*(machine.own_files / "changed-files").iterdir()]
    assert len(records) == 2 * len([*FILES, "hooks"]) + 1  # the allowlist has no copy
    assert all(map(is_private, records))
    after = tree(machine.home)
    again = run("install", "--all", "--hooks", "--yes")
    assert again.stdout.count("unchanged") == len([*FILES, "hooks"])
    assert tree(machine.home) == after
    run("uninstall", "--all")
    assert without_records(tree(machine.home)) == before
    assert not (machine.own_files / "changed-files").exists()


def test_an_undo_finds_its_copies_whatever_the_case_of_the_path(machine: Machine, run: Run) -> None:
    before = tree(machine.home)
    run("install", "vscode", "claude-code", "--hooks")
    assert b"hook session-start" in (machine.home / ".claude" / "settings.json").read_bytes()
    machine.environment["APPDATA"] = machine.environment["APPDATA"].upper()
    run("uninstall", "--undo")
    assert without_records(tree(machine.home)) == before


def test_a_dry_run_changes_nothing(machine: Machine, run: Run, launcher: Path) -> None:
    before = tree(machine.home)
    done = run("install", "--all", "--hooks", "--dry-run")
    assert done.stdout.count("would be added") == len([*FILES, "hooks"])
    assert json.dumps(str(launcher)) in done.stdout
    assert tree(machine.home) == before


def test_the_desktop_version_without_a_package_has_its_file_in_appdata(machine: Machine, run: Run) -> None:
    (machine.home / "AppData" / "Local" / "Packages").rename(machine.home / "AppData" / "Local" / "Old")
    project = str(machine.home / "My Work")
    run("install", "claude-desktop", "--project", project)
    file = machine.home / "AppData" / "Roaming" / "Claude" / "claude_desktop_config.json"
    assert json.loads(file.read_bytes())["mcpServers"]["secrets"]["args"] == ["--project", project]
    run("uninstall", "--undo")
    assert not file.parent.exists()
    assert not Path(project).exists()


def test_a_read_only_file_stays(machine: Machine, run: Run) -> None:
    file = machine.home / FILES["cursor"][0]
    file.chmod(stat.S_IREAD)
    before = file.read_bytes()
    done = run("install", "cursor", "zed", code=1)
    assert "The file is read-only" in done.stderr
    assert file.read_bytes() == before
    assert "Zed: added" in done.stdout
    file.chmod(stat.S_IWRITE)


@contextmanager
def held_open(path: Path, *, others_may_read: bool) -> Iterator[None]:
    """Open a file as a program that lets no other program replace it, and perhaps none read it."""
    create = ctypes.windll.kernel32.CreateFileW
    create.restype = wintypes.HANDLE
    handle = create(str(path), 0x80000000, int(others_may_read), None, 3, 0x80, None)
    assert handle != ctypes.c_void_p(-1).value
    try:
        yield
    finally:
        ctypes.windll.kernel32.CloseHandle(wintypes.HANDLE(handle))


@pytest.mark.parametrize("others_may_read", [True, False])
def test_a_file_that_another_program_has_open_stays(machine: Machine, run: Run, others_may_read: bool) -> None:
    file, before = machine.home / FILES["cursor"][0], tree(machine.home)
    with held_open(file, others_may_read=others_may_read):
        done = run("install", "cursor", code=1)
    assert "Cursor: [INVALID_ARGUMENTS]" in done.stderr
    assert "Another program may have the file open" in done.stderr
    found = tree(machine.home)
    assert not [name for name in found if "changed-files\\" in name]
    assert {name: data for name, data in found.items() if not name.endswith("changed-files")} == before
    run("install", "cursor")


@pytest.mark.parametrize("others_may_read", [True, False])
def test_an_undo_of_a_file_that_is_open_can_be_repeated(machine: Machine, run: Run, others_may_read: bool) -> None:
    file, before = machine.home / FILES["cursor"][0], tree(machine.home)
    run("install", "cursor")
    after = tree(machine.home)
    with held_open(file, others_may_read=others_may_read):
        done = run("uninstall", "--undo", "cursor", code=1)
    assert "Another program may have the file open" in done.stderr
    assert tree(machine.home) == after
    run("uninstall", "--undo", "cursor")
    assert without_records(tree(machine.home)) == before


def test_the_command_registers_itself_and_no_program_of_the_working_directory(
    machine: Machine, run: Run, launcher: Path
) -> None:
    """The launcher leaves `.exe` out of `argv[0]`. Windows' own search begins in the working directory."""
    (machine.home / "claude-secrets.exe").write_bytes(b"MZ")
    done = subprocess.run(
        [launcher, "install", "cursor", "--dry-run"],
        capture_output=True,
        encoding="utf-8",
        cwd=machine.home,
        env={**machine.environment, "PATH": ""},
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.dumps(str(launcher)) in done.stdout
    assert json.dumps(str(launcher)) in run("install", "cursor", "--dry-run").stdout

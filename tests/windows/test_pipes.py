"""The program's pipes on Windows: text and values are UTF-8 in both directions, whatever the code page is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from claude_secrets.cli.asking import first_line
from claude_secrets.errors import CallerError, Code, DeniedError
from claude_secrets.policy.allowlist import read_allowlist_file

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="these are pipes of Windows")

VALUE = "schlüssel 🔑\r\nsecond line «…»"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with its own home and key file, and a name that no ANSI code page can spell. There is no store yet."""
    project = tmp_path / "pröject 🔑 …"
    (project / ".claude").mkdir(parents=True)
    (project / ".claude" / "secrets.yml").write_bytes(b"allow: [T]\n")
    (tmp_path / "home").mkdir()
    return project


def run(project: Path, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    home = project.parent / "home"
    own = {name: str(home) for name in ("USERPROFILE", "LOCALAPPDATA", "APPDATA")}
    environment = {**os.environ, **own, "CLAUDE_SECRETS_KEY_FILE": str(project.parent / "key")}
    command = [sys.executable, "-P", "-m", "claude_secrets", "--store", str(home / "secrets.db"), *words]
    return subprocess.run(
        command, check=False, input=given, capture_output=True, cwd=project, env=environment, timeout=200
    )


def test_a_value_goes_through_pipes_byte_for_byte(project: Path) -> None:
    run(project, "init", "--key-file", str(project.parent / "key"))
    stored = run(project, "set", "T", "--exact", given=VALUE.encode())
    assert (stored.returncode, stored.stderr) == (0, b"")
    shown = run(project, "get", "T")
    assert (shown.returncode, shown.stdout) == (0, VALUE.encode())


def test_output_and_errors_are_utf8(project: Path) -> None:
    name = project.name.encode()
    listed, refused = run(project, "projects"), run(project, "--project", f"{project}-…", "list")
    checked = run(project, "doctor")
    assert name in checked.stdout
    for done in (listed, refused, checked):
        (done.stdout + done.stderr).decode("utf-8")
    assert "…" in (refused.stderr + checked.stdout).decode("utf-8")


def test_input_that_is_not_utf8_is_refused(project: Path) -> None:
    refused = run(project, "set", "T", given="schlüssel".encode("cp1252"))
    assert (refused.returncode, b"not UTF-8" in refused.stderr) == (2, True)


def test_a_passphrase_in_a_descriptor_that_windows_does_not_pass_is_refused_with_the_reason() -> None:
    for descriptor, is_explained in ((99, True), (-1, False)):
        with pytest.raises(CallerError) as refused:
            first_line(descriptor, "passphrase")
        assert refused.value.code is Code.INVALID_ARGUMENTS
        assert ("only standard input" in (refused.value.hint or "")) is is_explained


def test_a_git_file_that_is_not_text_is_no_link(project: Path) -> None:
    (project / ".git").write_bytes(b"gitdir: \xff\xfe")
    checked = run(project, "doctor")
    assert b"INTERNAL" not in checked.stdout + checked.stderr
    assert project.name.encode() in checked.stdout


def test_a_claude_directory_that_is_a_file_is_an_invalid_allowlist(project: Path) -> None:
    (project / ".claude" / "secrets.yml").unlink()
    (project / ".claude").rmdir()
    (project / ".claude").touch()
    with pytest.raises(DeniedError) as refused:
        read_allowlist_file(project)
    assert refused.value.code is Code.ALLOWLIST_INVALID


def test_a_claude_directory_that_is_a_junction_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_allowlist_file(project).data == b"allow: [T]\n"
    # A stand-in for a junction, because not every file system has them.
    monkeypatch.setattr("claude_secrets.policy.allowlist.is_link_status", lambda _status: True)
    with pytest.raises(DeniedError) as refused:
        read_allowlist_file(project)
    assert refused.value.code is Code.ALLOWLIST_INVALID

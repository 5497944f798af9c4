"""Replacing a project's allowlist: what the new file keeps of the old file, and when replacing is refused."""

import os
import stat
from pathlib import Path

import pytest

from claude_secrets.errors import Code, DeniedError
from claude_secrets.policy import allowlist_file

OLD, NEW = b"allow: [A]\n", b"allow: [A, B]\n"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and owners of files are POSIX's")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ".claude" / "secrets.yml"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755, 0o4755, 0o2644, 0o1644], ids=oct)
def test_the_permissions_stay_and_nothing_else_of_the_mode(file: Path, tmp_path: Path, mode: int) -> None:
    file.chmod(mode)
    allowlist_file.replace(tmp_path, OLD, NEW)
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (NEW, mode & 0o777)


def test_a_file_that_came_meanwhile_lends_neither_mode_nor_owner(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"")
    other.chmod(0o777)
    monkeypatch.setattr(Path, "stat", lambda *_args, **_options: os.stat(other))  # noqa: PTH116  as below
    file.chmod(0o600)
    allowlist_file.replace(tmp_path, OLD, NEW)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600  # noqa: PTH116  Path.stat is replaced here


def test_a_link_and_another_content_are_left_alone(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DeniedError) as changed:
        allowlist_file.replace(tmp_path, b"other", NEW)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeniedError) as linked:
        allowlist_file.replace(tmp_path, OLD, NEW)
    assert {changed.value.code, linked.value.code} == {Code.ALLOWLIST_INVALID}
    assert (tmp_path / "elsewhere").read_bytes() == OLD
    assert [path.name for path in file.parent.iterdir()] == ["secrets.yml"]

"""Tell links from other entries. Windows' entries are stand-ins: statuses with the tags that Windows gives them."""

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from claude_secrets import links
from claude_secrets.small_file import LinkRefusedError, read_file

# The tags are documented at https://learn.microsoft.com/openspecs/windows_protocols/ms-fscc
LINKS = {"a junction": 0xA0000003, "a symbolic link": 0xA000000C, "a link of WSL": 0xA000001D}
NO_LINKS = {
    "no tag": 0,
    "a file or directory in OneDrive": 0x9000701A,
    "a deduplicated file": 0x80000013,
    "a program of the Microsoft Store": 0x8000001B,
    "a compressed system file": 0x80000017,
}


def status(tag: int, mode: int = stat.S_IFDIR) -> os.stat_result:
    return cast("os.stat_result", SimpleNamespace(st_mode=mode, st_reparse_tag=tag, st_file_attributes=0x400))


@pytest.mark.parametrize("kind", LINKS)
def test_what_stands_for_another_path_is_a_link(kind: str) -> None:
    assert links.is_link_status(status(LINKS[kind]))


@pytest.mark.parametrize("kind", NO_LINKS)
@pytest.mark.parametrize("mode", [stat.S_IFDIR, stat.S_IFREG])
def test_files_that_windows_marks_for_other_reasons_are_no_links(kind: str, mode: int) -> None:
    assert not links.is_link_status(status(NO_LINKS[kind], mode))


def test_the_links_of_a_file_system_are_told_from_the_rest(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    found = {"file": False, "directory": False}
    if os.name == "posix":
        (tmp_path / "link").symlink_to("file")
        (tmp_path / "broken").symlink_to("nothing")
        found |= {"link": True, "broken": True}
    assert {name: links.is_link(tmp_path / name) for name in found} == found
    assert {entry.name: links.is_link_entry(entry) for entry in os.scandir(tmp_path)} == found
    assert not links.is_link(tmp_path / "nothing")
    assert not links.is_link("a\0b")


def test_a_file_is_not_read_through_a_link_where_the_system_cannot_refuse_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"text")
    monkeypatch.setattr("claude_secrets.small_file._NOFOLLOW", 0)
    assert read_file(tmp_path / "file", limit=9).data == b"text"
    before = os.lstat
    tagged: Any = lambda path, **_: status(LINKS["a symbolic link"], before(path).st_mode)  # noqa: E731
    monkeypatch.setattr("claude_secrets.links.os.lstat", tagged)
    with pytest.raises(LinkRefusedError):
        read_file(tmp_path / "file", limit=9)

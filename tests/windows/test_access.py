"""Key files and other private files on Windows have their own access list from the moment at which they exist.

Wine stores access lists as modes, so it only distinguishes the owner's access from everyone's.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_secrets.access_list import EVERYONE, Access, others, parsed
from claude_secrets.atomic_file import write_new
from claude_secrets.errors import Code, CustodyError
from claude_secrets.keys import key_file
from claude_secrets.keys.key_file import HeldKey
from claude_secrets.small_file import read_file, replace_file
from tests.support.sddl import descriptor
from tests.test_access_list import PRIVATE, SHARED

pytest.importorskip("msvcrt", reason="these are access lists of Windows")
assert sys.platform == "win32"

from claude_secrets import windows_access  # noqa: E402  it can be loaded only on Windows

KEY = b"a-canary-that-is-not-a-key"
LIST = 4  # DACL_SECURITY_INFORMATION


def from_windows(text: str) -> bytes:
    """Return the descriptor that Windows makes from a text."""
    address, size = ctypes.c_void_p(), ctypes.c_ulong()
    made = ctypes.windll.advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW
    assert made(text, 1, ctypes.byref(address), ctypes.byref(size)), ctypes.WinError()
    try:
        return ctypes.string_at(address.value or 0, size.value)
    finally:
        ctypes.windll.kernel32.LocalFree(address)


def set_list(path: Path, text: str) -> None:
    assert ctypes.windll.advapi32.SetFileSecurityW(str(path), LIST, from_windows(text)), ctypes.WinError()


def access_of(path: Path) -> Access:
    opened = os.open(path, os.O_RDONLY)
    try:
        return windows_access.access_of(opened)
    finally:
        os.close(opened)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory in which everyone can read a new file."""
    set_list(tmp_path, "D:P(A;OICI;FA;;;WD)")
    (tmp_path / "plain").touch()
    assert others(access_of(tmp_path / "plain"), windows_access.person()) == [EVERYONE]
    (tmp_path / "plain").unlink()
    yield tmp_path
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def is_private(path: Path) -> bool:
    return others(access_of(path), windows_access.person()) == []


def test_only_the_person_can_read_a_new_file(directory: Path) -> None:
    assert write_new(directory / "copy", b"text")
    assert ((directory / "copy").read_bytes(), is_private(directory / "copy")) == (b"text", True)
    assert not write_new(directory / "copy", b"other text")


def test_a_file_server_that_refuses_the_list_still_gets_backups_but_no_key(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> int:
        """Stand in for a file server that does not know the person's account."""
        raise PermissionError

    monkeypatch.setattr("claude_secrets.atomic_file.create_private", refuse)
    assert write_new(directory / "backup", b"text")
    assert not write_new(directory / "backup", b"other text")
    with pytest.raises(CustodyError) as unmade:
        key_file.write(directory / "my.key", KEY)
    assert (unmade.value.code, [file.name for file in directory.iterdir()]) == (Code.KEY_MISSING, ["backup"])


def test_a_key_file_stays_private_when_it_is_replaced(directory: Path) -> None:
    path = directory / "my.key"
    key_file.write(path, KEY)
    assert is_private(path)
    key_file.replace(path, [HeldKey(KEY), HeldKey(b"new", "store")], "store")
    assert (is_private(path), len(key_file.read_keys(path))) == (True, 2)


def test_a_file_that_is_not_a_key_keeps_the_list_of_its_directory(directory: Path) -> None:
    (directory / ".env").write_bytes(b"A=1")
    replace_file(directory / ".env", b"A=2", read_file(directory / ".env", limit=9).status, owner_must_stay=True)
    assert others(access_of(directory / ".env"), windows_access.person()) == [EVERYONE]
    (directory / ".env").unlink()


def test_a_key_file_that_everyone_can_read_is_refused(directory: Path) -> None:
    path = directory / "my key"
    key_file.write(path, KEY)
    set_list(path, "D:P(A;;FA;;;WD)")
    with pytest.raises(CustodyError) as refused:
        key_file.read_keys(path)
    assert (refused.value.code, refused.value.message) == (Code.KEY_WRONG, "Others can read or change the key file.")
    assert f'icacls "{path}" /inheritance:r /grant:r *{windows_access.person()}:F' in str(refused.value.hint)


def test_nothing_is_read_if_windows_does_not_tell_who_can_read_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = directory / "my.key"
    key_file.write(path, KEY)

    def fail(_opened: int) -> Access:
        raise OSError

    monkeypatch.setattr(windows_access, "access_of", fail)  # a stand-in for a network drive without access lists
    for act in (lambda: key_file.read_keys(path), lambda: key_file.replace(path, [HeldKey(b"new")], "store")):
        with pytest.raises(CustodyError) as refused:
            act()
        assert refused.value.message == "Windows does not say who can read the key file."
    with pytest.raises(CustodyError) as unmade:
        key_file.write(directory / "new.key", KEY)
    assert "NTFS" in str(unmade.value.hint)
    assert [file.name for file in directory.iterdir()] == ["my.key"]


@pytest.mark.parametrize("text", [text for text, *_ in (*PRIVATE.values(), *SHARED.values())])
def test_windows_makes_the_same_descriptor_from_a_text(text: str) -> None:
    if any(mark in text for mark in ("(OA", "(OD", "(XA", "(XD")):
        pytest.skip("these entries need a class of objects or a real condition")
    if "NO_ACCESS_CONTROL" in text:
        pytest.skip("Wine does not know this word")
    assert parsed(from_windows(text)) == parsed(descriptor(text))

"""Key files: nothing is written before the file is private, and who may read a key file on Windows."""

import os
import stat
import sys
from pathlib import Path

import pytest

from claude_secrets.access_list import parsed
from claude_secrets.atomic_file import write_new
from claude_secrets.errors import Code, CustodyError
from claude_secrets.keys.key_file import HeldKey, read_keys, refuse_access, replace, write
from claude_secrets.small_file import read_file, replace_file
from tests.support.sddl import PERSON, descriptor

KEY = b"a-canary-that-is-not-a-key"
PATH = Path(r"C:\Users\Jo Doe\my.key")
RESET = rf'First run: icacls "{PATH}" /reset Then run: icacls "{PATH}" /inheritance:r /grant:r *{PERSON}:F'

not_on_windows = pytest.mark.skipif(sys.platform == "win32", reason="Windows has only drafts")


class RefusedError(Exception):
    """The check's refusal."""


class Check:
    """A check that refuses every file, and remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, opened: int) -> None:
        status = os.fstat(opened)
        self.seen.append((status.st_size, stat.S_IMODE(status.st_mode)))
        raise RefusedError


@pytest.mark.parametrize(
    "nameless", [True, pytest.param(False, marks=not_on_windows)], ids=["without a name", "with a draft"]
)
def test_a_new_file_is_private_and_empty_when_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:
        monkeypatch.setattr("claude_secrets.atomic_file.sys.platform", "darwin")
    check = Check()
    with pytest.raises(RefusedError):
        write_new(tmp_path / "new", KEY, check_private=check)
    assert check.seen == [(0, 0o666 if sys.platform == "win32" else 0o600)]
    assert list(tmp_path.iterdir()) == []


def test_a_replaced_file_is_private_and_empty_when_it_is_checked(tmp_path: Path) -> None:
    path, check = tmp_path / "old", Check()
    assert write_new(path, KEY)
    with pytest.raises(RefusedError):
        replace_file(path, b"new", read_file(path, limit=9).status, owner_must_stay=False, check_private=check)
    assert check.seen == [(0, 0o666 if sys.platform == "win32" else 0o600)]
    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == [(path, KEY)]


def test_a_key_is_not_written_into_a_file_that_others_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my.key"
    write(path, KEY)
    before = path.read_bytes()
    check = Check()

    def refuse(_path: Path, opened: int) -> None:
        """Stand in for a file system that does not store who can read a file."""
        with pytest.raises(RefusedError):
            check(opened)
        raise CustodyError(Code.KEY_WRONG, "Others can read the key file.")

    monkeypatch.setattr("claude_secrets.keys.key_file._check_private", refuse)
    with pytest.raises(CustodyError) as unmade:
        write(tmp_path / "new.key", KEY)
    assert unmade.value.message == "The key file cannot be created at this path."
    assert check.seen[0][0] == 0
    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == [(path, before)]


def test_a_key_file_is_replaced_only_by_a_private_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my.key"
    write(path, KEY)
    inode = path.stat().st_ino

    def refuse_new(_path: Path, opened: int) -> None:
        if os.fstat(opened).st_ino != inode:
            assert os.fstat(opened).st_size == 0
            raise CustodyError(Code.KEY_WRONG, "Others can read the key file.")

    monkeypatch.setattr("claude_secrets.keys.key_file._check_private", refuse_new)
    with pytest.raises(CustodyError) as unreplaced:
        replace(path, [HeldKey(b"new")], "store")
    assert "others could read the new file" in unreplaced.value.message
    assert read_keys(path) == [HeldKey(KEY)]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            f"O:{PERSON}D:(A;;FA;;;{PERSON})(A;ID;FR;;;BU)",
            "Others can read or change the key file.",
            f"Make it readable only by you. {RESET}",
        ),
        (
            f"O:S-1-5-21-1-2-3-1001D:(A;;FA;;;{PERSON})(A;;FR;;;WD)",
            "The key file belongs to another user.",
            rf'Make yourself its owner: takeown /f "{PATH}"',
        ),
        (
            "O:WDD:NO_ACCESS_CONTROL",
            "The key file has no access list, so everyone can read it.",
            (
                "If the key file is on a drive with FAT or exFAT, move it to a drive with NTFS, and set "
                f"CLAUDE_SECRETS_KEY_FILE to its new path. Otherwise, make it readable only by you. {RESET}"
            ),
        ),
    ],
    ids=["others", "a foreign owner", "no list"],
)
def test_on_windows_the_hint_says_how_to_make_the_key_file_private(text: str, message: str, hint: str) -> None:
    with pytest.raises(CustodyError) as refused:
        refuse_access(PATH, parsed(descriptor(text)), PERSON)
    assert (refused.value.code, refused.value.message, refused.value.hint) == (Code.KEY_WRONG, message, hint)


def test_on_windows_a_key_file_of_the_persons_own_is_accepted() -> None:
    refuse_access(PATH, parsed(descriptor(f"O:{PERSON}D:(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;{PERSON})")), PERSON)

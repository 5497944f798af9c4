"""Test the owners of the person's own files: files that other users control are refused, usual files are accepted."""

import errno
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from claude_secrets.errors import Code, DeniedError
from claude_secrets.policy import ownership
from claude_secrets.policy.ownership import exposed, no_link_check, read_own
from tests.support.posix import skip_without
from tests.support.requirements import require_real

skip_without("POSIX owners and modes (access lists decide there)")
assert sys.platform != "win32"

ME = 1000
User = tuple[int, str, int]
Group = tuple[int, str, list[str]]
Databases = Callable[[list[User], list[Group]], None]
Case = tuple[int, int, int, list[User], list[Group]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_bytes(b"trust: ask")
    path.chmod(0o600)
    return path


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[Databases]:
    """Set the users and groups of the machine: users as (uid, name, gid), groups as (gid, name, members)."""

    def set_up(users: list[User], groups: list[Group]) -> None:
        import grp
        import pwd

        known = {uid: SimpleNamespace(pw_name=name, pw_gid=gid) for uid, name, gid in users}
        groups_known = {gid: SimpleNamespace(gr_name=name, gr_mem=members) for gid, name, members in groups}
        monkeypatch.setattr(pwd, "getpwuid", known.__getitem__)
        monkeypatch.setattr(grp, "getgrgid", groups_known.__getitem__)
        monkeypatch.setattr(os, "geteuid", lambda: ME)
        ownership._is_private.cache_clear()

    yield set_up
    monkeypatch.undo()
    ownership._is_private.cache_clear()


ALICE = (ME, "alice", ME)
ROOT = (0, "root", 0)
OWN: Group = (ME, "alice", [])
ROOTS: Group = (0, "root", [])
USERS: Group = (100, "users", [])

# Usual cases, which must be accepted: the file's mode, owner and group, and the machine's users and groups.
PEOPLE: dict[str, Case] = {
    "a usual one": (0o644, ME, ME, [ALICE, ROOT], [OWN, ROOTS]),
    "umask 002 and a group of one's own": (0o664, ME, ME, [ALICE, ROOT], [OWN, ROOTS]),
    "the same, and listed in one's own group": (0o664, ME, ME, [ALICE], [(ME, "alice", ["alice"])]),
    "files that root manages": (0o644, 0, 0, [ALICE, ROOT], [OWN, ROOTS]),
    "files that root manages with umask 002": (0o664, 0, 0, [ALICE, ROOT], [OWN, ROOTS]),
    "files of root's in one's own group": (0o664, 0, ME, [ALICE, ROOT], [OWN, ROOTS]),
    "a group for all, which only reads": (0o644, ME, 100, [(ME, "alice", 100)], [USERS]),
    "a container's user without an entry": (0o644, ME, 0, [ROOT], [ROOTS]),
    "the same with umask 002": (0o664, ME, ME, [ROOT], [ROOTS]),
}
OTHERS: dict[str, Case] = {
    "everybody writes": (0o666, ME, ME, [ALICE], [OWN]),
    "everybody writes what root manages": (0o646, 0, 0, [ALICE, ROOT], [ROOTS]),
    "a group for all writes": (0o664, ME, 100, [(ME, "alice", 100)], [USERS]),
    "a second user in one's own group": (0o664, ME, ME, [ALICE], [(ME, "alice", ["alice", "bob"])]),
    "a group of another name that is one's first": (0o664, ME, 500, [(ME, "alice", 500)], [(500, "staff", [])]),
    "a group that is not one's first": (0o664, ME, 500, [ALICE], [(500, "alice", [])]),
    "a group without an entry": (0o664, ME, 500, [], []),
    "another user": (0o600, 1001, ME, [ALICE], [OWN]),
    "a network file system without a mapping": (0o600, 65534, 65534, [ALICE], [OWN]),
}


def read_as(config: Path, monkeypatch: pytest.MonkeyPatch, mode: int, uid: int, gid: int) -> bytes | None:
    """Read a file with that mode, owner and group."""
    true = os.fstat

    def told(descriptor: int) -> os.stat_result:
        status = true(descriptor)
        return os.stat_result((status.st_mode & ~0o777 | mode, *status[1:4], uid, gid, *status[6:10]))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", told)
        return read_own(config, no_link_check)


@pytest.mark.parametrize("who", PEOPLE)
def test_people_do_not_notice(config: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    mode, uid, gid, users, groups = PEOPLE[who]
    databases(users, groups)
    assert read_as(config, monkeypatch, mode, uid, gid) == b"trust: ask"


@pytest.mark.parametrize("who", OTHERS)
def test_a_file_that_others_write_or_own_is_refused_with_the_command_that_mends_it(
    config: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    mode, uid, gid, users, groups = OTHERS[who]
    databases(users, groups)
    with pytest.raises(DeniedError) as caught:
        read_as(config, monkeypatch, mode, uid, gid)
    assert caught.value.code is Code.ALLOWLIST_INVALID
    assert "Your config.yml belongs" in caught.value.message or "write your config.yml" in caught.value.message
    command = f"chmod go-w {config}" if uid in (0, ME) else f"sudo chown {ME} {config}"
    assert str(caught.value.hint).endswith(f": {command}")
    assert ("an unknown user" in caught.value.message) == (uid == 65534)


def test_the_command_mends_it(config: Path) -> None:
    import subprocess

    odd = config.with_name("a b'c.yml")
    config.rename(odd)
    odd.chmod(0o666)
    with pytest.raises(DeniedError) as caught:
        read_own(odd, no_link_check)
    subprocess.run(["sh", "-c", str(caught.value.hint).partition(": ")[2]], check=True)
    assert read_own(odd, no_link_check) == b"trust: ask"


def test_a_file_that_was_given_away_is_refused(config: Path) -> None:
    require_real(os.geteuid() == 0, "root, who can give files away")
    os.chown(config, 4242, -1)
    with pytest.raises(DeniedError):
        read_own(config, no_link_check)


def test_an_access_list_that_lets_another_user_write_is_found(config: Path) -> None:
    def entry(tag: int, rights: int, number: int = 0xFFFFFFFF) -> bytes:
        return struct.pack("<HHI", tag, rights, number)

    def grant(tag: int, rights: int) -> None:
        entries = sorted((entry(1, 6), entry(tag, rights, 4242), entry(4, 6), entry(0x10, 6), entry(0x20, 0)))
        if sys.platform == "linux":
            os.setxattr(config, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(entries))
        else:
            raise OSError(errno.ENOTSUP, "these access lists are Linux's")

    os.chown(config, -1, os.getegid())
    try:
        grant(2, 4)
    except OSError:
        require_real(condition=False, name="a file system with access lists")
    require_real(not exposed(config), "a private group of one's own")
    assert read_own(config, no_link_check) == b"trust: ask"
    for tag in (2, 8):
        grant(tag, 6)
        with pytest.raises(DeniedError) as caught:
            read_own(config, no_link_check)
        assert "chmod go-w" in str(caught.value.hint)
    config.chmod(0o644)  # the mode also limits the entries of the access list
    assert read_own(config, no_link_check) == b"trust: ask"


def test_only_a_link_is_held_against_the_project(config: Path) -> None:
    asked: list[Path] = []
    assert read_own(config, asked.append) == b"trust: ask"
    assert asked == []
    link = config.with_name("policy.yml")
    link.symlink_to(config)
    assert read_own(link, asked.append) == b"trust: ask"
    assert asked == [link]

    def refuse(_: Path) -> None:
        raise DeniedError(Code.ALLOWLIST_INVALID, "inside")

    with pytest.raises(DeniedError) as caught:
        read_own(link, refuse)
    assert "policy.yml is a link that leads through the project" in caught.value.message
    assert f"mv {link}.new {link}" in str(caught.value.hint)


def test_a_directory_that_others_write_is_exposed_unless_it_is_sticky(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    for mode, is_exposed in ((0o700, False), (0o755, False), (0o777, True), (0o1777, False), (0o757, True)):
        directory.chmod(mode)
        assert (exposed(directory) is not None) is is_exposed, oct(mode)
    assert exposed(tmp_path / "not there") is None

"""Find out from a Windows security descriptor which other accounts may read or change a file.

The format is the one of [MS-DTYP], sections 2.4.2 to 2.4.6,
https://learn.microsoft.com/openspecs/windows_protocols/ms-dtyp/. The well-known accounts are listed in
https://learn.microsoft.com/windows/win32/secauthz/well-known-sids.

Always: this module does no input or output. An entry that it does not know counts as access for others.
"""

import struct
from typing import Final, NamedTuple

EVERYONE: Final = "S-1-1-0"
SYSTEM: Final = "S-1-5-18"
ADMINISTRATORS: Final = "S-1-5-32-544"

_ADMINISTRATIVE: Final = frozenset((SYSTEM, ADMINISTRATORS))
"""Accounts that can read every file of the machine, whatever its access list says."""

_HARMLESS: Final = frozenset(("S-1-3-0", "S-1-3-1", "S-1-3-4"))
"""CREATOR OWNER and CREATOR GROUP, which no process has, and OWNER RIGHTS, because the owner is checked separately."""

_PACKAGES: Final = ("S-1-15-2-", "S-1-15-3-")
"""Packaged apps. Such an app can read a file only if the list also lets the app's account read it. See
https://learn.microsoft.com/windows/win32/secauthz/implementing-an-appcontainer"""

_DOMAIN_ADMINISTRATORS: Final = ("512", "519")
"""The last numbers of Domain Admins and Enterprise Admins, who are administrators of every machine in the domain."""

_ALLOWED: Final = (0x00, 0x09)  # ACCESS_ALLOWED_ACE_TYPE, and the same with a condition
_DENIED: Final = 0x01
_ALSO_DENIED: Final = (0x06, 0x0A, 0x0C)  # the other kinds of entries that deny
_INHERIT_ONLY: Final = 0x08  # such an entry of a directory applies only to what is made in it

_HAS_LIST: Final = 0x0004  # SE_DACL_PRESENT

_READ_OR_CHANGE: Final = (
    0x00000001  # FILE_READ_DATA
    | 0x00000002  # FILE_WRITE_DATA
    | 0x00000004  # FILE_APPEND_DATA
    | 0x00040000  # WRITE_DAC: its holder can grant itself the other rights
    | 0x00080000  # WRITE_OWNER: its holder can become the owner, and then do the same
    | 0x10000000  # GENERIC_ALL
    | 0x40000000  # GENERIC_WRITE
    | 0x80000000  # GENERIC_READ
)


class Entry(NamedTuple):
    """An entry of an access list. `account` is a security identifier, or empty if the kind of entry is unknown."""

    kind: int
    flags: int
    rights: int
    account: str


class Access(NamedTuple):
    """The owner of a file and the entries of its access list. Without a list (None), everyone may do everything."""

    owner: str
    entries: tuple[Entry, ...] | None


def parsed(descriptor: bytes) -> Access:
    """Return the owner and the list in a self-relative security descriptor. Without an owner, `owner` is empty.

    Raises:
        ValueError: the descriptor is malformed.
    """
    try:
        _, _, control, owner, _, _, entries = struct.unpack_from("<BBHIIII", descriptor)
        return Access(
            _account(descriptor, owner) if owner else "",
            _entries(descriptor, entries) if control & _HAS_LIST and entries else None,
        )
    except (struct.error, IndexError):
        raise ValueError("malformed security descriptor") from None


def belongs_to(access: Access, person: str) -> bool:
    """Return whether the file's owner is the person or an administrator. An owner can always change the list."""
    return access.owner == person or _is_administrative(access.owner, person)


def others(access: Access, person: str) -> list[str]:
    """Return the accounts other than the person and administrators that may read or change the file.

    `person` is the person's security identifier. An entry of an unknown kind is returned as an empty string. A group is
    returned even if the person is its only member.
    """
    if access.entries is None:
        return [EVERYONE]
    found = list[str]()
    denied = dict[str, int]()
    for entry in access.entries:
        if entry.flags & _INHERIT_ONLY or entry.kind in _ALSO_DENIED:
            continue
        before = denied.get(entry.account, 0)
        if entry.kind == _DENIED:
            denied[entry.account] = before | entry.rights  # it has no effect on rights that an earlier entry allowed
        elif entry.kind not in _ALLOWED:
            found.append("")
        elif entry.rights & ~before & _READ_OR_CHANGE and not _may_read(entry.account, person):
            found.append(entry.account)
    return found


def _may_read(account: str, person: str) -> bool:
    return (
        account == person
        or account in _HARMLESS
        or account.startswith(_PACKAGES)
        or _is_administrative(account, person)
    )


def _is_administrative(account: str, person: str) -> bool:
    domain, _, number = account.rpartition("-")
    in_own_domain = domain.startswith("S-1-5-21-") and domain == person.rpartition("-")[0]
    return account in _ADMINISTRATIVE or (in_own_domain and number in _DOMAIN_ADMINISTRATORS)


def _entries(descriptor: bytes, start: int) -> tuple[Entry, ...]:
    _, _, size, count, _ = struct.unpack_from("<BBHHH", descriptor, start)
    end, place = start + size, start + 8
    found = list[Entry]()
    for _ in range(count):
        kind, flags, length, rights = struct.unpack_from("<BBHI", descriptor, place)
        if length < 8 or place + length > min(end, len(descriptor)):
            raise IndexError
        known = kind in (*_ALLOWED, _DENIED)
        found.append(Entry(kind, flags, rights, _account(descriptor[: place + length], place + 8) if known else ""))
        place += length
    return tuple(found)


def _account(descriptor: bytes, start: int) -> str:
    revision, count = struct.unpack_from("<BB", descriptor, start)
    if revision != 1:
        raise IndexError
    authority = int.from_bytes(descriptor[start + 2 : start + 8], "big")
    numbers = struct.unpack_from(f"<{count}I", descriptor, start + 8)
    return "-".join(str(part) for part in ("S", revision, authority, *numbers))

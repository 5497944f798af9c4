"""Make security descriptors of Windows from their text form (SDDL), independently of the code that reads them.

https://learn.microsoft.com/windows/win32/secauthz/security-descriptor-string-format defines the text.
"""

import re
import struct

PERSON = "S-1-5-21-1004336348-1177238915-682003330-1001"
"""The person's account in these tests."""

DOMAIN = "S-1-5-21-397955417-626881126-188441444"
"""A domain in these tests."""

_ACCOUNTS = {
    "AN": "S-1-5-7",
    "AU": "S-1-5-11",
    "BA": "S-1-5-32-544",
    "BG": "S-1-5-32-546",
    "BO": "S-1-5-32-551",
    "BU": "S-1-5-32-545",
    "CG": "S-1-3-1",
    "CO": "S-1-3-0",
    "IU": "S-1-5-4",
    "NS": "S-1-5-20",
    "OW": "S-1-3-4",
    "SY": "S-1-5-18",
    "WD": "S-1-1-0",
}
_RIGHTS = {
    "FA": 0x1F01FF,
    "FR": 0x120089,
    "FW": 0x120116,
    "FX": 0x1200A0,
    "GA": 0x10000000,
    "GR": 0x80000000,
    "GW": 0x40000000,
    "GX": 0x20000000,
    "RC": 0x20000,
    "SD": 0x10000,
    "WD": 0x40000,
    "WO": 0x80000,
}
_KINDS = {"A": 0, "D": 1, "OA": 5, "OD": 6, "XA": 9, "XD": 10}
_FLAGS = {"OI": 1, "CI": 2, "NP": 4, "IO": 8, "ID": 16}
_PROTECTED, _SELF_RELATIVE, _HAS_LIST = 0x1000, 0x8000, 0x0004


def descriptor(text: str) -> bytes:
    """Return the descriptor of a text `O:ACCOUNT`, `D:ENTRIES`, or both. `D:NO_ACCESS_CONTROL` means no list."""
    parts = re.fullmatch(r"(?:O:([\w-]+?))?(?:D:(P?)(?:(NO_ACCESS_CONTROL)|((?:\(.*\))?)))?", text)
    assert parts, text
    owner, protected, free, entries = parts.groups()
    control = _SELF_RELATIVE | (_PROTECTED if protected else 0) | (0 if protected is None else _HAS_LIST)
    made = b"" if free or protected is None else _list(entries)
    owned = _account(owner) if owner else b""
    return (
        struct.pack("<BBHIIII", 1, 0, control, 20 + len(made) if owned else 0, 0, 0, 20 if made else 0) + made + owned
    )


def _list(text: str) -> bytes:
    entries = [_entry(*entry.split(";")) for entry in re.findall(r"\(([^()]*)\)", text)]
    made = b"".join(entries)
    return struct.pack("<BBHHH", 2, 0, 8 + len(made), len(entries), 0) + made


def _entry(kind: str, flags: str, rights: str, thing: str, _: str, account: str, *condition: str) -> bytes:
    bits = sum(_FLAGS[flag] for flag in re.findall("..", flags))
    mask = int(rights, 16) if rights.startswith("0x") else sum(_RIGHTS[right] for right in re.findall("..", rights))
    object_part = struct.pack("<I", 0) if thing or kind in ("OA", "OD") else b""
    content = object_part + _account(account) + b"".join(part.encode("utf-16-le") for part in condition)
    content += bytes(-len(content) % 4)
    return struct.pack("<BBHI", _KINDS[kind], bits, 8 + len(content), mask) + content


def _account(name: str) -> bytes:
    revision, authority, *numbers = (int(number) for number in _ACCOUNTS.get(name, name).split("-")[1:])
    head = struct.pack("<BB", revision, len(numbers)) + authority.to_bytes(6, "big")
    return head + struct.pack(f"<{len(numbers)}I", *numbers)

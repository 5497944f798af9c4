"""Access lists of Windows, as they are found on real machines. The descriptors are made from their text form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_secrets.access_list import EVERYONE, Access, Entry, belongs_to, others, parsed
from tests.support.sddl import DOMAIN, PERSON, descriptor

P = PERSON
USERS, SIGNED_IN = "S-1-5-32-545", "S-1-5-11"
STRANGER = "S-1-5-21-1004336348-1177238915-682003330-1002"
ENTRA = "S-1-12-1-3653241602-1163286843-3108393890-1275103453"
COMMON = "(A;ID;FA;;;SY)(A;ID;FA;;;BA)"

PRIVATE = {
    "in the profile directory": (f"O:{P}D:{COMMON}(A;ID;FA;;;{P})", P),
    "made by this program": (f"O:{P}D:P(A;;FA;;;{P})(A;;FA;;;SY)(A;;FA;;;BA)", P),
    "made by an elevated process": (f"O:BAD:{COMMON}(A;ID;FA;;;{P})", P),
    "after icacls /inheritance:r /grant:r": (f"O:{P}D:P(A;;FA;;;{P})", P),
    "only readable": (f"O:{P}D:P(A;;FR;;;{P})", P),
    "of a service that runs as SYSTEM": ("O:SYD:P(A;;FA;;;SY)(A;;FA;;;BA)", "S-1-5-18"),
    "of a domain account": (f"O:{DOMAIN}-1188D:{COMMON}(A;ID;FA;;;{DOMAIN}-1188)", f"{DOMAIN}-1188"),
    "in a home directory on a file server": (
        f"O:{DOMAIN}-1188D:{COMMON}(A;ID;FA;;;{DOMAIN}-512)(A;ID;FA;;;{DOMAIN}-519)(A;ID;FA;;;{DOMAIN}-1188)",
        f"{DOMAIN}-1188",
    ),
    "owned by Domain Admins": (f"O:{DOMAIN}-512D:{COMMON}(A;ID;FA;;;{DOMAIN}-1188)", f"{DOMAIN}-1188"),
    "of an Entra account": (f"O:{ENTRA}D:{COMMON}(A;ID;FA;;;{ENTRA})", ENTRA),
    "in a folder of OneDrive, which nobody may delete": (f"O:{P}D:(D;;0x10040;;;WD){COMMON}(A;ID;FA;;;{P})", P),
    "in a directory that Python made with the mode 0700": (
        "O:" + P + "D:(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;OW)",
        P,
    ),
    "with an entry for CREATOR OWNER": (f"O:{P}D:{COMMON}(A;OICIIOID;GA;;;CO)(A;;FA;;;CG)(A;ID;FA;;;{P})", P),
    "with an entry that only new files inherit": (f"O:{P}D:{COMMON}(A;OICIIO;GR;;;BU)(A;ID;FA;;;{P})", P),
    "with entries for packaged apps": (f"O:{P}D:{COMMON}(A;ID;FA;;;{P})(A;;FR;;;S-1-15-2-1)(A;;FR;;;S-1-15-3-1)", P),
    "whose attributes everyone can read": (f"O:{P}D:(A;;0x100080;;;WD)(A;;RC;;;AU)(A;;SD;;;BU)(A;;FA;;;{P})", P),
    "that everyone may run": (f"O:{P}D:(A;;FX;;;BU)(A;;GX;;;BU)(A;;FA;;;{P})", P),
    "denied to the users who get access below": (f"O:{P}D:(D;;FA;;;BU)(A;;FA;;;{P})(A;ID;FR;;;BU)", P),
    "with denials of other kinds": (f"O:{P}D:(OD;;FA;;;BU)(XD;;FA;;;BU;x)(A;;FA;;;{P})", P),
    "with a condition for the person": (f"O:{P}D:(XA;;FA;;;{P};x)", P),
    "with an empty list": (f"O:{P}D:", P),
}

SHARED = {
    "in a directory of a second drive": (
        f"O:{P}D:{COMMON}(A;ID;0x1301bf;;;AU)(A;ID;0x1200a9;;;BU)",
        [SIGNED_IN, USERS],
    ),
    "in a new directory of the system drive": (f"O:BAD:{COMMON}(A;ID;0x1200a9;;;BU)(A;ID;FA;;;{P})", [USERS]),
    "readable by everyone": (f"O:{P}D:(A;;FA;;;{P})(A;;FR;;;WD)", [EVERYONE]),
    "readable by everyone without a sign-in": (f"O:{P}D:(A;;FR;;;AN)(A;;FA;;;{P})", ["S-1-5-7"]),
    "readable by everyone at the screen": (f"O:{P}D:(A;;FR;;;IU)(A;;FA;;;{P})", ["S-1-5-4"]),
    "readable by guests": (f"O:{P}D:(A;;FR;;;BG)(A;;FA;;;{P})", ["S-1-5-32-546"]),
    "readable by a service account": (f"O:{P}D:(A;;FR;;;NS)(A;;FA;;;{P})", ["S-1-5-20"]),
    "readable by Backup Operators": (f"O:{P}D:(A;;FR;;;BO)(A;;FA;;;{P})", ["S-1-5-32-551"]),
    "readable by another account": (f"O:{P}D:{COMMON}(A;;FR;;;{STRANGER})(A;;FA;;;{P})", [STRANGER]),
    "readable by Domain Users": (f"O:{P}D:(A;;FR;;;{DOMAIN}-513)(A;;FA;;;{P})", [f"{DOMAIN}-513"]),
    "readable by administrators of another domain": (f"O:{P}D:(A;;FR;;;{DOMAIN}-512)", [f"{DOMAIN}-512"]),
    "readable by a generic right": (f"O:{P}D:(A;;GR;;;BU)(A;;GA;;;AU)(A;;GW;;;WD)", [USERS, SIGNED_IN, EVERYONE]),
    "only writable by others": (f"O:{P}D:(A;;0x2;;;BU)(A;;0x4;;;AU)(A;;FA;;;{P})", [USERS, SIGNED_IN]),
    "with a list that others can change": (f"O:{P}D:(A;;WD;;;BU)(A;;WO;;;AU)(A;;FA;;;{P})", [USERS, SIGNED_IN]),
    "denied only after the access": (f"O:{P}D:(A;;FR;;;BU)(D;;FA;;;BU)(A;;FA;;;{P})", [USERS]),
    "denied to another account": (f"O:{P}D:(D;;FA;;;{STRANGER})(A;;FR;;;BU)(A;;FA;;;{P})", [USERS]),
    "denied to others, but not for reading": (f"O:{P}D:(D;;FW;;;BU)(A;;FR;;;BU)(A;;FA;;;{P})", [USERS]),
    "with a condition for others": (f"O:{P}D:(XA;;FR;;;BU;x)(A;;FA;;;{P})", [USERS]),
    "with an entry of an unknown kind": (f"O:{P}D:(OA;;FR;;;{P})(A;;FA;;;{P})", [""]),
    "without a list": (f"O:{P}D:NO_ACCESS_CONTROL", [EVERYONE]),
    "of which only the owner is known": (f"O:{P}", [EVERYONE]),
    "on a FAT drive": ("O:WDD:NO_ACCESS_CONTROL", [EVERYONE]),
}

FOREIGN = {
    "another account": f"O:{STRANGER}D:(A;;FA;;;{P})",
    "an account of an earlier Windows": f"O:S-1-5-21-1-2-3-1001D:(A;;FA;;;{P})",
    "a Unix user of a file server": f"O:S-1-22-1-1000D:(A;;FA;;;{P})",
    "administrators of another domain": f"O:{DOMAIN}-512D:(A;;FA;;;{P})",
    "a group": f"O:BUD:(A;;FA;;;{P})",
    "nobody": f"D:(A;;FA;;;{P})",
}


@pytest.mark.parametrize(("text", "person"), PRIVATE.values(), ids=PRIVATE)
def test_a_private_file_is_open_to_no_other_account(text: str, person: str) -> None:
    access = parsed(descriptor(text))
    assert (others(access, person), belongs_to(access, person)) == ([], True)


@pytest.mark.parametrize(("text", "expected"), SHARED.values(), ids=SHARED)
def test_each_other_account_that_may_read_or_change_the_file_is_found(text: str, expected: list[str]) -> None:
    assert others(parsed(descriptor(text)), P) == expected


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_owner_is_not_the_persons(text: str) -> None:
    assert not belongs_to(parsed(descriptor(text)), P)


def test_the_bytes_that_windows_functions_make_are_read() -> None:
    # ConvertStringSecurityDescriptorToSecurityDescriptorW made these from O:S-1-5-21-0-0-0-1000 and the entries below.
    made = bytes.fromhex(
        "0100048014000000000000000000000030000000010500000000000515000000000000000000000000000000e8030000"
        "020054000300000000001400ff011f0001010000000000051200000000002400ff011f00010500000000000515000000"
        "000000000000000000000000e803000000001400a9001200010100000000000100000000"
    )
    person = "S-1-5-21-0-0-0-1000"
    entries = (Entry(0, 0, 0x1F01FF, "S-1-5-18"), Entry(0, 0, 0x1F01FF, person), Entry(0, 0, 0x1200A9, EVERYONE))
    assert parsed(made) == Access(person, entries)
    assert parsed(descriptor(f"O:{person}D:(A;;FA;;;SY)(A;;FA;;;{person})(A;;0x1200a9;;;WD)")) == parsed(made)


@pytest.mark.parametrize("text", [text for text, _ in PRIVATE.values() if "(" in text])
def test_a_descriptor_that_is_cut_off_is_malformed(text: str) -> None:
    whole = descriptor(text)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="malformed"):
            parsed(whole[:length])


@given(st.binary(max_size=200), st.sampled_from([text for text, _ in PRIVATE.values()]), st.integers(0, 300))
def test_damaged_descriptors_are_read_or_malformed(noise: bytes, text: str, place: int) -> None:
    whole = descriptor(text)
    try:
        access = parsed(whole[:place] + noise + whole[place + len(noise) :])
    except ValueError:
        return
    others(access, P)

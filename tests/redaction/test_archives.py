"""Archives are scanned whatever their names are. Unreadable archives are reported, and bombs take limited time."""

import bz2
import gzip
import io
import lzma
import struct
import subprocess
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from claude_secrets.redaction import archives
from claude_secrets.redaction.contents import IN_NAME, Gap, Seen, Spot, look_through
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.gap_reasons import Reason
from tests.support.requirements import require

VALUE = "canary-value-q7Rt-in-an-archive"
FINDER = Finder({"T": VALUE})
TEXT = f"one\ntwo {VALUE}\n".encode()
HARMLESS = b"nothing here\n" * 50


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def tarred(*members: tuple[str, bytes], layout: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=layout) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def seen(content: bytes, size: int = 1 << 20) -> Seen:
    pieces = (content[at : at + size] for at in range(0, len(content), size))
    as_a_file = look_through(FINDER, [content], io.BytesIO(content))
    assert look_through(FINDER, pieces) == as_a_file  # as a stream, such as a git object
    return as_a_file


class Pipe(io.BytesIO):
    """A file that cannot seek, so `zipfile` writes each entry's sizes after the entry."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise io.UnsupportedOperation


def streamed(*members: tuple[str, bytes]) -> bytes:
    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def odd_tar() -> bytes:
    info = tarfile.TarInfo("a/b.env")
    info.size, info.type = len(TEXT), b"Z"
    return gzip.compress(info.tobuf() + TEXT.ljust(512, b"\0") + bytes(1024))


def signed_tar() -> bytes:
    """Return a tar as old programs write it: the checksum adds the header's bytes as signed numbers."""
    info = tarfile.TarInfo("Gr\udcf6\udcdfe")
    info.size = len(TEXT)
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT, "ascii", "surrogateescape"))
    header[148:155] = b"%06o\0" % (int(header[148:154], 8) - 2 * 256)
    return bytes(header) + TEXT.ljust(512, b"\0") + bytes(1024)


MEMBERS = (("harmless.txt", HARMLESS), ("a/b.env", TEXT))
ARCHIVES: dict[str, tuple[bytes, str]] = {
    "zip": (zipped(*MEMBERS), "!/a/b.env"),
    "zip with bzip2": (zipped(*MEMBERS, method=zipfile.ZIP_BZIP2), "!/a/b.env"),
    "zip with lzma": (zipped(*MEMBERS, method=zipfile.ZIP_LZMA), "!/a/b.env"),
    "zip, stored": (zipped(*MEMBERS, method=zipfile.ZIP_STORED), "!/a/b.env"),
    "zip behind a program": (b"#!/usr/bin/python3\n" + zipped(*MEMBERS), "!/a/b.env"),
    "zip behind a program that reads zips": (b"\x7fELF" + b"PK\3\4PK\1\2PK\5\6" * 99 + zipped(*MEMBERS), "!/a/b.env"),
    "zip of zips, stored": (zipped(("in", zipped(*MEMBERS)), method=zipfile.ZIP_STORED), "!/in!/a/b.env"),
    "zip as a stream": (streamed(*MEMBERS), "!/a/b.env"),
    "tar": (tarred(*MEMBERS), "!/a/b.env"),
    "tar of GNU": (tarred(*MEMBERS, layout=tarfile.GNU_FORMAT), "!/a/b.env"),
    "tar with a long name": (tarred((f"{'d' * 99}/" * 3 + "x", TEXT)), "!/" + f"{'d' * 99}/" * 3 + "x"),
    "tar with a member of a kind of its own": (odd_tar(), "!/a/b.env"),
    "tar with a signed checksum": (signed_tar(), "!/Gr\udcf6\udcdfe"),
    "tar.gz": (gzip.compress(tarred(*MEMBERS)), "!/a/b.env"),
    "tar.bz2": (bz2.compress(tarred(*MEMBERS)), "!/a/b.env"),
    "tar.xz": (lzma.compress(tarred(*MEMBERS)), "!/a/b.env"),
    "gz": (gzip.compress(TEXT), "!"),
    "gz, twice": (gzip.compress(HARMLESS) + gzip.compress(b"\n" + TEXT), "!"),
    "bz2": (bz2.compress(TEXT), "!"),
    "bz2, twice": (bz2.compress(HARMLESS) + bz2.compress(b"\n" + TEXT), "!"),
    "xz": (lzma.compress(TEXT), "!"),
    "xz, twice": (lzma.compress(HARMLESS) + bytes(8) + lzma.compress(b"\n" + TEXT) + bytes(4), "!"),
    "lzma": (lzma.compress(TEXT, format=lzma.FORMAT_ALONE), "!"),
    "zip in tar.gz in zip": (
        zipped(("in.tgz", gzip.compress(tarred(("in.zip", zipped(*MEMBERS)))))),
        "!/in.tgz!/in.zip!/a/b.env",
    ),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_value_in_an_archive_is_found_with_its_member_and_line(kind: str) -> None:
    content, inside = ARCHIVES[kind]
    line = 53 if "twice" in kind else 2
    assert seen(content) == [Spot(inside, line, "T")]
    assert seen(content, 1000) == [Spot(inside, line, "T")]


def test_a_value_in_a_members_name_is_found() -> None:
    assert seen(gzip.compress(tarred((f"d/{VALUE}/x", b"")))) == [Spot(f"!/d/{VALUE}", IN_NAME, "T")]
    assert seen(zipped((f"d/{VALUE}/x", b""))) == [Spot(f"!/d/{VALUE}", IN_NAME, "T")]


def test_a_value_in_an_owners_name_is_found() -> None:
    info = tarfile.TarInfo("x")
    info.uname = VALUE[:32]
    assert [one[1:] for one in seen(gzip.compress(info.tobuf() + bytes(1024)))] == [(IN_NAME, "T")]


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda inner: zipped(("x", inner)), lambda inner: tarred(("x", inner))]
)
def test_what_is_nested_too_deep_is_named(pack: Callable[[bytes], bytes]) -> None:
    content = gzip.compress(TEXT)
    for _ in range(2):
        content = pack(content)
    assert [type(one) for one in seen(content)] == [Spot]
    assert [(type(one), one[1]) for one in seen(pack(content))] == [(Gap, Reason.TOO_DEEP)]


def encrypted() -> bytes:
    """Return a zip in which one of two members is marked as encrypted."""
    content = bytearray(zipped(("a", TEXT), ("b", HARMLESS)))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    return bytes(content)


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def lacking(name: str) -> bytes:
    """Return a zip with three entries, of which its directory lists only two."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in "abc":
            archive.writestr(each, TEXT if each == name else HARMLESS)
        archive.filelist = [info for info in archive.filelist if info.filename != name]
    return out.getvalue()


LONG = b"".join(zlib.crc32(bytes([n % 256, n // 256])).to_bytes(4, "big") for n in range(50_000))
SECOND = tarred(("x", LONG), ("y", TEXT))
NAMED: dict[str, tuple[bytes, Reason]] = {
    "encrypted zip": (encrypted(), Reason.ENCRYPTED),
    "zip of another method": (zipped(("a", TEXT)).replace(b"\x08\0", b"\x09\0"), Reason.UNSUPPORTED),
    "7z": (b"7z\xbc\xaf\x27\x1c" + LONG, Reason.UNSUPPORTED),
    "rar": (b"Rar!\x1a\x07\x01\0" + LONG, Reason.UNSUPPORTED),
    "one zip after another": (zipped(("a", TEXT)) + zipped(("b", HARMLESS)), Reason.DAMAGED),
    "zip before an empty one": (zipped(("a", TEXT)) + zipped(), Reason.DAMAGED),
    "two zips behind a program": (b"#!/bin/sh\n" + zipped(("a", TEXT)) + zipped(("b", HARMLESS)), Reason.DAMAGED),
    "zip with an entry that its directory lacks": (lacking("b"), Reason.DAMAGED),
    "zip with a last entry that its directory lacks": (lacking("c"), Reason.DAMAGED),
    "zip that was cut": (zipped(("a", LONG))[:10_000], Reason.DAMAGED),
    "damaged zip": (damaged(zipped(("a", LONG))), Reason.DAMAGED),
    "gz that was cut": (gzip.compress(LONG)[:10_000], Reason.DAMAGED),
    "damaged gz": (damaged(gzip.compress(LONG)), Reason.DAMAGED),
    "damaged bz2": (damaged(bz2.compress(LONG)), Reason.DAMAGED),
    "damaged xz": (damaged(lzma.compress(LONG)), Reason.DAMAGED),
    "damaged bz2 after another": (bz2.compress(TEXT) + damaged(bz2.compress(LONG)), Reason.DAMAGED),
    "bz2 and something": (bz2.compress(TEXT) + b"something", Reason.DAMAGED),
    "damaged xz after another": (lzma.compress(TEXT) + damaged(lzma.compress(LONG)), Reason.DAMAGED),
    "xz and something": (lzma.compress(TEXT) + bytes(4) + b"something", Reason.DAMAGED),
    "lzma and something": (lzma.compress(TEXT, format=lzma.FORMAT_ALONE) + lzma.compress(TEXT), Reason.DAMAGED),
    "tar that was cut": (tarred(("a", LONG))[:10_000], Reason.DAMAGED),
    "tar with a damaged header": (SECOND.replace(b"y\0\0\0", b"z\0\0\0", 1), Reason.DAMAGED),
    "tar.gz with a damaged header": (gzip.compress(SECOND.replace(b"y\0\0\0", b"z\0\0\0", 1)), Reason.DAMAGED),
    "one tar.gz after another": (gzip.compress(tarred(("a", b"")) + tarred(("b", TEXT))), Reason.UNSUPPORTED),
}


@pytest.mark.parametrize("kind", NAMED)
def test_an_archive_that_cannot_be_looked_through_is_named(kind: str) -> None:
    content, why = NAMED[kind]
    gaps = [one for one in seen(content) if isinstance(one, Gap)]
    assert why in {gap.why for gap in gaps}
    assert len(gaps) <= 2


@pytest.mark.parametrize(
    "head",
    [
        b"PACK\0\0\0\2\0\0\0\3", b"# v2 git bundle\n", b"# v3 git bundle\n", b"\x50\x2a\x4d\x18", b"\x5f\x2a\x4d\x18",
        b"\x89LZO\0\r\n\x1a\n", b"\x02\x21\x4c\x18", b"xar!\0\x1c", b"hsqs" + bytes(24) + b"\4\0", b"MSWIM\0\0\0",
        b"sqsh" + bytes(24) + b"\0\3", b"070701" + b"0000F00D" * 13, b"070702" + b"0000f00d" * 13,
        b"070707" + b"01234567" * 9,
        b"LRZI\0\6", b"7kSt\xa0\x31\x83\xd3\x8c\xb2\x28\xb0\xd3zPQ", b"zPQ\x01\x01",
    ],
)  # fmt: skip
def test_an_archive_of_a_kind_that_is_not_looked_through_is_named(head: bytes) -> None:
    assert seen(head + LONG) == [Gap("", Reason.UNSUPPORTED)]


@pytest.mark.skipif(find_spec("compression") is None, reason="this Python has no compression.zstd")
def test_zstandard_is_looked_through() -> None:
    content = subprocess.run([require("zstd"), "-q"], input=TEXT, capture_output=True, check=True, timeout=30).stdout
    assert seen(content) == [Spot("!", 2, "T")]


@pytest.mark.skipif(find_spec("compression") is not None, reason="this Python has compression.zstd")
def test_zstandard_is_named_where_python_has_none() -> None:
    assert seen(b"\x28\xb5\x2f\xfd" + LONG) == [Gap("", Reason.UNSUPPORTED)]


def test_what_is_found_before_the_damage_is_told() -> None:
    found = seen(gzip.compress(tarred(("a", TEXT), ("b", LONG)))[:-20_000])
    assert found[0] == Spot("!/a", 2, "T")
    assert {one.why for one in found[1:] if isinstance(one, Gap)} == {Reason.DAMAGED}


def repeated(member: bytes, times: int) -> bytes:
    """Return a zip whose directory lists the same bytes many times."""
    content = zipped(("a", member))
    begin, size, at = content.index(b"PK\x01\x02"), *struct.unpack("<LL", content[-10:-2])
    entries = content[begin : begin + size] * times
    return content[:at] + entries + struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, times, times, len(entries), at, 0)


def long_header() -> bytes:
    """Return a long tar header, which the parser would keep in memory."""
    info = {"name": "x", "size": 200 << 20, "type": tarfile.XHDTYPE}
    create = tarfile.TarInfo._create_header  # type: ignore[attr-defined]
    return bytes(create(info, tarfile.USTAR_FORMAT, "ascii", "strict")) + bytes(200 << 20)


BOMBS: dict[str, bytes] = {
    "gz": gzip.compress(bytes(200 << 20)),
    "zip in zip": zipped(("a", zipped(("a", zipped(("a", bytes(200 << 20))))))),
    "zip that overlaps": repeated(bytes(10 << 20), 50),
    "a long header": gzip.compress(long_header()),
    "a long header after a member": gzip.compress(tarred(("a", b""))[:512] + long_header()),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_costs_bounded_time_and_is_named(kind: str) -> None:
    begun = time.process_time()
    assert {one[1] for one in look_through(FINDER, [BOMBS[kind]], io.BytesIO(BOMBS[kind]))} == {Reason.TOO_LARGE}
    assert time.process_time() - begun < 60


def test_more_members_than_anybody_has_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MEMBERS", 100)
    assert look_through(FINDER, [zipped(*((f"{n}", b"") for n in range(100)))]) == []
    assert look_through(FINDER, [zipped(*((f"{n}", b"") for n in range(101)))]) == [Gap("", Reason.TOO_LARGE)]


def test_what_only_looks_like_an_archive_is_none() -> None:
    code = compile("END = b'PK\\5\\6'\nHEAD = b'PK\\3\\4'", "x", "exec")
    import marshal

    for content in (
        marshal.dumps(code),
        b"x" * 1000 + b"PK\x05\x06" + b"y" * 30,
        b"x" * 30 + b"PK\x05\x06" + b"\xff" * 100,
        b"]\0\0 a list",
        b"BZh is how bzip2 begins",
        b"0" * 600,
        b"070701,a,b\n070702,c,d\n" * 99,
        b"PACK of wolves",
        b"# v2 git bundles are files",
        b"hsqs and sqsh are squashfs",
        b"xar! wim? MSWIM LRZI zPQ",
        b"\x1f\x8b",
        b"",
        bytes(2000),
    ):
        assert seen(content) == []

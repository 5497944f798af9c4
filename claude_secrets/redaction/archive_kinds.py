"""Recognises archives by their first and last bytes.

Always: the module is pure. Bytes with which a text may begin are not taken for the signature of an archive.
"""

import re
from enum import Enum
from typing import Final

HEAD: Final = 1 << 10
TAIL: Final = (1 << 16) + 22
"""How many bytes at the beginning (`HEAD`) and at the end (`TAIL`) of a content decide its kind."""

_BLOCK: Final = 512


class ArchiveKind(Enum):
    """The kinds of archive."""

    ZIP = 1
    MAYBE_ZIP = 2
    TAR = 3
    GZIP = 4
    BZIP2 = 5
    XZ = 6
    LZMA = 7
    ZSTD = 8
    OTHER = 9


_MAGIC: Final = {
    b"PK\x03\x04": ArchiveKind.ZIP,
    b"PK\x05\x06": ArchiveKind.ZIP,
    b"PK\x07\x08": ArchiveKind.ZIP,
    b"\x1f\x8b\x08": ArchiveKind.GZIP,
    b"\xfd7zXZ\0": ArchiveKind.XZ,
    b"\x28\xb5\x2f\xfd": ArchiveKind.ZSTD,
    b"7z\xbc\xaf\x27\x1c": ArchiveKind.OTHER,
    b"Rar!\x1a\x07": ArchiveKind.OTHER,
    b"\x04\x22\x4d\x18": ArchiveKind.OTHER,  # lz4
    b"\x1f\x9d\x90": ArchiveKind.OTHER,  # compress
    b"LZIP\x01": ArchiveKind.OTHER,
    b"MSCF\0\0\0\0": ArchiveKind.OTHER,
    b"!<arch>\ndebian-binary": ArchiveKind.OTHER,
    b"\xed\xab\xee\xdb": ArchiveKind.OTHER,  # rpm
    b"\x02\x21\x4c\x18": ArchiveKind.OTHER,  # lz4's legacy format
    b"\x89LZO\0\r\n\x1a\n": ArchiveKind.OTHER,
    b"LRZI\0": ArchiveKind.OTHER,
    b"7kSt\xa0\x31\x83\xd3": ArchiveKind.OTHER,  # zpaq
    b"zPQ\x01": ArchiveKind.OTHER,
    b"zPQ\x02": ArchiveKind.OTHER,
    b"xar!\0": ArchiveKind.OTHER,
    b"MSWIM\0\0\0": ArchiveKind.OTHER,
    b"# v2 git bundle\n": ArchiveKind.OTHER,
    b"# v3 git bundle\n": ArchiveKind.OTHER,
}
ZIP_END: Final = b"PK\x05\x06"
_BZIP2: Final = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_OTHER: Final = re.compile(
    rb"[\x50-\x5f]\x2a\x4d\x18"  # a skippable frame of Zstandard or lz4
    rb"|PACK\0\0\0[\x02\x03]"  # git's pack
    rb"|hsqs.{24}[\x01-\x04]\0|sqsh.{24}\0[\x01-\x04]"  # squashfs
    rb"|0707(?:0[12][0-9A-Fa-f]{104}|07[0-7]{70})",  # cpio
    re.DOTALL,
)
_CHECKSUM: Final = re.compile(rb"[ \0]*([0-7]{1,7})[ \0]*")


def kind_of(head: bytes, tail: bytes) -> ArchiveKind | None:
    """Return an archive's kind, given its first and last bytes; None if the content is not an archive."""
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if _BZIP2.match(head):
        return ArchiveKind.BZIP2
    if _OTHER.match(head):
        return ArchiveKind.OTHER
    if is_tar(head):
        return ArchiveKind.TAR
    if head.startswith(b"]\0\0") and _is_lzma(head):
        return ArchiveKind.LZMA
    return ArchiveKind.MAYBE_ZIP if ZIP_END in tail else None


def is_tar(head: bytes) -> bool:
    """Whether a content begins with a tar header, that is, whether the checksum in the header is right.

    The checksum is the sum of the header's bytes. Old archives sum signed bytes.
    """
    checksum = _CHECKSUM.fullmatch(head[148:156])
    if checksum is None or len(head) < _BLOCK:
        return False
    block = head[:148] + b" " * 8 + head[156:_BLOCK]
    return int(checksum[1], 8) in (sum(block), sum(block) - 256 * sum(byte > 127 for byte in block))


def _is_lzma(head: bytes) -> bool:
    """Whether `head` is a header of the .lzma format, which has no signature.

    The header contains the sizes of the dictionary and of the content. Like xz, this function accepts only sizes that
    programs write. The dictionary has 2^n or 2^n + 2^(n-1) bytes; the content has less than 256 GiB or an unknown size.
    """
    dictionary = int.from_bytes(head[1:5], "little")
    size = head[5:13]
    usual = dictionary & (dictionary - 1) == 0 or (dictionary % 3 == 0 and (dictionary // 3).bit_count() == 1)
    return usual and len(size) == 8 and (size == b"\xff" * 8 or int.from_bytes(size, "little") < 1 << 38)

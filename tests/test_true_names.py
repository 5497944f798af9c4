"""Test the true names of directories: one for all spellings, and never one for two directories."""

import os
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_secrets import paths, true_names
from claude_secrets.true_names import is_one_directory, true_path
from tests.support.mac_disk import MacDisk, folded
from tests.support.mounts import mounted, root_on_linux

posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in opens directories, which Windows cannot")


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MacDisk]:
    """A stand-in for a disk of macOS. At the end, everything that was opened is closed."""
    disk = MacDisk(tmp_path.resolve())
    monkeypatch.setattr(true_names, "calls", disk.calls())
    yield disk
    assert disk.opened
    for descriptor in disk.opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


# The real system


def test_only_macos_is_asked_for_more_than_a_real_path() -> None:
    assert (true_names.calls is not None) == (sys.platform == "darwin")


def test_the_real_system_gives_every_spelling_that_it_opens_one_name(tmp_path: Path) -> None:
    stored = Path(true_path(tmp_path)) / "Projé"
    stored.mkdir()
    assert true_path(stored) == str(stored)
    assert true_path(stored / "none" / ".." / "x") == str(stored / "x")
    for form in ("NFC", "NFD"):
        for name in ("projé", "PROJÉ", "Projé"):
            spelled = stored.with_name(unicodedata.normalize(form, name))
            assert (true_path(spelled) == str(stored)) == spelled.exists()  # a system that tells them apart opens one


@pytest.mark.skipif(sys.platform == "win32", reason="links take a right on Windows")
def test_links_are_followed_to_the_directory(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "link").symlink_to("project")
    assert true_path(tmp_path / "link") == true_path(tmp_path / "project") == str(tmp_path.resolve() / "project")


@pytest.mark.parametrize("path", ["a\0b", "\0", "a\0", Path("a\0b"), "none/../a\0b", "\\\\?\\C:\\a\0b"])
def test_a_nul_in_a_path_is_an_error(path: Path | str) -> None:
    with pytest.raises(ValueError, match="null"):
        true_path(path)


on_windows = pytest.mark.skipif(sys.platform != "win32", reason="this is not Windows")


@on_windows
@pytest.mark.parametrize("prefix", ["\\\\?\\", "//?/", "\\\\.\\", "\\??\\"])
@pytest.mark.parametrize("rest", ["Projé", "projé", "Projé/New", "none/../PROJÉ", "Projé/New/er"])
def test_a_path_with_a_prefix_of_windows_is_the_path_without_it(tmp_path: Path, prefix: str, rest: str) -> None:
    (tmp_path / "Projé").mkdir()
    plain = str(tmp_path / rest).replace("none\\", "none/").replace("/", "\\")
    assert true_path(prefix + plain) == true_path(plain)
    assert Path(true_path(prefix + plain)).is_relative_to(true_path(tmp_path / "Projé"))


@on_windows
@pytest.mark.parametrize("name", ["dot.", "blank ", "NUL"])
def test_a_name_that_windows_changes_without_the_prefix_keeps_the_prefix(tmp_path: Path, name: str) -> None:
    for exact in ("\\\\?\\" + str(Path(true_path(tmp_path)) / "new") + "\\" + name,):
        assert true_path(exact) == exact != true_path(exact.removeprefix("\\\\?\\"))


@on_windows
def test_a_network_path_with_a_prefix_is_the_path_without_it() -> None:
    plain = "\\\\server.invalid\\share\\Proj"
    assert true_path("\\\\?\\UNC\\" + plain[2:]) == true_path(plain) == plain


# A stand-in for a disk that ignores the spelling


@posix
def test_what_exists_is_spelled_as_stored_and_the_rest_as_given(mac: MacDisk) -> None:
    (mac.root / "Shop" / "Src").mkdir(parents=True)
    (mac.root / "Shop" / "File").touch()
    assert true_path(mac.root / "SHOP" / "src") == str(mac.root / "Shop" / "Src")
    assert true_path(mac.root / "shop" / "New" / "er") == str(mac.root / "Shop" / "New" / "er")
    assert true_path(mac.root / "shop" / "File") == str(mac.root / "Shop" / "File")
    assert true_path(mac.root / "shop" / "src" / ".." / "." / "SRC") == str(mac.root / "Shop" / "Src")
    assert true_path(os.sep) == os.sep


@posix
def test_a_directory_that_cannot_be_opened_keeps_its_name_as_given(mac: MacDisk) -> None:
    (mac.root / "Shop" / "Src").mkdir(parents=True)
    mac.closed_to.add(str(mac.root / "Shop" / "Src"))
    assert true_path(mac.root / "shop" / "src") == str(mac.root / "Shop" / "src")


@posix
@pytest.mark.parametrize("answer", [OSError("refused"), b"", b"/", b"/nowhere at all", b"elsewhere"])
def test_an_answer_counts_only_if_it_leads_to_the_opened_directory(mac: MacDisk, answer: bytes | OSError) -> None:
    (mac.root / "Shop").mkdir()
    (mac.root / "elsewhere").mkdir()
    mac.answer = os.fsencode(mac.root / "elsewhere") if answer == b"elsewhere" else answer
    assert true_path(mac.root / "Shop") == str(mac.root / "Shop")


@posix
def test_homes_and_same_paths_go_by_true_names(mac: MacDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    (mac.root / "Me").mkdir()
    monkeypatch.setenv("HOME", str(mac.root / "me"))
    assert mac.root / "Me" in paths.home_directories()
    assert paths.same(mac.root / "ME" / "new.db", mac.root / "me" / "new.db")
    assert not paths.same(mac.root / "ME" / "new.db", mac.root / "me" / "old.db")


_NAMES = st.text(alphabet="aBzéÉñΩßİ\u0301\u0327 .-", min_size=1, max_size=6).filter(lambda name: name.strip(". "))


@st.composite
def _trees(draw: st.DrawFn) -> list[tuple[str, ...]]:
    """Draw the paths of directories that a disk which ignores spelling tells apart."""
    names = draw(st.lists(_NAMES, min_size=1, max_size=4, unique_by=folded))
    parts = st.lists(st.sampled_from(names), min_size=1, max_size=3).map(tuple)
    return draw(st.lists(parts, min_size=1, max_size=6, unique=True))


@st.composite
def _spellings(draw: st.DrawFn, parts: tuple[str, ...]) -> Path:
    """Draw another spelling of the same names."""
    spelled = []
    for part in parts:
        name = "".join(draw(st.sampled_from((one, one.upper(), one.lower()))) for one in part)
        name = unicodedata.normalize(draw(st.sampled_from(("NFC", "NFD"))), name)
        spelled.append(name if folded(name) == folded(part) else part)
    return Path(*spelled)


@posix
@given(data=st.data(), tree=_trees())
@settings(deadline=None)
def test_all_spellings_of_a_directory_have_its_name_and_no_two_directories_share_one(
    data: st.DataObject, tree: list[tuple[str, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        mac = MacDisk(Path(directory).resolve())
        patch.setattr(true_names, "calls", mac.calls())
        for parts in tree:
            mac.root.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        found = {}
        for parts in tree:
            spelled = {true_path(mac.root / data.draw(_spellings(parts))) for _ in range(3)}
            assert spelled == {str(mac.root.joinpath(*parts))}
            found[parts] = spelled.pop()
        assert len(set(found.values())) == len(tree)


# Two paths of one directory


def test_a_directory_is_one_with_itself_only(tmp_path: Path) -> None:
    one, other, file = tmp_path / "one", tmp_path / "other", tmp_path / "file"
    one.mkdir()
    other.mkdir()
    file.touch()
    assert is_one_directory(one, one / ".." / "one")
    assert not is_one_directory(one, other)
    assert not is_one_directory(file, file)
    for missing in (tmp_path / "missing", Path("a\0b")):
        assert not is_one_directory(one, missing)
        assert not is_one_directory(missing, missing)


def test_directories_without_numbers_are_not_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "stat", lambda _path: os.stat_result((0o40700, 0, 7, 2, 0, 0, 0, 0, 0, 0)))
    assert not is_one_directory(tmp_path, tmp_path)


@root_on_linux
def test_a_mounted_directory_is_one_at_both_paths_and_keeps_two_names(tmp_path: Path) -> None:
    (tmp_path / "proj").mkdir()
    with mounted(tmp_path / "proj", tmp_path / "Proj") as second:
        assert is_one_directory(tmp_path / "proj", second)
        assert true_path(second) == str(second)
    assert not is_one_directory(tmp_path / "proj", second)

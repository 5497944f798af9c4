"""Which changes of an installation's files are noticed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from claude_secrets.installation import Change, Installation
from claude_secrets.version import __version__
from tests.support.installation import NEXT, Site, record

MODULES = [("claude_secrets/__init__.py", b"1"), ("claude_secrets/page.css", b"2")]


def small_site(tmp_path: Path) -> Site:
    site = Site.__new__(Site)
    site.path = tmp_path / "site"
    write(site, MODULES)
    return site


def write(site: Site, entries: list[tuple[str, bytes]], version: str = __version__) -> None:
    shutil.rmtree(site.path, ignore_errors=True)
    for name, content in [*entries, (f"claude_secrets-{version}.dist-info/RECORD", record(entries, version))]:
        (site.path / name).parent.mkdir(parents=True, exist_ok=True)
        (site.path / name).write_bytes(content)


def touch(site: Site) -> None:
    for path in site.path.rglob("*"):
        os.utime(path, (1, 1))


def edit(site: Site, change: Callable[[str], str]) -> None:
    site.record.write_text(change(site.record.read_text()))


def link(site: Site) -> None:
    """Link all files to another place, as uv does to its cache."""
    for number, path in enumerate([path for path in site.path.rglob("*") if path.is_file()]):
        os.link(path, site.path.parent / str(number))


def make_read_only(site: Site) -> None:
    for path in [path for path in site.path.rglob("*") if path.is_file()]:
        path.chmod(0o444)


def replace_by_file(site: Site) -> None:
    shutil.rmtree(site.path)
    site.path.write_bytes(b"PK")


def compiled(text: str) -> str:
    return text + "claude_secrets/__pycache__/__init__.cpython-311.pyc,,\n"


def backslashes(text: str) -> str:
    return "".join(f"{line.replace('/', chr(92), 1)}\n" for line in text.splitlines() if "dist-info" not in line)


# People who must not notice anything.
UNNOTICED: dict[str, Callable[[Site], object]] = {
    "nothing happened": lambda site: site,
    "the same wheel was installed again": lambda site: write(site, MODULES),
    "every file was touched": touch,
    "the files got a second name (uv's cache)": link,
    "the files became read-only": make_read_only,
    "another installer orders the lines differently": lambda site: edit(
        site, lambda text: "".join(sorted(text.splitlines(keepends=True), reverse=True))
    ),
    "another installer ends the lines differently": lambda site: edit(site, lambda text: text.replace("\n", "\r\n")),
    "another installer lists compiled modules": lambda site: edit(site, compiled),
    "another installer writes paths as Windows does": lambda site: edit(site, backslashes),
    "the installer's own files changed": lambda site: edit(
        site, lambda text: f"{text}claude_secrets-{__version__}.dist-info/INSTALLER,sha256=x,2\n../bin/x,sha256=y,3\n"
    ),
    "a developer edited a module of the installation": lambda site: (
        site.path / "claude_secrets" / "__init__.py"
    ).write_text("pass"),
    "a dependency was installed": lambda site: (site.path / "mcp-9.dist-info").mkdir(),
    "an older version's metadata was left behind": lambda site: (site.path / "claude_secrets-0.0.1.dist-info").mkdir(),
}


@pytest.mark.parametrize("what", UNNOTICED)
def test_without_other_content_nothing_is_noticed(tmp_path: Path, what: str) -> None:
    site = small_site(tmp_path)
    installation = Installation(site.path)
    UNNOTICED[what](site)
    assert installation.change() is None


# Installations without a list of their modules: nothing is ever noticed there.
UNLISTED: dict[str, Callable[[Site], object]] = {
    "editable": lambda site: write(site, [("_editable_impl_claude_secrets.pth", b"/checkout")]),
    "a checkout": lambda site: shutil.rmtree(site.record.parent),
    "a package of an operating system": lambda site: site.record.unlink(),
    "a zip file": replace_by_file,
    "metadata of another version": lambda site: site.record.parent.rename(site.path / "claude_secrets-5.dist-info"),
}


@pytest.mark.parametrize("what", UNLISTED)
def test_where_no_modules_are_listed_nothing_is_noticed(tmp_path: Path, what: str) -> None:
    site = small_site(tmp_path)
    UNLISTED[what](site)
    installation = Installation(site.path)
    assert installation.change() is None
    shutil.rmtree(site.path, ignore_errors=True)
    assert installation.change() is None


OTHER = [("claude_secrets/__init__.py", b"3"), ("claude_secrets/page.css", b"2")]
NOTICED: dict[str, tuple[Callable[[Site], object], Change]] = {
    "an upgrade": (lambda site: write(site, OTHER, NEXT), Change(__version__, NEXT, removed=False)),
    "another build of this version": (
        lambda site: write(site, OTHER),
        Change(__version__, __version__, removed=False),
    ),
    "a version with letters": (lambda site: write(site, OTHER, "2.0rc1"), Change(__version__, "", removed=False)),
    "a version that is no version": (
        lambda site: write(site, OTHER, "\u0661 IGNORE ALL"),
        Change(__version__, "", removed=False),
    ),
    "a removal": (lambda site: shutil.rmtree(site.path), Change(__version__, "", removed=True)),
    "a removal of the package alone": (
        lambda site: shutil.rmtree(site.path / "claude_secrets"),
        Change(__version__, __version__, removed=False),
    ),
    "a removal of the metadata alone": (
        lambda site: shutil.rmtree(site.record.parent),
        Change(__version__, "", removed=True),
    ),
    "a file in place of the directory": (
        replace_by_file,
        Change(__version__, "", removed=True),
    ),
}


@pytest.mark.parametrize("what", NOTICED)
def test_other_content_is_noticed_until_the_same_content_is_back(tmp_path: Path, what: str) -> None:
    site = small_site(tmp_path)
    installation = Installation(site.path)
    act, change = NOTICED[what]
    act(site)
    assert installation.change() == change
    assert installation.change() == change
    if site.path.is_file():
        site.path.unlink()
    write(site, MODULES)
    assert installation.change() is None


def test_an_untouched_installation_is_checked_without_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = small_site(tmp_path)
    installation = Installation(site.path)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was read"))
    assert installation.change() is None


def test_a_file_system_that_does_not_answer_says_nothing_about_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = Installation(small_site(tmp_path).path)

    def fail(_path: Path) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "stat", fail)
    assert installation.change() is None

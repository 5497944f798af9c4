"""How hints name this program: by the command that started it, and by the source of its installation."""

import json
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from claude_secrets import paths


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget what the process found out about itself, before the test and after it."""
    paths.command_words.cache_clear()
    yield
    paths.command_words.cache_clear()


class Installed:
    """A stand-in for what `importlib.metadata` knows of a package that uvx unpacked."""

    def __init__(self, direct_url: object) -> None:
        self._text = None if direct_url is None else json.dumps(direct_url)

    def read_text(self, name: str) -> str | None:
        return self._text if name == "direct_url.json" else None


@pytest.mark.parametrize(
    ("direct_url", "source"),
    [
        (None, []),
        ({"url": "file:///home/me/my%20checkout", "dir_info": {}}, ["--from", "/home/me/my checkout"]),
        (
            {"url": "https://code.example/x.git", "vcs_info": {"vcs": "git", "commit_id": "0"}},
            ["--from", "git+https://code.example/x.git"],
        ),
        ({"url": "https://code.example/x.whl", "archive_info": {}}, ["--from", "https://code.example/x.whl"]),
        (
            {"url": "https://me:canary@code.example:8443/x.git?key=canary", "vcs_info": {"vcs": "git"}},
            ["--from", "git+https://code.example:8443/x.git"],
        ),
        (
            {"url": "https://canary@code.example/x.whl#canary", "archive_info": {}},
            ["--from", "https://code.example/x.whl"],
        ),
        (
            {"url": "ssh://git@code.example/x.git", "vcs_info": {"vcs": "git"}},
            ["--from", "git+ssh://git@code.example/x.git"],
        ),
        ({"url": "ssh://git:canary@code.example/x.git", "vcs_info": {"vcs": "git"}}, []),
        ({"url": "file:///srv/x.git", "vcs_info": {"vcs": "git"}}, ["--from", "git+file:///srv/x.git"]),
        ({}, []),
        ([], []),
    ],
    ids=[
        *("an index", "a checkout", "a repository", "a file elsewhere", "credentials", "a token", "ssh", "a password"),
        *("a repository on disk", "nothing", "damaged"),
    ],
)
def test_uvx_is_named_with_the_source_it_ran(
    monkeypatch: pytest.MonkeyPatch, direct_url: object, source: list[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/me/.cache/uv/archive-v0/abc")
    monkeypatch.setattr(metadata, "distribution", lambda _name: Installed(direct_url))
    assert shlex.split(paths.command()) == ["uvx", *source, "claude-secrets"]
    assert "canary" not in paths.command()


@pytest.mark.parametrize(
    ("argv", "command"),
    [("/usr/bin/claude-secrets", "claude-secrets"), (str(Path("x", "__main__.py")), "python -P -m claude_secrets")],
)
def test_another_start_is_named_as_it_was(monkeypatch: pytest.MonkeyPatch, argv: str, command: str) -> None:
    monkeypatch.setattr(sys, "argv", [argv])
    assert paths.command() == command

"""A home directory with projects, and with repositories that git itself creates."""

import os
import subprocess
from pathlib import Path

import pytest

from claude_secrets.errors import DeniedError
from claude_secrets.policy.project import CallOrigin, Project, locate
from tests.support.requirements import require


class Disk:
    """A home directory with projects in it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.home = self.root / "home"
        self.home.mkdir()
        self.homes = frozenset({self.home})

    def directory(self, *parts: str) -> Path:
        path = self.home.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def project(self, *parts: str) -> Path:
        """Create a directory with an allowlist."""
        path = self.directory(*parts)
        (path / ".claude").mkdir(exist_ok=True)
        (path / ".claude" / "secrets.yml").write_text("allow: [A]\n")
        return path

    def repository(self, *parts: str) -> Path:
        """Create a git repository with one commit that contains its allowlist."""
        path = self.project(*parts)
        git(path, "init", "--quiet", "--initial-branch=main")
        git(path, "add", "--all")
        git(path, "commit", "--quiet", "--message=first")
        return path

    def locate(
        self,
        working_directory: Path,
        *,
        argument: Path | None = None,
        environment: Path | None = None,
        root: Path | None = None,
    ) -> Project:
        return locate(CallOrigin(argument, environment, root, working_directory), homes=self.homes)

    def refused(
        self,
        working_directory: Path,
        *,
        argument: Path | None = None,
        environment: Path | None = None,
        root: Path | None = None,
    ) -> DeniedError:
        with pytest.raises(DeniedError) as caught:
            self.locate(working_directory, argument=argument, environment=environment, root=root)
        return caught.value


def git(directory: Path, *arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = ["-c", "user.name=A Person", "-c", "user.email=person@example.com", "-c", "commit.gpgSign=false"]
    subprocess.run(
        [require("git"), *identity, *arguments],
        cwd=directory,
        env=environment,
        check=True,
        timeout=60,
        capture_output=True,
    )


def make_linked(main: Path, tree: Path, entry: str = "linked") -> Path:
    """Write the files that make `tree` a linked git work tree of `main`, as anyone could; return git's entry."""
    common = main / ".git"
    inner = common / "worktrees" / entry
    inner.mkdir(parents=True, exist_ok=True)
    for file, line in (
        (common / "HEAD", "ref: refs/heads/main"),
        (inner / "commondir", "../.."),
        (inner / "gitdir", str(tree / ".git")),
        (tree / ".git", f"gitdir: {inner}"),
    ):
        file.write_text(f"{line}\n", newline="\n")  # git ends lines in this way on Windows, too
    return inner

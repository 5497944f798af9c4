"""A real second user of this machine who can run the installed program; only root can create one."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import claude_secrets
from tests.support.machine import DEADLINE
from tests.support.posix import give_away, is_root
from tests.support.requirements import require, require_real

PROGRAM = Path(sys.executable).with_name("claude-secrets")

_REACHABLE = """
set -e
stage=$1 closed=$2; shift 2
mount --make-rprivate /
n=0
for path; do mkdir "$stage/$n"; mount --bind "$path" "$stage/$n"; n=$((n + 1)); done
for top in $closed; do mount -t tmpfs -o mode=755 tmpfs "$top"; done
n=0
for path; do mkdir -p "$path"; mount --bind "$stage/$n" "$path"; n=$((n + 1)); done
echo ready
exec cat
"""
"""Mounts the program's files where every user can read them, in a mount namespace of its own."""


class Account(NamedTuple):
    """A user with a home directory, and the command prefix that brings the program within this user's reach."""

    name: str
    number: int
    home: Path
    enter: tuple[str, ...]

    def command(self, *words: str) -> list[str]:
        """Return the words that run a command as this user, in their home and without a session, as a service does."""
        inside = ["env", "-i", "-C", str(self.home), f"HOME={self.home}", f"USER={self.name}", "LANG=C.UTF-8"]
        path = f"PATH={PROGRAM.parent}:/usr/local/bin:/usr/bin:/bin"
        return [*self.enter, "setpriv", f"--reuid={self.number}", f"--regid={self.number}", "--clear-groups",
                *inside, path, *words]  # fmt: skip

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
            start_new_session=True,
            check=False,
        )

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Write a file below this user's home, owned by the user."""
        file = self.home / path
        for directory in reversed(file.relative_to(self.home).parents):
            (self.home / directory).mkdir(exist_ok=True)
            give_away(self.home / directory, self.number, self.number)
        file.write_text(text)
        file.chmod(mode)
        give_away(file, self.number, self.number)
        return file


@contextmanager
def account(name: str) -> Iterator[Account]:
    """Create a user of that name, and remove it afterwards."""
    require_real(sys.platform == "linux" and is_root(), "root, to make a second user")
    for program in ("useradd", "userdel", "setpriv", "nsenter", "unshare", "mount"):
        require(program)
    home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp"))
    subprocess.run(["userdel", "--force", name], capture_output=True, check=False)  # left over from a killed run
    subprocess.run(
        ["useradd", "--home-dir", home, "--shell", "/bin/bash", "--password", "*", name],
        check=True,
        capture_output=True,
    )
    number = int(subprocess.check_output(["id", "-u", name]))
    give_away(home, number, number)
    home.chmod(0o755)
    try:
        with _reachable() as enter:
            yield Account(name, number, home, enter)
    finally:
        subprocess.run(["pkill", "-KILL", "-u", str(number)], check=False)
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True)
        shutil.rmtree(home)


@contextmanager
def _reachable() -> Iterator[tuple[str, ...]]:
    """Yield the command prefix that makes the program usable for everyone, even if its home directory is closed."""
    needed = [Path(sys.base_prefix), Path(sys.prefix), Path(claude_secrets.__file__).parent.parent]
    needed = [path for path in set(needed) if not any(path.is_relative_to(other) for other in needed if other != path)]
    closed = {top for path in needed for top in _closed(path)}
    with tempfile.TemporaryDirectory() as stage:
        words: Sequence[str] = [stage, " ".join(map(str, closed)), *map(str, needed)]
        keeper = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _REACHABLE, "sh", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert keeper.stdin
        assert keeper.stdout
        try:
            assert keeper.stdout.readline() == b"ready\n"
            yield ("nsenter", "-t", str(keeper.pid), "-m", "--")
        finally:
            keeper.stdin.close()
            keeper.stdout.close()
            keeper.wait(DEADLINE)


def _closed(path: Path) -> list[Path]:
    """Return the topmost directory on the way to `path` that other users may not enter, if there is one."""
    return [top for top in reversed(path.parents) if not top.stat().st_mode & 0o001][:1]

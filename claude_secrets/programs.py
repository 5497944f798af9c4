"""Find the programs on this machine that run for the person, and make the environment for them.

Always: this module reads only the file system, and changes nothing. A project cannot use PATH or another variable to
choose a program or the code that a program loads. Programs that ask the person a question, or show them something, come
only from the system's own directories, whatever PATH contains.
"""

import os
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.true_names import true_path
from claude_secrets.variable_names import is_loading

_ROOT: Final = 0
_STEPS_LIMIT: Final = 400
"""The most components of one path, including the components of the links in it."""

_CONFIGURATION: Final = frozenset({"HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME", "XDG_DATA_DIRS"})
"""The variables without which the person's browser would not find their profile and settings."""

_WINDOWS_ENDINGS: Final = ".COM;.EXE;.BAT;.CMD"
"""The endings of files that Windows itself can start. This is the beginning of PATHEXT's usual value."""

_OWN_ENDINGS: Final = ".COM;.EXE"
"""The endings of programs that run for us on Windows. A batch file would change some of our arguments."""

_SKIP_HERE: Final = "NoDefaultCurrentDirectoryInExePath"
"""If a variable with this name exists, Windows does not look for programs in the working directory."""

_PER_USER: Final = Path("/etc/profiles/per-user")
"""The directory in which NixOS, as root, puts the programs of each account."""


class Places(NamedTuple):
    """Directories in which programs are looked up.

    A directory or program is accepted only if root or `owner` owns it and nobody else can change it. Every directory
    and link in its path must meet the same condition, except for the directories above `below`.
    """

    directories: Sequence[Path]
    owner: int = _ROOT
    below: Path = Path("/")

    def path(self, forbidden: Sequence[Path]) -> str:
        """Return the accepted directories outside `forbidden`, as a PATH."""
        return os.pathsep.join(
            str(each) for each in self.directories if not is_inside(str(each), forbidden) and self._counts(each, "dir")
        )

    def find(self, name: str, forbidden: Sequence[Path]) -> str | None:
        """Return the absolute path of the program `name` outside `forbidden`; None if no such program is accepted.

        Links in the path are not resolved, because some programs behave differently under different names.
        """
        for program in (directory / name for directory in self.directories):
            if os.access(program, os.X_OK) and not is_inside(str(program), forbidden) and self._counts(program, "file"):
                return str(program)
        return None

    def _counts(self, path: Path, kind: str) -> bool:
        """Whether `path` is accepted. Follow the path as the system does, and check each directory, link and file."""
        here, rest = Path("/"), [*reversed(path.parts)]
        status = here.lstat()
        for _ in range(_STEPS_LIMIT):
            if not rest:
                return stat.S_ISREG(status.st_mode) if kind == "file" else stat.S_ISDIR(status.st_mode)
            step = here / rest.pop()
            try:
                status = step.lstat()
                if stat.S_ISLNK(status.st_mode):
                    rest += reversed(step.readlink().parts)
                else:
                    here = step
            except OSError:
                return False
            if not self._is_kept(step, status):
                return False
        return False

    def _is_kept(self, path: Path, status: os.stat_result) -> bool:
        """Whether only `owner` or root can change the file or directory at `path`."""
        if self.below != path and self.below.is_relative_to(path):
            return True
        if status.st_uid not in {_ROOT, self.owner}:
            return False
        if stat.S_ISLNK(status.st_mode):  # a link's mode has no meaning
            return True
        if status.st_mode & stat.S_IWOTH:
            return False
        # With the sticky bit a group can add to a directory (/nix/store), but cannot replace anything in it.
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        return not status.st_mode & stat.S_IWGRP or status.st_gid == _ROOT or bool(sticky)


def _system() -> Places:
    directories = [
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
        "/snap/bin",
        "/var/lib/flatpak/exports/bin",
        "/run/current-system/sw/bin",  # NixOS
        "/run/current-system/profile/bin",  # Guix
        "/nix/var/nix/profiles/default/bin",
    ]
    if sys.platform != "win32" and _PER_USER.is_dir():
        import pwd

        with suppress(KeyError):  # no account
            directories.append(str(_PER_USER / pwd.getpwuid(os.getuid()).pw_name / "bin"))
    return Places([Path(each) for each in directories])


SYSTEM: Places = _system()
"""The directories of programs that ask the person a question, or show them something.

No variable or argument can add a directory.
"""


def clean(environment: Mapping[str, str], forbidden: Sequence[Path]) -> dict[str, str]:
    """Return `environment` without BROWSER and without variables that point into the `forbidden` directories.

    The result always contains PATH, and PATH contains only absolute directories.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name not in {"BROWSER", "PATH"} and not any(is_inside(part, forbidden) for part in value.split(os.pathsep))
    }
    entries = environment.get("PATH", "").split(os.pathsep)
    kept["PATH"] = os.pathsep.join(e for e in entries if Path(e).is_absolute() and not is_inside(e, forbidden))
    return kept


def clean_for(places: Places, environment: Mapping[str, str], forbidden: Sequence[Path]) -> dict[str, str]:
    """Return the result of `clean`, with `places` as PATH and without variables that make programs load code.

    The variables for the display, D-Bus and the proxy are not removed, because programs need them to show the person
    anything.
    """
    kept = clean(environment, forbidden)
    good = {name: kept[name] for name in kept if name in _CONFIGURATION or not is_loading(name)}
    return {**good, "PATH": places.path(forbidden)}


def find(name: str, path: str, forbidden: Sequence[Path]) -> str | None:
    """Look up the program `name` in the cleaned PATH `path`, and return its absolute path.

    Programs inside `forbidden` are passed over. Returns None if no other program is found.
    """
    for directory in path.split(os.pathsep):
        program = named(name, {"PATH": directory, "PATHEXT": _OWN_ENDINGS})
        if program is not None and not is_inside(program, forbidden):
            return program
    return None


def named(word: str, environment: Mapping[str, str], *, platform: str = sys.platform) -> str | None:
    r"""Find the program that `word` names, by PATH, and return its path; None if there is no such program.

    On Windows the result is absolute, and PATHEXT gives the endings that `word` may lack. Windows' own search begins in
    the working directory, so a cloned repository could replace any program. A program is therefore taken from the
    working directory only if `word` has a path, as in `.\tool`, or if PATH contains the directory's absolute path.
    """
    path = environment.get("PATH")
    if platform != "win32":
        return shutil.which(word, path=path)
    endings = [each for each in environment.get("PATHEXT", _WINDOWS_ENDINGS).split(";") if each.startswith(".")]
    names = [word + ending for ending in endings]
    if word.lower().endswith(tuple(ending.lower() for ending in endings)):
        names.insert(0, word)
    if os.path.dirname(word):  # noqa: PTH120  Path drops "./"
        directories = [""]
        names.append(word)
    else:
        directories = _absolute_entries(environment)
    for program in (os.path.join(directory, name) for directory in directories for name in names):  # noqa: PTH118
        if os.path.exists(program) and not os.path.isdir(program):  # noqa: PTH110, PTH112  aliases of apps exist, too
            return os.path.abspath(program)  # noqa: PTH100  it removes dots and blanks at the end as Windows does
    return None


def without_planted(
    program: str, environment: Mapping[str, str], here: str, *, platform: str = sys.platform
) -> dict[str, str]:
    """Return `environment`, changed so that programs in the working directory `here` do not replace programs of PATH.

    On Windows, cmd.exe and CreateProcess search the working directory before PATH. A batch file of PATH that starts
    `node` would start the `node.cmd` of a cloned repository. Windows skips the working directory if a certain variable
    exists (Microsoft, "NeedCurrentDirectoryForExePathW function"). The variable is added only if a program in `here`
    has the name of a program of PATH. It is not added if `program` is inside `here`, or if PATH contains `here`.
    """
    path = _absolute_entries(environment)
    if platform != "win32" or is_inside(program, [Path(here)]) or any(_is_same(each, here) for each in path):
        return dict(environment)
    endings = tuple({*_endings(environment.get("PATHEXT", "")), *_endings(_WINDOWS_ENDINGS)})
    planted = _called(here, endings)
    if not planted or all(planted.isdisjoint(_called(each, endings)) for each in path):
        return dict(environment)
    return {**environment, _SKIP_HERE: "1"}


def _absolute_entries(environment: Mapping[str, str]) -> list[str]:
    """Return the absolute directories of Windows' PATH."""
    entries = environment.get("PATH", "").replace('"', "").split(os.pathsep)
    return [each for each in entries if Path(each).is_absolute()]


def _endings(text: str) -> list[str]:
    return [each.lower() for each in text.split(";") if each.startswith(".")]


def _is_same(one: str, other: str) -> bool:
    return os.path.normcase(os.path.normpath(one)) == os.path.normcase(os.path.normpath(other))


def _called(directory: str, endings: tuple[str, ...]) -> set[str]:
    """Return the names by which Windows finds the programs in a directory, with and without their endings."""
    try:
        files = [name.lower() for name in os.listdir(directory)]  # noqa: PTH208  names are enough
    except OSError:  # PATH often names directories that do not exist
        return set()
    found = [name for name in files if name.endswith(endings)]
    return {*found, *(name.rpartition(".")[0] for name in found)}


def is_inside(path: str, forbidden: Sequence[Path]) -> bool:
    """Whether `path` is absolute and inside one of the `forbidden` directories, before or after links are resolved."""
    if not Path(path).is_absolute():
        return False
    places = {Path(os.path.normpath(path)), Path(true_path(path))}
    directories = {*forbidden, *(Path(true_path(directory)) for directory in forbidden)}
    return any(place.is_relative_to(directory) for place in places for directory in directories)

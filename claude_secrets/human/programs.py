"""Programs of the machine, run for the person: where they are found, and with which environment they run.

Always: pure but for looking at the file system; what a project put into the environment or the PATH chooses
neither a program nor what it loads. The other modules of `human/` import it.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path


def clean(environment: Mapping[str, str], forbidden: Sequence[Path]) -> dict[str, str]:
    """Return `environment` without BROWSER and what points into the `forbidden` directories.

    PATH is always there, with absolute entries only.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name not in {"BROWSER", "PATH"} and not any(_inside(part, forbidden) for part in value.split(os.pathsep))
    }
    entries = environment.get("PATH", "").split(os.pathsep)
    kept["PATH"] = os.pathsep.join(e for e in entries if Path(e).is_absolute() and not _inside(e, forbidden))
    return kept


def find(name: str, path: str, forbidden: Sequence[Path]) -> str | None:
    """The absolute path of the program `name` in the cleaned PATH `path`; None if none lies outside `forbidden`."""
    program = shutil.which(name, path=path)
    return None if program is None or _inside(program, forbidden) else program


def _inside(path: str, forbidden: Sequence[Path]) -> bool:
    """Whether the absolute `path` lies in one of the directories, as it is written or where its links lead."""
    if not Path(path).is_absolute():
        return False
    places = {Path(os.path.normpath(path)), Path(os.path.realpath(path))}
    directories = {*forbidden, *(Path(os.path.realpath(directory)) for directory in forbidden)}
    return any(place.is_relative_to(directory) for place in places for directory in directories)

"""Opens the one-time page in the person's graphical browser.

Always: only this module chooses the program that opens the page; the variables `BROWSER` and PATH have no influence.
The program comes from the system's directories, never from a forbidden directory. Its environment has no entries that
point into forbidden directories. The program does not get our standard streams, because standard output carries the
protocol. The caller does not wait until the browser ends. In WSL, browsers on Linux are tried first, because the page
can check their user, and because they also work with a mirrored network. If none of them opens the page, the person's
Windows browser opens the entry file.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from claude_secrets import programs
from claude_secrets.programs import Places
from claude_secrets.prompt import wsl

_LINUX = (
    ("xdg-open",),
    ("gio", "open"),
    ("x-www-browser",),
    ("chromium",),
    ("google-chrome",),
    ("firefox",),
    ("org.mozilla.firefox",),  # Flatpak's names for Firefox and Chromium
    ("org.chromium.Chromium",),
)
_FAILURE_LIMIT = 1.0
"""A program that cannot open the page exits with an error within this many seconds."""


def open_page(
    page: str,
    environment: Mapping[str, str],
    *,
    forbidden: Sequence[Path],
    platform: str,
    places: Places | None = None,
    entry_file: Callable[[], Path] | None = None,
) -> bool:
    """Open `page`, an address or the path of an entry file. Return whether a program accepted it.

    Trying a program that fails takes up to a second.

    No program is run and no file is read from the `forbidden` directories (a project's directory and its work tree).
    Programs are looked up in `places`, by default the system's directories. On Linux, a browser needs a display:
    DISPLAY or WAYLAND_DISPLAY must name one. `entry_file` makes the file that a browser on Windows opens if this is WSL
    (see `wsl`); without it, only browsers on Linux are tried.

    Raises:
        ValueError: `page` is neither an address on 127.0.0.1 nor an absolute path.
    """
    if not (page.startswith("http://127.0.0.1:") or Path(page).is_absolute()):
        raise ValueError("only a page on 127.0.0.1 is opened")
    if platform == "win32":
        return _start_file(page)
    places = places or programs.SYSTEM
    clean = programs.clean_for(places, environment, forbidden)
    if platform == "darwin":
        return _run(["/usr/bin/open", page], clean)
    if any(_run([*command, page], clean) for command in _on_linux(places, clean, forbidden)):
        return True
    if entry_file is None:
        return False
    return wsl.open_file(entry_file, places, clean, forbidden, run=_run)


def opener(
    environment: Mapping[str, str],
    *,
    forbidden: Sequence[Path],
    platform: str,
    places: Places | None = None,
) -> str | None:
    """Return the program that `open_page` tries first, or None if there is none. Nothing is opened."""
    if platform in ("win32", "darwin"):
        return "your default browser"
    places = places or programs.SYSTEM
    clean = programs.clean_for(places, environment, forbidden)
    on_linux = next(_on_linux(places, clean, forbidden), None)
    command = on_linux or wsl.opener(places, clean, forbidden)
    return None if command is None else command[0]


def _on_linux(places: Places, environment: Mapping[str, str], forbidden: Sequence[Path]) -> Iterator[list[str]]:
    """Yield the commands that may open a page on this display. The caller adds the page to a command."""
    if environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"):
        for name, *arguments in _LINUX:
            program = places.find(name, forbidden)
            if program is not None:
                yield [program, *arguments]


def _start_file(page: str) -> bool:
    start: Callable[[str], None] | None = getattr(os, "startfile", None)
    if start is None:
        return False
    try:
        start(page)
    except OSError:
        return False
    return True


def _run(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Start `command` in a new session. Return False if the command cannot be started or fails within a second."""
    try:
        process = subprocess.Popen(  # noqa: S603 - a program of the system, an address of our own
            command,
            env=dict(environment),
            cwd="/",  # not the project, which is our own working directory
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return process.wait(_FAILURE_LIMIT) == 0
    except subprocess.TimeoutExpired:
        # The program is the browser itself and keeps running. The thread reaps the process when it ends.
        threading.Thread(target=process.wait, name="claude-secrets browser", daemon=True).start()
        return True

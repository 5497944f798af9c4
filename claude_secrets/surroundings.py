"""Recognise an SSH session, a container and a codespace, only to say in a message where the person can type.

Always: nothing else depends on the result, because a project can set the variables, and an agent can, too.
"""

import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

_DOCKER: Final = ".dockerenv"
_PODMAN: Final = "run/.containerenv"
"""Files that Docker and Podman make in each container (podman-run(1))."""


class Surroundings(StrEnum):
    """Where this process runs, as far as it matters for finding a terminal."""

    CODESPACE = "codespace"
    DOCKER = "docker"
    PODMAN = "podman"
    CONTAINER = "container"
    SSH = "ssh"
    PLAIN = "plain"

    @property
    def is_container(self) -> bool:
        """Whether this is a container. A codespace is one, too."""
        return self in (Surroundings.CODESPACE, Surroundings.DOCKER, Surroundings.PODMAN, Surroundings.CONTAINER)


def surroundings(environment: Mapping[str, str], *, root: Path = Path("/")) -> Surroundings:
    """Return where this process runs. `root` is the directory that may contain the files of Docker and Podman.

    GitHub sets `CODESPACES` in a codespace, systemd-nspawn, LXC and Podman set `container`, and sshd sets
    `SSH_CONNECTION` (ssh(1)).
    """
    if environment.get("CODESPACES"):
        return Surroundings.CODESPACE
    if (root / _DOCKER).exists():
        return Surroundings.DOCKER
    if (root / _PODMAN).exists():
        return Surroundings.PODMAN
    if environment.get("container"):
        return Surroundings.CONTAINER
    return Surroundings.SSH if environment.get("SSH_CONNECTION") else Surroundings.PLAIN


def a_terminal(here: Surroundings) -> str:
    """Return words for a terminal in which the person can type on this machine, such as "a terminal"."""
    match here:
        case Surroundings.CODESPACE:
            return "a terminal in this codespace"
        case Surroundings.DOCKER | Surroundings.PODMAN:
            return f"a terminal in this container ({here} exec -it{_as_this_user()} CONTAINER sh)"
        case Surroundings.CONTAINER:
            return "a terminal in this container"
        case Surroundings.SSH:
            return "another SSH session on this machine"
        case _:
            return "a terminal"


def _as_this_user() -> str:
    if sys.platform == "win32":
        return ""
    else:
        return f" -u {os.getuid()}"

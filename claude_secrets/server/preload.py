"""Load the modules that later calls may need, so that a server keeps working if its files are replaced.

Always: the modules are loaded one by one on the gate's thread, which also carries out the calls. A call therefore waits
for at most one module, and does not import at the same time: Python can report a deadlock if two threads import modules
that need each other.
"""

import importlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

AFTER_SECONDS: Final = 1.0
"""How long after its start the server begins to load. A client's first messages arrive earlier than this."""

_EVERYWHERE: Final = (
    "yaml",
    "re2",
    "json",
    "encodings.utf_16_le",  # SQLite's module converts some texts with it
    "claude_secrets.shell_words",
    "importlib.metadata",
    "urllib.parse",
    "urllib.request",
    "cryptography.exceptions",
    "cryptography.hazmat.primitives.ciphers.aead",
    "cryptography.hazmat.primitives.kdf.argon2",
    "claude_secrets.keys.os_keyring",
    "keyring.errors",
)
_BY_PLATFORM: Final[Mapping[str, tuple[str, ...]]] = {
    "darwin": ("pwd", "grp", "fcntl", "psutil"),
    "win32": ("ctypes", "psutil", "msvcrt", "claude_secrets.windows_access", "keyring.backends.Windows"),
    "linux": (
        "pwd",
        "grp",
        "fcntl",
        "keyring.backends.SecretService",
        "cryptography.hazmat.backends.openssl.backend",  # SecretService imports it when it connects
    ),
}
_KEYRINGS: Final = ("keyring.backends.libsecret", "keyring.backends.kwallet")
"""Backends that are loaded only if the environment chooses one of them."""


def modules(environment: Mapping[str, str], platform: str = sys.platform) -> tuple[str, ...]:
    """Return the names of the modules to load, in the order in which calls usually need them.

    A name that the environment contains is only used if it is one of keyring's own backends.
    """
    chosen = environment.get("PYTHON_KEYRING_BACKEND", "").rpartition(".")[0]
    own = (chosen,) if chosen in _KEYRINGS and platform == "linux" else ()
    return (*_EVERYWHERE, *_BY_PLATFORM.get(platform, ()), *own)


class Preloading:
    """Loads modules with tasks for the gate's thread, which `submit` queues behind the waiting calls."""

    def __init__(self, submit: Callable[[Callable[[], None]], object], names: Iterable[str]) -> None:
        self._submit = submit
        self._names = deque(names)

    def begin(self) -> None:
        """Begin to load. This method returns at once."""
        if self._names:
            self._submit(self._load_one)

    def stop(self) -> None:
        """Load no further module after the one that is being loaded."""
        self._names.clear()

    def _load_one(self) -> None:
        # A module that is missing or broken is reported by the call that needs it.
        with suppress(Exception):
            importlib.import_module(self._names.popleft())
        self.begin()

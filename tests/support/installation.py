"""Installations of the program in other directories, which tests replace and remove while a server runs."""

import base64
import hashlib
import shutil
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import claude_secrets
from claude_secrets.version import __version__

PACKAGE = Path(claude_secrets.__file__).parent
NEXT = "9.8.7"
"""The version to which tests upgrade."""


def files(version: str = __version__, *, comment: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file of a wheel. `comment` makes the content of a module different."""
    for path in sorted(PACKAGE.rglob("*")):
        name = f"claude_secrets/{path.relative_to(PACKAGE).as_posix()}"
        if path.is_dir() or "__pycache__" in name:
            continue
        content = path.read_bytes()
        if name == "claude_secrets/version.py":
            content = f'"""The version."""\n\n__version__ = "{version}"\n{comment}'.encode()
        yield name, content
    metadata = f"claude_secrets-{version}.dist-info"
    yield f"{metadata}/METADATA", f"Metadata-Version: 2.3\nName: claude-secrets\nVersion: {version}\n".encode()
    yield f"{metadata}/WHEEL", b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def record(entries: list[tuple[str, bytes]], version: str = __version__) -> bytes:
    """Return the RECORD of the files."""
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}"
        for name, content in entries
    ]
    return "\n".join([*lines, f"claude_secrets-{version}.dist-info/RECORD,,", ""]).encode()


def wheel(directory: Path, version: str = __version__, *, comment: str = "") -> Path:
    """Write a wheel, and return its path."""
    entries = [*files(version, comment=comment)]
    path = directory / f"claude_secrets-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in [*entries, (f"claude_secrets-{version}.dist-info/RECORD", record(entries, version))]:
            archive.writestr(name, content)
    return path


class Site:
    """A directory of packages with an installation of the program, as an installer leaves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {"PYTHONPATH": str(path)}
        self.install()

    def install(self, version: str = __version__, *, comment: str = "") -> None:
        """Replace what is installed. RECORD comes last."""
        self.remove()
        entries = [*files(version, comment=comment)]
        for name, content in [*entries, (f"claude_secrets-{version}.dist-info/RECORD", record(entries, version))]:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_bytes(content)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def record(self) -> Path:
        return self.path / f"claude_secrets-{__version__}.dist-info" / "RECORD"


def dependencies() -> Path:
    """Return the directory that contains the packages that the program needs."""
    return Path(sysconfig.get_paths()["purelib"])


def add_dependencies(environment: Path) -> None:
    """Let a virtual environment of the same Python use the packages of this one, except for this package."""
    inner = "Lib" if sys.platform == "win32" else f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
    (environment / inner / "site-packages" / "dependencies.pth").write_text(f"{dependencies()}\n")

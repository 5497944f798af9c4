"""The initial inputs of each target."""

from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
VECTORS: Final = HERE.parent / "vectors"

TARGET_NAMES: Final = (
    "wire",
    "line",
    "allowlist",
    "policy-yaml",
    "policy-json",
    "dotenv-text",
    "source",
    "redactor",
    "pattern",
    "store",
)


def directories(target: str) -> list[Path]:
    """Return the directories that contain a target's initial inputs."""
    target = "line" if target == "wire" else target
    return [HERE / "corpus" / target, *([VECTORS] if target == "store" else [])]


def seeds(target: str) -> list[bytes]:
    """Return a target's initial inputs."""
    found = [path for directory in directories(target) for path in sorted(directory.iterdir())]
    return [path.read_bytes() for path in found if path.is_file() and path.suffix in ("", ".db")]

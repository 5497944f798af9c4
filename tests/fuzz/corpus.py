"""The inputs that each target begins with."""

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
    """Where the inputs of a target are."""
    target = "line" if target == "wire" else target
    return [HERE / "corpus" / target, *([VECTORS] if target == "store" else [])]


def seeds(target: str) -> list[bytes]:
    """The inputs of a target."""
    found = [path for directory in directories(target) for path in sorted(directory.iterdir())]
    return [path.read_bytes() for path in found if path.is_file() and path.suffix in ("", ".db")]

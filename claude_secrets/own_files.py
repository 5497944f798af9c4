"""The person's own files in their configuration directory: `policy.yml` (or `policy.json`) and `config.yml`.

Always: what cannot be understood denies everything and says the line and column; only these files loosen anything.
The faces and the doorway import it.
"""

import os
from collections.abc import Callable
from enum import IntEnum, StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from claude_secrets import versions
from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import Access
from claude_secrets.policy_file import read_plain
from claude_secrets.rules import Rules
from claude_secrets.rules_file import read_rules
from claude_secrets.strict_yaml import Mapping, Mark, Node, NotUnderstood, Text, parse

POLICY: Final = "policy.yml"
POLICY_JSON: Final = "policy.json"
CONFIG: Final = "config.yml"
_MISSPELLED: Final = ("policy.yaml", "config.yaml", "config.json")

KEPT_VERSIONS_LIMIT: Final = 1000

_FLAGS: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_T = TypeVar("_T")


class Trust(IntEnum):
    """When a project's agents may use what it is not granted; a greater one is tighter.

    OFF: the allowlist alone decides. ASK: its own secrets freely. REQUIRED: not even those.
    """

    OFF = 0
    ASK = 1
    REQUIRED = 2

    @classmethod
    def named(cls, name: str) -> "Trust | None":
        """The mode of that name in lower case, if there is one."""
        return {mode.name.lower(): mode for mode in cls}.get(name)


class Channels(StrEnum):
    """How the person may be asked: whatever works, or by a dialog that no client can answer in their place."""

    ANY = "any"
    DIALOG = "dialog"


class Presence(StrEnum):
    """Where commands that loosen something may run: at a terminal, or anywhere."""

    TERMINAL = "terminal"
    ANY = "any"


class Config(NamedTuple):
    """What `config.yml` says, or what holds without it. `store` is the path to use where nothing else names one."""

    trust: Trust = Trust.ASK
    consent: Channels = Channels.ANY
    store: Path | None = None
    default_access: Access | None = None
    keep_versions: int = versions.KEPT
    presence: Presence = Presence.TERMINAL
    namespace_is_mine: bool = False


_NO_RULES: Final = Rules(source="person")


class OwnFiles(NamedTuple):
    """The person's rules and settings as they are now; `data` is what was read, so that a change can be seen."""

    rules: Rules
    config: Config
    data: tuple[bytes, ...]


def read_own_files(directory: Path) -> OwnFiles:
    """Read both files; what is not there says nothing.

    Raises:
        DeniedError: ALLOWLIST_INVALID, with line and column.
    """
    there = _names_in(directory)
    for name in there.intersection(_MISSPELLED):
        if os.path.lexists(directory / name):
            raise DeniedError(
                Code.ALLOWLIST_INVALID,
                f"You have a {name}, which is not a name that is read; while you do, everything is denied.",
                f"In {directory} there may be {POLICY} or {POLICY_JSON}, and {CONFIG}.",
            )
    policy, policy_json, config = (
        _read(directory / name) if name in there else None for name in (POLICY, POLICY_JSON, CONFIG)
    )
    if policy is not None and policy_json is not None:
        raise DeniedError(
            Code.ALLOWLIST_INVALID,
            f"You have both {POLICY} and {POLICY_JSON}; while you do, everything is denied.",
            f"Remove one of them from {directory}.",
        )
    rules, settings = _NO_RULES, Config()
    if policy is not None:
        rules = parse_policy(policy, POLICY)
    if policy_json is not None:
        rules = parse_policy(policy_json, POLICY_JSON)
    if config is not None:
        settings = _understood(CONFIG, _config, config)
    return OwnFiles(rules, settings, tuple(data or b"" for data in (policy, policy_json, config)))


def read_config(directory: Path) -> Config:
    """What `config.yml` alone says. Raises `DeniedError` ALLOWLIST_INVALID."""
    data = _read(directory / CONFIG)
    return Config() if data is None else _understood(CONFIG, _config, data)


def parse_policy(data: bytes, file: str) -> Rules:
    """The rules that the bytes of a policy spell, whose `file` name ends in `.json` where it is JSON.

    Raises:
        DeniedError: ALLOWLIST_INVALID, with line and column.
    """
    # A tab can only be indentation in JSON, and YAML knows none.
    return _understood(file, _rules, data.replace(b"\t", b" ") if file.endswith(".json") else data)


def _names_in(directory: Path) -> frozenset[str]:
    """What there may be, in lower case as some file systems see it: sooner told than by trying to open each file."""
    try:
        return frozenset(name.lower() for name in os.listdir(directory))  # noqa: PTH208  names are all that is wanted
    except FileNotFoundError:
        return frozenset()
    except OSError:
        raise _unreadable(directory) from None


def _read(path: Path) -> bytes | None:
    try:
        # Without O_NONBLOCK a named pipe in the file's place would wait for a writer.
        return read_plain(os.open(path, os.O_RDONLY | _FLAGS))
    except FileNotFoundError:
        if path.is_symlink():  # it leads nowhere now, and says something we cannot know
            raise _unreadable(path) from None
        return None
    except OSError:
        raise _unreadable(path) from None


def _unreadable(path: Path) -> DeniedError:
    return DeniedError(
        Code.ALLOWLIST_INVALID,
        f"Your {path.name} cannot be read; until it can, everything is denied.",
        f"Look at {path}.",
    )


def _understood(file: str, read: Callable[[bytes], _T], data: bytes) -> _T:
    try:
        return read(data)
    except NotUnderstood as error:
        raise error.denied(file) from None


@lru_cache(maxsize=1)  # read at every call, but parsed again only where it differs
def _rules(data: bytes) -> Rules:
    node = parse(data)
    if node is None:
        raise NotUnderstood(Mark(1, 1), 'a policy needs version: "1" and default: allow or deny')
    return read_rules(node, "person")


@lru_cache(maxsize=1)
def _config(data: bytes) -> Config:
    node = parse(data)
    if node is None or (isinstance(node, Text) and node.kind == "null"):
        return Config()
    if not isinstance(node, Mapping):
        raise NotUnderstood(node.mark, "the file must be a mapping")
    found: dict[str, object] = {}
    for key, value in node.entries:
        if key.value not in _CONFIG_KEYS:
            raise NotUnderstood(key.mark, f"this key is unknown; there are {', '.join(_CONFIG_KEYS)}")
        field, read = _CONFIG_KEYS[key.value]
        found[field] = read(value)
    return Config(**found)  # type: ignore[arg-type]  # each reader returns what its field takes


def _trust(node: Node) -> Trust:
    # YAML takes an unquoted `off` for a truth value; here it can mean one thing only.
    mode = Trust.named(_scalar(node))
    if mode is None:
        raise NotUnderstood(node.mark, "trust is ask, required or off")
    return mode


def _consent(node: Node) -> Channels:
    if (text := _scalar(node)) not in set(Channels):
        raise NotUnderstood(node.mark, "consent is any or dialog")
    return Channels(text)


def _store(node: Node) -> Path:
    try:
        path = Path(_scalar(node)).expanduser()
    except RuntimeError:  # the home of somebody who is not there
        path = Path()
    if not path.is_absolute() or "\0" in str(path):
        raise NotUnderstood(node.mark, "store is an absolute path, or one that begins with ~")
    return path


def _access(node: Node) -> Access:
    if (text := _scalar(node)) not in set(Access):
        raise NotUnderstood(node.mark, "default_access is readable or use-only")
    return Access(text)


def _versions(node: Node) -> int:
    text = _scalar(node)
    if not (text.isascii() and text.isdecimal()) or len(text) > 4 or not 1 <= int(text) <= KEPT_VERSIONS_LIMIT:
        raise NotUnderstood(node.mark, f"keep_versions is a number from 1 to {KEPT_VERSIONS_LIMIT}")
    return int(text)


def _presence(node: Node) -> Presence:
    if (text := _scalar(node)) not in set(Presence):
        raise NotUnderstood(node.mark, "presence is terminal or any")
    return Presence(text)


def _namespace(node: Node) -> bool:
    if _scalar(node) != "mine":
        raise NotUnderstood(node.mark, "namespace is mine, or the line is left out")
    return True


def _scalar(node: Node) -> str:
    if not isinstance(node, Text):
        raise NotUnderstood(node.mark, "this must be text")
    return node.value


_CONFIG_KEYS: Final[dict[str, tuple[str, Callable[[Node], object]]]] = {
    "trust": ("trust", _trust),
    "consent": ("consent", _consent),
    "store": ("store", _store),
    "default_access": ("default_access", _access),
    "keep_versions": ("keep_versions", _versions),
    "presence": ("presence", _presence),
    "namespace": ("namespace_is_mine", _namespace),
}
"""The keys of `config.yml`, each with its field of `Config` and what reads it."""

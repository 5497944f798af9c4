"""The keys of `config.yml`: how each is parsed, and which of two settings is stricter. `personal_files` reads the file.

Always: an unknown key or a value of the wrong type is an error.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from claude_secrets.model import KEPT_VERSIONS, Access
from claude_secrets.policy.rules_parser import whole_number
from claude_secrets.policy.strict_yaml import Mapping as Pairs
from claude_secrets.policy.strict_yaml import Node, NotUnderstood, Text, once, parse

CONFIG: Final = "config.yml"

KEPT_VERSIONS_LIMIT: Final = 1000
MIB_LIMIT: Final = 1_000_000


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

    @classmethod
    def asked_for(cls, word: str | None) -> "Trust":
        """The mode that an argument or the environment asks for; what names none asks for something, not for less."""
        if not word:
            return cls.OFF
        mode = cls.named(word)
        return cls.REQUIRED if mode is None else mode


class Channels(StrEnum):
    """How the person may be asked: whatever works, or by a dialog that no client can answer in their place."""

    ANY = "any"
    DIALOG = "dialog"


class Presence(StrEnum):
    """Where commands that loosen something may run: at a terminal, or anywhere."""

    TERMINAL = "terminal"
    ANY = "any"


class Config(NamedTuple):
    """What `config.yml` says, or what holds without it.

    `store` is the path to use if nothing else names one, `usual_store` the one that the account's file names;
    `namespace`: the person works in namespaces of their own. Agents of a project may store `agent_mib_per_minute`, and
    nothing that makes the store larger than `agent_mib_total` (MiB).
    """

    trust: Trust = Trust.ASK
    consent: Channels = Channels.ANY
    store: Path | None = None
    default_access: Access | None = None
    keep_versions: int = KEPT_VERSIONS
    presence: Presence = Presence.TERMINAL
    namespace: bool = False
    agent_mib_per_minute: int = 4
    agent_mib_total: int = 256
    usual_store: Path | None = None


@once
def parse_config(data: bytes) -> Mapping[str, object]:
    """What the file says, by key."""
    node = parse(data)
    if node is None or (isinstance(node, Text) and node.kind == "null"):
        return {}
    if not isinstance(node, Pairs):
        raise NotUnderstood(node.mark, "the file must be a mapping")
    settings: dict[str, object] = {}
    for key, value in node.entries:
        if key.value not in KEYS:
            raise NotUnderstood(key.mark, f"this key is unknown; there are {', '.join(KEYS)}")
        settings[key.value] = KEYS[key.value].read(value)
    return settings


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
        path = Path(_scalar(node))
        whole = path.expanduser()
    except RuntimeError:  # the home of somebody who is not there
        path = whole = Path()
    # YAML takes a ~ without quotes for nothing.
    if not whole.is_absolute() or "\0" in str(path) or not isinstance(node, Text) or node.kind != "str":
        raise NotUnderstood(node.mark, "store is an absolute path, or one that begins with ~")
    return path if path.parts[0] == "~" else whole


def _access(node: Node) -> Access:
    if (text := _scalar(node)) not in set(Access):
        raise NotUnderstood(node.mark, "default_access is readable or use-only")
    return Access(text)


def _versions(node: Node) -> int:
    return _number(node, "keep_versions", KEPT_VERSIONS_LIMIT)


def _mib_per_minute(node: Node) -> int:
    return _number(node, "agent_mib_per_minute", MIB_LIMIT)


def _mib_total(node: Node) -> int:
    return _number(node, "agent_mib_total", MIB_LIMIT)


def _number(node: Node, key: str, limit: int) -> int:
    number = whole_number(node)
    if number is None or number > limit:
        raise NotUnderstood(node.mark, f"{key} is a number from 1 to {limit}, without quotes")
    return number


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


class Key(NamedTuple):
    """A key of `config.yml`: how it is read, and what holds of the account's value and the environment's."""

    read: Callable[[Node], object]
    stricter: Callable[[Any, Any], object]


def _last_of(*order: object) -> Callable[[object, object], object]:
    """The stricter of two values, by an order from loose to strict."""
    return lambda account, environment: max(account, environment, key=order.index)


KEYS: Final[dict[str, Key]] = {
    "trust": Key(_trust, max),
    "consent": Key(_consent, _last_of(Channels.ANY, Channels.DIALOG)),
    "store": Key(_store, lambda _, environment: environment),  # loosens nothing: an unusual store is shown as one
    "default_access": Key(_access, _last_of(Access.READABLE, None, Access.USE_ONLY)),
    "keep_versions": Key(_versions, max),
    "presence": Key(_presence, _last_of(Presence.ANY, Presence.TERMINAL)),
    "namespace": Key(_namespace, min),
    "agent_mib_per_minute": Key(_mib_per_minute, min),
    "agent_mib_total": Key(_mib_total, min),
}
"""The keys of `config.yml`, each with its field of `Config` and what reads it."""

"""Parse the keys of `config.yml`, and compare which of two values is stricter. `personal_files` reads the file.

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
    """The mode of trust: which secrets a project's agents may use without a grant. A greater mode is stricter.

    With OFF, agents may use every secret that the allowlist covers. With ASK, agents may use only the
    allowlisted secrets that their project stored. With REQUIRED, agents need a grant for every secret.
    """

    OFF = 0
    ASK = 1
    REQUIRED = 2

    @classmethod
    def named(cls, name: str) -> "Trust | None":
        """Return the mode whose lower-case name is `name`, or None if there is no such mode."""
        return {mode.name.lower(): mode for mode in cls}.get(name)

    @classmethod
    def asked_for(cls, word: str | None) -> "Trust":
        """Return the mode whose name is `word`, OFF if `word` is empty, or REQUIRED if `word` is unknown.

        `word` comes from an argument or from the environment.
        """
        if not word:
            return cls.OFF
        mode = cls.named(word)
        return cls.REQUIRED if mode is None else mode


class Channels(StrEnum):
    """How the person may be asked: in any way, or only in a dialog. No client can answer a dialog for them."""

    ANY = "any"
    DIALOG = "dialog"


class Presence(StrEnum):
    """Where the person may run commands that loosen protection: only at a terminal, or anywhere."""

    TERMINAL = "terminal"
    ANY = "any"


class Config(NamedTuple):
    """The person's settings from `config.yml`. Missing keys have default values.

    `store` is the path of the store to use if neither an argument nor the environment names a store. `usual_store` is
    the store's path in the account's own file. `namespace` is true if the person works inside Linux namespaces of their
    own. A project's agents may store at most `agent_mib_per_minute` MiB per minute. Agents may not make the store
    larger than `agent_mib_total` MiB.
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
    """Parse the bytes of `config.yml`, and return the settings by key.

    Raises:
        NotUnderstood: the file is invalid. The error gives the line and column.
    """
    node = parse(data)
    if node is None or (isinstance(node, Text) and node.kind == "null"):
        return {}
    if not isinstance(node, Pairs):
        raise NotUnderstood(node.mark, "the file must be a mapping")
    settings: dict[str, object] = {}
    for key, value in node.entries:
        if key.value not in KEYS:
            raise NotUnderstood(key.mark, f"unknown key; the keys are {', '.join(KEYS)}")
        settings[key.value] = KEYS[key.value].read(value)
    return settings


def _trust(node: Node) -> Trust:
    # YAML reads an unquoted `off` as a boolean. As a value of this key it can only mean the mode.
    mode = Trust.named(_scalar(node))
    if mode is None:
        raise NotUnderstood(node.mark, "trust must be ask, required or off")
    return mode


def _consent(node: Node) -> Channels:
    if (text := _scalar(node)) not in set(Channels):
        raise NotUnderstood(node.mark, "consent must be any or dialog")
    return Channels(text)


def _store(node: Node) -> Path:
    try:
        path = Path(_scalar(node))
        whole = path.expanduser()
    except RuntimeError:  # the path begins with `~USER`, and the user is unknown
        path = whole = Path()
    # YAML reads a single ~ without quotes as null.
    if not whole.is_absolute() or "\0" in str(path) or not isinstance(node, Text) or node.kind != "str":
        raise NotUnderstood(node.mark, "store must be an absolute path, or a path that begins with ~")
    return path if path.parts[0] == "~" else whole


def _access(node: Node) -> Access:
    if (text := _scalar(node)) not in set(Access):
        raise NotUnderstood(node.mark, "default_access must be readable or use-only")
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
        raise NotUnderstood(node.mark, f"{key} must be a number from 1 to {limit}, without quotes")
    return number


def _presence(node: Node) -> Presence:
    if (text := _scalar(node)) not in set(Presence):
        raise NotUnderstood(node.mark, "presence must be terminal or any")
    return Presence(text)


def _namespace(node: Node) -> bool:
    if _scalar(node) != "mine":
        raise NotUnderstood(node.mark, "namespace can only be `mine`; to turn it off, remove the line")
    return True


def _scalar(node: Node) -> str:
    if not isinstance(node, Text):
        raise NotUnderstood(node.mark, "this must be text")
    return node.value


class Key(NamedTuple):
    """A key of `config.yml`.

    `read` parses the key's value. `stricter` returns the stricter one of the account's and the environment's values.
    """

    read: Callable[[Node], object]
    stricter: Callable[[Any, Any], object]


def _last_of(*order: object) -> Callable[[object, object], object]:
    """Return a function that returns the stricter of two values. `order` lists all values, loosest first."""
    return lambda account, environment: max(account, environment, key=order.index)


KEYS: Final[dict[str, Key]] = {
    "trust": Key(_trust, max),
    "consent": Key(_consent, _last_of(Channels.ANY, Channels.DIALOG)),
    "store": Key(_store, lambda _, environment: environment),  # the person sees if the store is unusual
    "default_access": Key(_access, _last_of(Access.READABLE, None, Access.USE_ONLY)),
    "keep_versions": Key(_versions, max),
    "presence": Key(_presence, _last_of(Presence.ANY, Presence.TERMINAL)),
    "namespace": Key(_namespace, min),
    "agent_mib_per_minute": Key(_mib_per_minute, min),
    "agent_mib_total": Key(_mib_total, min),
}
"""The keys of `config.yml`. Each key is also a field of `Config`."""

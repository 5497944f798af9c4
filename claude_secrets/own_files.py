"""The person's own files in their configuration directory: `policy.yml` (or `policy.json`) and `config.yml`.

Always: what cannot be understood, or could be somebody else's, denies everything; only the files of the account's own
directory loosen anything, those of a directory that the environment names tighten. The faces and the doorway import it.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from claude_secrets import paths, versions
from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import Access
from claude_secrets.ownership import CheckLink, read_own, unreadable
from claude_secrets.paths import OwnDirectories
from claude_secrets.rules import WRITES_A_MINUTE, Kind, Rules, built_in
from claude_secrets.rules_file import read_rules, whole_number
from claude_secrets.strict_yaml import Mapping as Pairs
from claude_secrets.strict_yaml import Mark, Node, NotUnderstood, Text, once, parse

POLICY: Final = "policy.yml"
POLICY_JSON: Final = "policy.json"
CONFIG: Final = "config.yml"
_MISSPELLED: Final = ("policy.yaml", "config.yaml", "config.json")

KEPT_VERSIONS_LIMIT: Final = 1000

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
    """What `config.yml` says, or what holds without it.

    `store` is the path to use if nothing else names one, `usual_store` the one that the account's file names;
    `namespace`: the person works in namespaces of their own.
    """

    trust: Trust = Trust.ASK
    consent: Channels = Channels.ANY
    store: Path | None = None
    default_access: Access | None = None
    keep_versions: int = versions.KEPT
    presence: Presence = Presence.TERMINAL
    namespace: bool = False
    usual_store: Path | None = None


class OwnFiles(NamedTuple):
    """The person's rules and settings as they are now; `data` is what was read, so that a change can be seen.

    `rules` are the account's, `tightening` those of the environment's directory; `ignored` says what there does not
    count, for it would loosen.
    """

    rules: Rules
    config: Config
    data: tuple[bytes, ...]
    tightening: Rules | None = None
    ignored: tuple[str, ...] = ()


class _Place(NamedTuple):
    """A directory that is read: whose rules those in it are, and the home that a `~` in it means."""

    source: str
    directory: Path
    home: Callable[[], Path]


class _Found(NamedTuple):
    """What the files of one directory say."""

    rules: Rules
    said: Mapping[str, object]
    data: tuple[bytes, ...]


def read_own_files(directories: OwnDirectories, check_link: CheckLink) -> OwnFiles:
    """Read both files of each directory; what is not there says nothing.

    Raises:
        DeniedError: ALLOWLIST_INVALID, with line and column or the command that mends it, and from `check_link`.
    """
    account, *others = [_read_place(place, check_link) for place in _places(directories)]
    if not others:
        return OwnFiles(account.rules, _settled(account.said, {}), account.data)
    (other,) = others
    config = _settled(account.said, other.said)
    return OwnFiles(
        rules=account.rules,
        config=config,
        data=(*account.data, *other.data),
        tightening=other.rules,
        ignored=(*_ignored_settings(config, other.said), *_ignored_limits(account.rules, other.rules)),
    )


def read_config(directories: OwnDirectories, check_link: CheckLink) -> Config:
    """What `config.yml` alone says. Raises as `read_own_files`."""
    account, *others = [_said(place, read_own(place.directory / CONFIG, check_link)) for place in _places(directories)]
    return _settled(account, others[0] if others else {})


def _places(directories: OwnDirectories) -> Iterator[_Place]:
    yield _Place("person", directories.account, paths.account_home)
    if directories.environment is not None:
        yield _Place("environment", directories.environment, Path.home)


def _read_place(place: _Place, check_link: CheckLink) -> _Found:
    directory = place.directory
    there = _names_in(directory)
    for name in there.intersection(_MISSPELLED):
        if os.path.lexists(directory / name):
            raise DeniedError(
                Code.ALLOWLIST_INVALID,
                f"You have a {name}, which is not a name that is read; while you do, everything is denied.",
                f"In {directory} there may be {POLICY} or {POLICY_JSON}, and {CONFIG}.",
            )
    policy, policy_json, config = (
        read_own(directory / name, check_link) if name in there else None for name in (POLICY, POLICY_JSON, CONFIG)
    )
    if policy is not None and policy_json is not None:
        raise DeniedError(
            Code.ALLOWLIST_INVALID,
            f"You have both {POLICY} and {POLICY_JSON}; while you do, everything is denied.",
            f"Remove one of them from {directory}.",
        )
    rules = Rules(source=place.source)
    if policy is not None:
        rules = parse_policy(policy, POLICY, place.source)
    if policy_json is not None:
        rules = parse_policy(policy_json, POLICY_JSON, place.source)
    return _Found(rules, _said(place, config), (policy or b"", policy_json or b"", config or b""))


def _said(place: _Place, data: bytes | None) -> Mapping[str, object]:
    """What the bytes of `config.yml` say, by key."""
    said = {} if data is None else _understood(CONFIG, _config, data)
    store = said.get("store")
    if isinstance(store, Path) and store.parts[0] == "~":
        return {**said, "store": place.home().joinpath(*store.parts[1:])}
    return said


def _settled(account: Mapping[str, object], environment: Mapping[str, object]) -> Config:
    """What holds: what the account's file says or is built in, and what the environment's makes stricter of it."""
    found: dict[str, Any] = {"usual_store": account.get("store")}
    for key, row in _KEYS.items():
        found[key] = account.get(key, Config._field_defaults[key])
        if key in environment:
            found[key] = row.stricter(found[key], environment[key])
    return Config(**found)


def _ignored_settings(config: Config, environment: Mapping[str, object]) -> list[str]:
    ignored = [key for key, value in environment.items() if key != "store" and config._asdict()[key] != value]
    return [f"{', '.join(ignored)} of {CONFIG}"] if ignored else []


def _ignored_limits(account: Rules, environment: Rules) -> list[str]:
    ignored = [
        tool.value
        for tool in built_in(account).tools
        if any(
            rule.kind is Kind.LIMIT and rule.seconds == 60 and rule.limit > WRITES_A_MINUTE
            for rule in environment.tools.get(tool, ())
        )
    ]
    return [f"the higher limit of {', '.join(ignored)} of the policy"] if ignored else []


def parse_policy(data: bytes, file: str, source: str = "person") -> Rules:
    """The rules that the bytes of a policy spell, whose `file` name ends in `.json` where it is JSON.

    Raises:
        DeniedError: ALLOWLIST_INVALID, with line and column.
    """
    # A tab can only be indentation in JSON, and YAML knows none.
    given = data.replace(b"\t", b" ") if file.endswith(".json") else data
    return _understood(file, lambda text: _rules(text, source), given)


def _names_in(directory: Path) -> frozenset[str]:
    """What there may be, in lower case as some file systems see it: sooner told than by trying to open each file."""
    try:
        return frozenset(name.lower() for name in os.listdir(directory))  # noqa: PTH208  names are all that is wanted
    except FileNotFoundError:
        return frozenset()
    except OSError:
        raise unreadable(directory) from None


def _understood(file: str, read: Callable[[bytes], _T], data: bytes) -> _T:
    try:
        return read(data)
    except NotUnderstood as error:
        raise error.denied(file) from None


@once
def _rules(data: bytes, source: str) -> Rules:
    node = parse(data)
    if node is None:
        raise NotUnderstood(Mark(1, 1), 'a policy needs version: "1" and default: allow or deny')
    return read_rules(node, source)


@once
def _config(data: bytes) -> Mapping[str, object]:
    """What the file says, by key."""
    node = parse(data)
    if node is None or (isinstance(node, Text) and node.kind == "null"):
        return {}
    if not isinstance(node, Pairs):
        raise NotUnderstood(node.mark, "the file must be a mapping")
    found: dict[str, object] = {}
    for key, value in node.entries:
        if key.value not in _KEYS:
            raise NotUnderstood(key.mark, f"this key is unknown; there are {', '.join(_KEYS)}")
        found[key.value] = _KEYS[key.value].read(value)
    return found


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
    number = whole_number(node)
    if number is None or number > KEPT_VERSIONS_LIMIT:
        raise NotUnderstood(node.mark, f"keep_versions is a number from 1 to {KEPT_VERSIONS_LIMIT}, without quotes")
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


class _Key(NamedTuple):
    """A key of `config.yml`: how it is read, and what holds of the account's value and the environment's."""

    read: Callable[[Node], object]
    stricter: Callable[[Any, Any], object]


def _last_of(*order: object) -> Callable[[object, object], object]:
    """The stricter of two values, by an order from loose to strict."""
    return lambda account, environment: max(account, environment, key=order.index)


_KEYS: Final[dict[str, _Key]] = {
    "trust": _Key(_trust, max),
    "consent": _Key(_consent, _last_of(Channels.ANY, Channels.DIALOG)),
    "store": _Key(_store, lambda _, environment: environment),  # loosens nothing: an unusual store is shown as one
    "default_access": _Key(_access, _last_of(Access.READABLE, None, Access.USE_ONLY)),
    "keep_versions": _Key(_versions, max),
    "presence": _Key(_presence, _last_of(Presence.ANY, Presence.TERMINAL)),
    "namespace": _Key(_namespace, min),
}
"""The keys of `config.yml`, each with its field of `Config` and what reads it."""

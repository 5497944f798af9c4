"""Reading the person's own files: `policy.yml` (or `policy.json`) and `config.yml`. `ownership` checks each file.

Always: a file that cannot be understood, or that could be somebody else's, denies everything. Files in the account's
own directory may loosen or tighten; files in a directory that the environment names may only tighten.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from claude_secrets import paths
from claude_secrets.errors import Code, DeniedError
from claude_secrets.paths import OwnDirectories
from claude_secrets.policy.config import CONFIG, KEYS, Config, parse_config
from claude_secrets.policy.ownership import CheckLink, read_own, unreadable
from claude_secrets.policy.rules import WRITES_A_MINUTE, RuleKind, Rules, RuleSource, built_in
from claude_secrets.policy.rules_parser import parse_rules
from claude_secrets.policy.strict_yaml import Mark, NotUnderstood, once, parse

POLICY: Final = "policy.yml"
POLICY_JSON: Final = "policy.json"
_MISSPELLED: Final = ("policy.yaml", "config.yaml", "config.json")

_T = TypeVar("_T")


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


class _OwnDirectory(NamedTuple):
    """A directory that is read: whose rules those in it are, and the home that a `~` in it means."""

    source: RuleSource
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


def _places(directories: OwnDirectories) -> Iterator[_OwnDirectory]:
    yield _OwnDirectory(RuleSource.PERSON, directories.account, paths.account_home)
    if directories.environment is not None:
        yield _OwnDirectory(RuleSource.ENVIRONMENT, directories.environment, Path.home)


def _read_place(place: _OwnDirectory, check_link: CheckLink) -> _Found:
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


def _said(place: _OwnDirectory, data: bytes | None) -> Mapping[str, object]:
    """What the bytes of `config.yml` say, by key."""
    said = {} if data is None else _understood(CONFIG, parse_config, data)
    store = said.get("store")
    if isinstance(store, Path) and store.parts[0] == "~":
        return {**said, "store": place.home().joinpath(*store.parts[1:])}
    return said


def _settled(account: Mapping[str, object], environment: Mapping[str, object]) -> Config:
    """What holds: what the account's file says or is built in, and what the environment's makes stricter of it."""
    settings: dict[str, Any] = {"usual_store": account.get("store")}
    for key, row in KEYS.items():
        settings[key] = account.get(key, Config._field_defaults[key])
        if key in environment:
            settings[key] = row.stricter(settings[key], environment[key])
    return Config(**settings)


def _ignored_settings(config: Config, environment: Mapping[str, object]) -> list[str]:
    ignored = [key for key, value in environment.items() if key != "store" and config._asdict()[key] != value]
    return [f"{', '.join(ignored)} of {CONFIG}"] if ignored else []


def _ignored_limits(account: Rules, environment: Rules) -> list[str]:
    ignored = [
        tool.value
        for tool in built_in(account).tools
        if any(
            rule.kind is RuleKind.LIMIT and rule.seconds == 60 and rule.limit > WRITES_A_MINUTE
            for rule in environment.tools.get(tool, ())
        )
    ]
    return [f"the higher limit of {', '.join(ignored)} of the policy"] if ignored else []


def parse_policy(data: bytes, file: str, source: RuleSource = RuleSource.PERSON) -> Rules:
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
def _rules(data: bytes, source: RuleSource) -> Rules:
    node = parse(data)
    if node is None:
        raise NotUnderstood(Mark(1, 1), 'a policy needs version: "1" and default: allow or deny')
    return parse_rules(node, source)

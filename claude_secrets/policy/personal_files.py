"""Read the person's own files: `policy.yml` (or `policy.json`) and `config.yml`. The module `ownership` checks them.

Always: every call is denied while a file is invalid or can be written by another user. Files in the account's own
directory can loosen or tighten protection. Files in a directory that the environment names can only tighten it.
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
    """The person's rules and settings, as read from the files. `data` contains the bytes of each file.

    `rules` are the rules in the account's own directory. `tightening` are the rules in the directory that the
    environment names. `ignored` lists the settings in that directory that have no effect, because they would loosen
    protection.
    """

    rules: Rules
    config: Config
    data: tuple[bytes, ...]
    tightening: Rules | None = None
    ignored: tuple[str, ...] = ()


class _OwnDirectory(NamedTuple):
    """A directory of the person's files, the source of its rules, and the home directory for `~` in its files."""

    source: RuleSource
    directory: Path
    home: Callable[[], Path]


class _Found(NamedTuple):
    """The rules and settings that were read from one directory, and the bytes of its files."""

    rules: Rules
    said: Mapping[str, object]
    data: tuple[bytes, ...]


def read_own_files(directories: OwnDirectories, check_link: CheckLink) -> OwnFiles:
    """Read the policy and the settings in each of the person's directories. A missing file has no effect.

    Raises:
        DeniedError: ALLOWLIST_INVALID, with the line and column of the problem or with a hint that says how to fix it.
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
    """Read the person's settings, but not their policies. Raises the same errors as `read_own_files`."""
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
                f"You have a {name}, which is not a valid file name. Everything is denied while that file exists.",
                f"The valid names in {directory} are {POLICY}, {POLICY_JSON} and {CONFIG}. Rename or remove the file.",
            )
    policy, policy_json, config = (
        read_own(directory / name, check_link) if name in there else None for name in (POLICY, POLICY_JSON, CONFIG)
    )
    if policy is not None and policy_json is not None:
        raise DeniedError(
            Code.ALLOWLIST_INVALID,
            f"You have both {POLICY} and {POLICY_JSON}. Everything is denied while both exist.",
            f"Remove one of them from {directory}.",
        )
    rules = Rules(source=place.source)
    if policy is not None:
        rules = parse_policy(policy, POLICY, place.source)
    if policy_json is not None:
        rules = parse_policy(policy_json, POLICY_JSON, place.source)
    return _Found(rules, _said(place, config), (policy or b"", policy_json or b"", config or b""))


def _said(place: _OwnDirectory, data: bytes | None) -> Mapping[str, object]:
    """Parse the bytes of `config.yml`, and return the settings by key."""
    said = {} if data is None else _understood(CONFIG, parse_config, data)
    store = said.get("store")
    if isinstance(store, Path) and store.parts[0] == "~":
        return {**said, "store": place.home().joinpath(*store.parts[1:])}
    return said


def _settled(account: Mapping[str, object], environment: Mapping[str, object]) -> Config:
    """Return the account's settings or the defaults. Stricter settings of the environment replace them."""
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


def parse_policy(data: bytes, file: str, source: RuleSource = RuleSource.PERSON, *, in_force: bool = True) -> Rules:
    """Return the rules in the policy `data`, which is JSON if the name `file` ends in `.json`, else YAML.

    `in_force` is as in `NotUnderstood.denied`.

    Raises:
        DeniedError: ALLOWLIST_INVALID, with line and column.
    """
    # JSON allows tabs as white space between tokens, but YAML does not.
    given = data.replace(b"\t", b" ") if file.endswith(".json") else data
    return _understood(file, lambda text: _rules(text, source), given, in_force=in_force)


def _names_in(directory: Path) -> frozenset[str]:
    """Return the names of a directory's files, in lower case because some file systems ignore case.

    Listing the directory once is faster than trying to open each file.
    """
    try:
        return frozenset(name.lower() for name in os.listdir(directory))  # noqa: PTH208  only the names are needed
    except FileNotFoundError:
        return frozenset()
    except OSError:
        raise unreadable(directory) from None


def _understood(file: str, read: Callable[[bytes], _T], data: bytes, *, in_force: bool = True) -> _T:
    try:
        return read(data)
    except NotUnderstood as error:
        raise error.denied(file, in_force=in_force) from None


@once
def _rules(data: bytes, source: RuleSource) -> Rules:
    node = parse(data)
    if node is None:
        raise NotUnderstood(Mark(1, 1), 'a policy needs `version: "1"`, and `default: allow` or `default: deny`')
    return parse_rules(node, source)

"""Check the person's own files, and who can change them."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from claude_secrets.cli.checks.finding import Finding, failure
from claude_secrets.cli.opening import Invocation, check_of_links
from claude_secrets.errors import SecretsError
from claude_secrets.paths import own_directories
from claude_secrets.person.person import Person
from claude_secrets.policy.config import CONFIG
from claude_secrets.policy.ownership import exposed, quoted
from claude_secrets.policy.personal_files import POLICY, POLICY_JSON, OwnFiles, read_own_files
from claude_secrets.policy.planted import way_to
from claude_secrets.policy.project import Project


def check_own_files(invocation: Invocation, project: Project | None) -> Iterator[Finding]:
    """Check the person's `config.yml` and policy."""
    try:
        own = read_own_files(own_directories(), check_of_links(invocation, project))
    except SecretsError as error:
        yield failure("policy", error)
        return
    policies = (own.rules,) if own.tightening is None else (own.rules, own.tightening)
    rules = sum(len(of_tool) for policy in policies for of_tool in (*policy.tools.values(), policy.everywhere))
    settings = f"trust {own.config.trust.name.lower()}, consent {own.config.consent.value}"
    yield Finding("policy", "ok", f"{rules} rules of your own, {settings}")
    if own.ignored:
        yield _ignored(own)


def _ignored(own: OwnFiles) -> Finding:
    account, environment = own_directories()
    message = f"Ignored in {environment}: {'; '.join(own.ignored)}. An environment can only make settings stricter."
    link = ""
    if environment is not None and not os.path.lexists(account):
        link = f", or: ln -s {quoted(environment)} {quoted(account)}"
    return Finding("policy", "warn", message, f"To apply these settings, put them in {account}{link}")


def check_exposed(person: Person | None) -> Iterator[Finding]:
    """Report if other users could change the store, its keys, the person's own files, or a directory on their paths."""
    places = [directory / name for directory in own_directories().all() for name in (CONFIG, POLICY, POLICY_JSON)]
    if person is not None:
        with suppress(SecretsError):  # reported with the store
            places += [person.store.path, *person.store.key_files()]
    directories: dict[Path, Path] = {}
    for place in places:
        for step in (*way_to(place), place):
            directories.setdefault(step, place)
    for step, place in directories.items():
        if (problem := exposed(step)) is not None:
            whose = "" if step == place else f", on the path to {place.name},"
            yield Finding("places", "warn", f"{step}{whose} {problem[0]}.", problem[1])

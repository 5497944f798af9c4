"""Where one call happens, and what all files say about it at that moment: the project's, and the person's own.

Always: read anew whenever it is asked for; a change of any of the files changes the fingerprint.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from claude_secrets import paths
from claude_secrets.model import SHARED, Tool
from claude_secrets.paths import OwnDirectories
from claude_secrets.policy import rules
from claude_secrets.policy.allowlist import Allowlist, read_allowlist
from claude_secrets.policy.config import Config, Trust
from claude_secrets.policy.personal_files import read_own_files
from claude_secrets.policy.planted import policy_file_inside, refuse_inside
from claude_secrets.policy.project import CallOrigin, Project
from claude_secrets.policy.rules import Rules, RuleSource


class PolicySnapshot(NamedTuple):
    """A project, its allowlist and rules, the person's rules and settings, and the mode of trust that holds.

    `person` are the rules of the account's own directory and, if the environment names another one, those there.
    """

    project: Project
    allowlist: Allowlist
    person: tuple[Rules, ...]
    built_in: Rules
    config: Config
    trust: Trust
    data: tuple[bytes, ...]

    @property
    def identity(self) -> str:
        """What the project is known by."""
        return self.project.identity

    @property
    def counted_as(self) -> tuple[str, ...]:
        """Whose limits a call counts in: the main work tree's as well, so that a new work tree has no new limits."""
        return tuple(dict.fromkeys((self.project.own_identity, self.project.main or self.identity)))

    @property
    def scope(self) -> str:
        """The scope that the project's file names."""
        return self.allowlist.scope

    @property
    def claims_scope(self) -> bool:
        """Whether the file names a scope of its own, which the person must have let it claim."""
        return self.scope != SHARED

    @property
    def fingerprint(self) -> str:
        """A digest of the project and of every byte that decided."""
        parts = (self.identity.encode("utf-8", "surrogatepass"), self.trust.name.encode(), *self.data)
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    @property
    def hidden(self) -> frozenset[Tool]:
        """The tools that a policy hides."""
        return self.allowlist.rules.hidden.union(*(policy.hidden for policy in self.person))

    @property
    def policies(self) -> tuple[Rules, ...]:
        """The project's rules, the person's, and the built-in ones: each must allow a call."""
        return (self.allowlist.rules, *self.person, self.built_in)


Check: TypeAlias = Callable[[Config], None]
"""Raises a `SecretsError` for settings that a process cannot follow."""


class SnapshotReader:
    """Reads settings.

    `config` are the directories of the person's own files; `tighten` the mode of trust that the server's arguments or
    environment ask for, which counts only where it is tighter than the person's own; `check` refuses the settings that
    this process cannot follow.
    """

    def __init__(self, config: OwnDirectories, tighten: Trust = Trust.OFF, check: Check | None = None) -> None:
        self._config = config
        self._homes = paths.home_directories()
        self._tighten = tighten
        self._check = check
        self._links: dict[Path, object] = {}
        self._person = Rules(source=RuleSource.PERSON)
        self._built_in = rules.built_in(self._person)

    def read(self, where: CallOrigin, project: Project) -> PolicySnapshot:
        """The snapshot as it is now, for a call from there.

        Raises:
            DeniedError: NO_ALLOWLIST, ALLOWLIST_INVALID; and from `check`.
        """
        data, allowlist = read_allowlist(project.path)
        own = read_own_files(self._config, lambda link: self._check_link(link, where, project))
        if self._check is not None:
            self._check(own.config)
        if own.rules is not self._person:
            self._person, self._built_in = own.rules, rules.built_in(own.rules)
        return PolicySnapshot(
            project=project,
            allowlist=allowlist,
            person=(own.rules,) if own.tightening is None else (own.rules, own.tightening),
            built_in=self._built_in,
            config=own.config,
            trust=max(own.config.trust, self._tighten),
            data=(data, *own.data),
        )

    def _check_link(self, link: Path, where: CallOrigin, project: Project) -> None:
        """Refuse a file that is a link through the project; looked at once, while it is that link to that file."""
        try:
            itself, end = link.lstat(), link.stat()
            now = (where, project, itself.st_ino, itself.st_ctime_ns, end.st_dev, end.st_ino)
        except OSError:  # it leads nowhere, or has just gone
            now = None
        if now is None or self._links.get(link) != now:
            refuse_inside(link, policy_file_inside, where, project, self._homes)
            self._links[link] = now

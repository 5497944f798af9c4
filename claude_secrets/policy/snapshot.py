"""Read the policy for one call, from the project's file and from the person's own files.

Always: the files are read again for every snapshot. A change in any of these files changes the fingerprint.
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
    """The policy for one call: the project, the allowlist, all rules, the person's settings and the mode of trust.

    `person` contains the rules from the account's own directory. If the environment names another directory, `person`
    also contains the rules from that directory.
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
        """The project's identity."""
        return self.project.identity

    @property
    def counted_as(self) -> tuple[str, ...]:
        """The identities whose rate limits apply to a call.

        For a linked work tree, the main work tree's limits apply, too. Creating a work tree therefore does not get
        around a limit.
        """
        return tuple(dict.fromkeys((self.project.own_identity, self.project.main or self.identity)))

    @property
    def scope(self) -> str:
        """The scope that the project's file specifies."""
        return self.allowlist.scope

    @property
    def claims_scope(self) -> bool:
        """Whether the project's file specifies a scope other than `shared`. Such a scope needs a grant."""
        return self.scope != SHARED

    @property
    def fingerprint(self) -> str:
        """A digest of the project's identity, the mode of trust and the content of all files."""
        parts = (self.identity.encode("utf-8", "surrogatepass"), self.trust.name.encode(), *self.data)
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    @property
    def hidden(self) -> frozenset[Tool]:
        """The tools that the project's or the person's policy hides."""
        return self.allowlist.rules.hidden.union(*(policy.hidden for policy in self.person))

    @property
    def policies(self) -> tuple[Rules, ...]:
        """The project's, the person's and the built-in policies. A call is refused if any of them refuses it."""
        return (self.allowlist.rules, *self.person, self.built_in)


Check: TypeAlias = Callable[[Config], None]
"""Raises a `SecretsError` if this process cannot apply the settings."""


class SnapshotReader:
    """Reads policy snapshots.

    `config` contains the directories of the person's own files. `tighten` is a mode of trust from the server's
    arguments or environment. This mode is used only if it is stricter than the person's. `check` refuses settings that
    this process cannot apply.
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
        """Read all files now, and return the snapshot for a call from `where`.

        Raises:
            DeniedError: NO_ALLOWLIST, ALLOWLIST_INVALID, and the errors of `check`.
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
        """Refuse a link that leads through the project. A link is checked again only if it or its target changed."""
        try:
            itself, end = link.lstat(), link.stat()
            now = (where, project, itself.st_ino, itself.st_ctime_ns, end.st_dev, end.st_ino)
        except OSError:  # the link is broken, or was just deleted
            now = None
        if now is None or self._links.get(link) != now:
            refuse_inside(link, policy_file_inside, where, project, self._homes)
            self._links[link] = now

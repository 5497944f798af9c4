"""Let the person add a name to the project's allowlist when an agent asks for its value with `input_secret`.

Always: only the person's own agreement, given on our page or in our dialog, adds a name. Whether the person is asked
does not depend on whether a secret of that name exists. The file is changed last, just before the store's transaction
is committed. If the commit fails, the file gets its old content back. A process that is killed in between can leave the
name in the allowlist without its new value; the person agreed to this name.
"""

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from claude_secrets.errors import Code, DeniedError, SecretsError
from claude_secrets.model import Answer, Call, Entered, Tool
from claude_secrets.policy import allowlist_file, decisions, refusals
from claude_secrets.policy.allowlist_edit import add_entry
from claude_secrets.policy.config import Trust
from claude_secrets.policy.rules import Verdict
from claude_secrets.policy.snapshot import PolicySnapshot

_NEEDS_VALUE: Final = (Tool.GET_SECRET, Tool.SET_SECRET)
"""The tools whose refusal tells the agent that `input_secret` asks the person."""


def decide(snapshot: PolicySnapshot, call: Call, answer: Answer | None, *, asks: bool) -> Verdict:
    """Check a call as `decisions.decide` does. If `asks` is set, `input_secret` may also name a name to be added.

    Raises:
        DeniedError: NOT_ALLOWLISTED, also for a value without the person's agreement to add the name; DENIED_BY_RULE.
    """
    try:
        return decisions.decide(snapshot, call)
    except DeniedError as error:
        if error.code is not Code.NOT_ALLOWLISTED or not asks or not _can_be_added(snapshot, call):
            raise
    if call.tool is not Tool.INPUT_SECRET:
        raise refusals.not_allowlisted(
            call.name, project=str(snapshot.project.path), can_be_asked=call.tool in _NEEDS_VALUE and not call.use
        )
    if isinstance(answer, Entered) and not answer.adds:
        raise refusals.not_allowlisted(call.name, project=str(snapshot.project.path))
    return decisions.verdict(snapshot, call)


class AllowlistChange:
    """A change of one project's allowlist that is undone if the `with` block raises an error."""

    def __init__(self) -> None:
        self._made: tuple[Path, bytes, bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is not None and self._made is not None:
            project, before, after = self._made
            # If this fails, somebody else has changed the file meanwhile. The first error is the one to report.
            with suppress(SecretsError):
                allowlist_file.replace(project, after, before, owner_must_stay=True)

    def add(self, snapshot: PolicySnapshot, name: str) -> None:
        """Add `name` to the file from which the snapshot was read.

        Raises:
            DeniedError: ALLOWLIST_INVALID if the file cannot be changed, or was changed since the snapshot was read.
        """
        project, before = snapshot.project.path, snapshot.data[0]
        after = add_entry(before, name)
        if after is None:  # the snapshot has no entry for the name
            raise TypeError
        allowlist_file.require_persons(project)
        allowlist_file.replace(project, before, after, owner_must_stay=True)
        self._made = (project, before, after)


def _can_be_added(snapshot: PolicySnapshot, call: Call) -> bool:
    """Whether `input_secret` may ask the person to add the call's name.

    With trust `required`, every name needs a grant, which the person gives with `allow`. The person is not asked either
    if a rule refuses `input_secret`, or if the file cannot be changed.
    """
    asking = call if call.tool is Tool.INPUT_SECRET else Call(tool=Tool.INPUT_SECRET, name=call.name)
    if snapshot.trust is Trust.REQUIRED or decisions.verdict(snapshot, asking).refused_by is not None:
        return False
    try:
        allowlist_file.require_persons(snapshot.project.path)
        return add_entry(snapshot.data[0], call.name) is not None
    except SecretsError:  # the call is refused as if nobody could be asked
        return False

"""The findings of `doctor`, and turning an error into a finding."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from claude_secrets.cli.output import say
from claude_secrets.errors import CallerError, InputError, SecretsError

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"


class Finding(NamedTuple):
    """One line of the report: `state` is OK, WARN or FAIL, and `hint` says how to fix the problem."""

    about: str
    state: str
    message: str
    hint: str | None = None


def show_findings(findings: Iterable[Finding]) -> None:
    """Print each finding when it is known."""
    for finding in findings:
        say(f"{finding.state:4}  {finding.about:9}  {finding.message}")
        if finding.hint:
            say(f"{'':17}{finding.hint}")


def checked(about: str, check: Callable[[], Finding]) -> Finding:
    """Return the finding of `check`, or its error as a finding. An error about the person's input is raised."""
    try:
        return check()
    except (CallerError, InputError):  # about a typed passphrase: continuing would ask again
        raise
    except SecretsError as error:
        return failure(about, error)


def failure(about: str, error: SecretsError) -> Finding:
    """Return an error as a finding."""
    return Finding(about, "fail", f"[{error.code}] {error.message}", error.hint)

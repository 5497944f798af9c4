"""Check the current project and its allowlist."""

from collections.abc import Iterator

from claude_secrets.cli.checks.finding import Finding, checked
from claude_secrets.cli.opening import allowlist_of
from claude_secrets.paths import command
from claude_secrets.policy.project import Project


def check_project(project: Project | None) -> Iterator[Finding]:
    """Check the project; None means that there is none here."""
    yield _project(project)
    if project is not None:
        yield checked("allowlist", lambda: _allowlist(project))


def _project(project: Project | None) -> Finding:
    if project is None:
        return Finding(
            "project", "warn", "You are not inside a project.", f"In a project's directory: {command()} init"
        )
    return Finding("project", "ok", str(project.path))


def _allowlist(project: Project) -> Finding:
    allowlist = allowlist_of(project)
    if not allowlist.entries:
        return Finding("allowlist", "warn", "The allowlist allows nothing.", f"To allow a name: {command()} allow NAME")
    rules = sum(len(of_tool) for of_tool in allowlist.rules.tools.values()) + len(allowlist.rules.everywhere)
    number = len(allowlist.entries)
    message = f"{number} {'entry' if number == 1 else 'entries'}, scope {allowlist.scope}, {rules} rules"
    if allowlist.warnings:
        return Finding("allowlist", "warn", message, " ".join(allowlist.warnings))
    return Finding("allowlist", "ok", message)

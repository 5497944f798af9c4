"""`policy`: check that a policy is valid, or explain how the policies decide a call."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from claude_secrets.cli.arguments import add_verbs
from claude_secrets.cli.opening import (
    Invocation,
    call_origin,
    check_of_links,
    find_project,
    invocation_of,
    require_project,
)
from claude_secrets.cli.output import say
from claude_secrets.errors import CallerError, Code, SecretsError
from claude_secrets.exit_codes import DENIED
from claude_secrets.model import Call, Tool
from claude_secrets.paths import expanded, own_directories
from claude_secrets.policy import decisions
from claude_secrets.policy.allowlist import FILE, Allowlist, is_allowlist, parse_allowlist, read_allowlist
from claude_secrets.policy.personal_files import POLICY, POLICY_JSON, parse_policy, read_own_files
from claude_secrets.policy.rules import Rule, RuleKind, Rules, RuleSource, in_words
from claude_secrets.policy.snapshot import SnapshotReader

_FILE_LIMIT = 1 << 20


def add_arguments(parser: ArgumentParser) -> None:
    """Add `check [FILE]` and `explain TOOL [NAME]` to the parser."""
    verbs = add_verbs(
        parser,
        {
            "check": "check that FILE is a valid policy or allowlist; without FILE, check this project's and your own",
            "explain": "show which rule decides a call of TOOL in this project, and why",
        },
    )
    verbs["check"].add_argument("file", metavar="FILE", nargs="?")
    explain = verbs["explain"]
    explain.add_argument("tool", metavar="TOOL", choices=list(Tool), help=", ".join(Tool))
    explain.add_argument("name", metavar="NAME", nargs="?", default="", help="the secret's name, or the search pattern")


def run(options: Namespace) -> int:
    """Check policies, or explain a decision."""
    invocation = invocation_of(options)
    if options.verb == "explain":
        return _explain(invocation, Tool(options.tool), options.name)
    if options.file:
        return _check_file(expanded(options.file))
    project = find_project(invocation)
    if project is not None:
        _say_of_allowlist(project.path / FILE, read_allowlist(project.path)[1])
    directories = own_directories()
    own = read_own_files(directories, check_of_links(invocation, project))
    for directory, rules in zip(directories.all(), (own.rules, own.tightening), strict=False):
        if rules is not None:
            _say_of(directory, rules)
    return 0


def _say_of(directory: Path, rules: Rules) -> None:
    """Report that the policy in one of the person's own directories is valid, or that it does not exist."""
    there = [path for name in (POLICY, POLICY_JSON) if (path := directory / name).exists()]
    if there:
        say(f"{there[0]}: valid, {_count(rules)}")
    else:
        say(f"{directory}: there is no {POLICY} and no {POLICY_JSON}; the built-in limits apply")


def _check_file(path: Path) -> int:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_LIMIT)
    except FileNotFoundError:
        raise CallerError(Code.INVALID_ARGUMENTS, "There is no file at that path.", "Check the path.") from None
    except OSError:
        raise CallerError(Code.INVALID_ARGUMENTS, "The file is not a regular file, or it cannot be read.") from None
    if path.parts[-2:] == Path(FILE).parts:
        _say_of_allowlist(path, read_allowlist(path.parent.parent)[1])
    elif is_allowlist(data):
        _say_of_allowlist(path, parse_allowlist(data, path.name, in_force=False))
    else:
        in_force = path.name in (POLICY, POLICY_JSON) and path.parent in own_directories().all()
        say(f"{path}: valid, {_count(parse_policy(data, path.name, in_force=in_force))}")
    return 0


def _say_of_allowlist(path: Path, allowlist: Allowlist) -> None:
    entries = len(allowlist.entries)
    words = "entry" if entries == 1 else "entries"
    say(f"{path}: valid, allowlist with {entries} {words}, policy with {_count(allowlist.rules)}")


def _count(counted_rules: Rules) -> str:
    number = sum(len(of_tool) for of_tool in counted_rules.tools.values()) + len(counted_rules.everywhere)
    default = "allows" if counted_rules.default_allow else "denies"
    hidden = f", hides {', '.join(sorted(counted_rules.hidden))}" if counted_rules.hidden else ""
    return f"{number} rule{'' if number == 1 else 's'}, {default} by default{hidden}"


def _explain(invocation: Invocation, tool: Tool, name: str) -> int:
    project = require_project(invocation)
    check_of_links(invocation, project)
    snapshot = SnapshotReader(own_directories()).read(call_origin(invocation), project)
    pattern = tool is Tool.SEARCH_SECRETS
    call = Call(tool=tool, name="" if pattern or tool is Tool.LIST_SECRETS else name, pattern=name if pattern else "")
    allowed = True
    try:
        if call.name:
            say(f"allowlist: allowed by {decisions.require_entry(snapshot, call.name).pattern}")
    except SecretsError as error:
        allowed = False
        say(f"allowlist: denied ({error.code})")
    for policy in snapshot.policies:
        for rule in policy.of(tool):
            say(f"{_WHOSE[policy.source]}: {in_words(rule)} -> {_effect(rule, call)}    ({rule.rule_id.strip('()')})")
    verdict = decisions.verdict(snapshot, call)
    if verdict.refused_by is not None:
        say(f"Refused by {_WHOSE[verdict.refused_by.source]}: {in_words(verdict.refused_by.rule)}.")
    elif not allowed:
        say("Refused by the allowlist.")
    else:
        asked = "; you are asked first" if verdict.approvals else ""
        say(f"Allowed for secrets that this project stored itself or has a grant on{asked}.")
    return 0 if allowed and verdict.refused_by is None else DENIED


_WHOSE: Final = {
    RuleSource.PROJECT: "this project's policy",
    RuleSource.PERSON: "your policy",
    RuleSource.ENVIRONMENT: "your environment's policy",
    RuleSource.BUILT_IN: "the built-in policy",
}


def _effect(rule: Rule, call: Call) -> str:
    if rule.kind is RuleKind.LIMIT:
        return "counts the call"
    if rule.kind is RuleKind.APPROVE:
        return "asks you" if rule.asks(decisions.arguments(call)) else "does not apply"
    return "refuses" if rule.refuses(decisions.arguments(call)) else "does not refuse"

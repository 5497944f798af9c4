"""The texts that say why a call is refused, and how the person can change that.

Always: pure. No text says how an agent can widen its own access, only which command the person can run.
"""

from typing import Final

from claude_secrets.errors import Code, DeniedError, InputError
from claude_secrets.model import Channel, ConsentQuestion, Declined, Tool
from claude_secrets.paths import command, in_own_terminal
from claude_secrets.policy.rules import Applied, Rule, RuleSource

NO_HOLDS_SECONDS: Final = 600
"""How long a person's refusal holds, for the project and name that they were asked about."""


def denied_by_rule(applied: Applied, *, tool: Tool) -> DeniedError:
    """Return the refusal by a rule."""
    whose = {
        RuleSource.PROJECT: "this project's",
        RuleSource.PERSON: "the person's",
        RuleSource.ENVIRONMENT: "the environment's",
    }.get(applied.source, "the built-in")
    rule = applied.rule
    return DeniedError(
        Code.DENIED_BY_RULE,
        f"{tool.value} is refused by a rule of {whose} policy ({rule.rule_id}).{said_by(rule)}",
        rule=rule.rule_id,
    )


def said_by(rule: Rule) -> str:
    """Return the message of the rule's author, as a sentence."""
    return f" Its author says: {rule.said}" if rule.said else ""


def not_allowlisted(name: str, *, project: str) -> DeniedError:
    """Return the refusal of a name that is not in the project's allowlist, whether or not the secret exists."""
    return DeniedError(
        Code.NOT_ALLOWLISTED,
        f"'{name}' is not in this project's allowlist (.claude/secrets.yml).",
        f"The person can let agents of this project use it: {in_own_terminal(project, f'allow {name}')}",
    )


def not_trusted(name: str, *, project: str) -> DeniedError:
    """Return the refusal of a secret that was stored elsewhere and not granted. It does not say where."""
    return DeniedError(
        Code.NOT_TRUSTED,
        f"'{name}' was stored outside this project, and the person has not let this project use it.",
        f"The person can review what this project asks for and decide: {in_own_terminal(project, 'trust')}",
    )


def grant_required(name: str, *, project: str) -> DeniedError:
    """Return the refusal of a name without a grant, if the mode of trust needs one for every name, stored or not."""
    return DeniedError(
        Code.NOT_TRUSTED,
        f"'{name}' needs the person's grant: the mode of trust is 'required', even for a project's own secrets.",
        f"The person can grant it: {in_own_terminal(project, f'allow {name}')}",
    )


def scope_not_trusted(scope: str, *, project: str) -> DeniedError:
    """Return the refusal of a scope that the person has not let this project use."""
    return DeniedError(
        Code.NOT_TRUSTED,
        f"This project's file names the scope '{scope}', but the person has not let this project use it.",
        f"The person can review what this project asks for and decide: {in_own_terminal(project, 'trust')}",
    )


def work_tree_not_trusted(*, project: str) -> DeniedError:
    """Return the refusal to a linked work tree that the person has not let count as its main work tree."""
    return DeniedError(
        Code.NOT_TRUSTED,
        "This git work tree may not use its main work tree's secrets, because the person has not allowed it.",
        f"The person can review what this project asks for and decide: {in_own_terminal(project, 'trust')}",
    )


def use_only(name: str) -> DeniedError:
    """Return the refusal to give an agent the value of a use-only secret, and how a program can still use it."""
    return DeniedError(
        Code.USE_ONLY,
        f"'{name}' is use-only: its value is not given to agents. Its reference is secret://{name}.",
        "A program can get the value in an environment variable of that name, without you seeing it: "
        f"{command()} exec --only {name} -- PROGRAM ARGUMENTS",
    )


def refused_consent(error: DeniedError, answer: Declined) -> DeniedError:
    """Return the refusal of a call that the person has not consented to. If nobody could be asked, that is `error`."""
    why = {
        Channel.NONE: "",
        Channel.AGENT: " An agent started this server, so the server does not ask the person.",
        Channel.BUSY: " Another question is waiting for the person's answer; try again when they have answered it.",
        Channel.REFUSED: " The person refused three questions of this project, so they are not asked for the moment.",
        Channel.PAUSED: " The person did not answer several questions, so they are not asked for the moment.",
    }.get(answer.channel, " Nobody answered the question.")
    if answer.said_no:
        why = " The person said no, and is not asked about this again for ten minutes."
    return DeniedError(error.code, f"{error.message}{why}", error.hint, rule=error.rule)


def changed_meanwhile(question: ConsentQuestion) -> DeniedError:
    """Return the refusal of a call whose question would be another one now than the one the person answered."""
    return DeniedError(
        Code.APPROVAL_REFUSED,
        f"The effect of {question.tool.value} has changed since the person was asked, so nothing was done.",
        "Call it again, and the person is asked again.",
    )


def changed_since_shown(name: str) -> InputError:
    """Return the refusal of a value whose question would differ now: another scope, version, store or note."""
    return InputError(
        Code.CANCELLED,
        f"The question about '{name}' has changed since the person was asked, so nothing was stored.",
        "Call input_secret again, and the person is asked again.",
    )


def approval_refused(tool: Tool, rule_id: str) -> DeniedError:
    """Return the refusal of a call that needs the person's approval by a rule and does not have it."""
    return DeniedError(
        Code.APPROVAL_REFUSED,
        f"{tool.value} needs the person's approval (rule {rule_id}), and the person has not approved it.",
        "The person can approve it if the client or the desktop can ask them.",
        rule=rule_id,
    )

"""Refusals: the sentences that tell an agent why a call is denied, and how the person can change that.

Always: pure. No sentence tells an agent how to widen its own access, only what the person can run.
"""

from typing import Final

from claude_secrets.errors import Code, DeniedError, InputError
from claude_secrets.model import Channel, ConsentQuestion, Declined, Tool
from claude_secrets.paths import command, in_own_terminal
from claude_secrets.policy.rules import Applied, Rule, RuleSource

NO_HOLDS_SECONDS: Final = 600
"""How long a person's no holds, for the project and name it was said to."""


def denied_by_rule(applied: Applied, *, tool: Tool) -> DeniedError:
    """The refusal by a rule of the project's or the person's policy."""
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
    """What the rule's author says to whom it refuses."""
    return f" Its author says: {rule.said}" if rule.said else ""


def not_allowlisted(name: str, *, project: str) -> DeniedError:
    """The refusal of a name that the project's allowlist does not have, whether or not there is such a secret."""
    return DeniedError(
        Code.NOT_ALLOWLISTED,
        f"'{name}' is not in this project's allowlist (.claude/secrets.yml).",
        f"If agents of this project should use it, the person can say so: {in_own_terminal(project, f'allow {name}')}",
    )


def not_trusted(name: str, *, project: str) -> DeniedError:
    """The refusal of a secret that was stored elsewhere and not granted; does not say where."""
    return DeniedError(
        Code.NOT_TRUSTED,
        f"'{name}' was stored outside this project, and the person has not let this project use it.",
        f"The person can look at what this project wants and decide: {in_own_terminal(project, 'trust')}",
    )


def grant_required(name: str, *, project: str) -> DeniedError:
    """The refusal of a name without a grant if the mode of trust wants one for every name, stored or not."""
    return DeniedError(
        Code.NOT_TRUSTED,
        f"'{name}' needs the person's grant: the mode of trust is 'required' here, even for a project's own secrets.",
        f"The person can grant it: {in_own_terminal(project, f'allow {name}')}",
    )


def scope_not_trusted(scope: str, *, project: str) -> DeniedError:
    """The refusal of a scope that this project has not been let claim."""
    return DeniedError(
        Code.NOT_TRUSTED,
        f"This project's file names the scope '{scope}', which the person has not let it use yet.",
        f"The person can look at what this project wants and decide: {in_own_terminal(project, 'trust')}",
    )


def work_tree_not_trusted(*, project: str) -> DeniedError:
    """The refusal of what only the main work tree may use, to a linked one that has not been let count as it."""
    return DeniedError(
        Code.NOT_TRUSTED,
        "This git work tree does not count as one with its main work tree, as the person has not said that it does.",
        f"The person can look at what this project wants and decide: {in_own_terminal(project, 'trust')}",
    )


def use_only(name: str) -> DeniedError:
    """The refusal to hand out the value of a use-only secret, with how it can be used all the same."""
    return DeniedError(
        Code.USE_ONLY,
        f"'{name}' is use-only: its value is not given to agents. Its reference is secret://{name}.",
        "A program can have it in its environment, under that name, without you seeing it: "
        f"{command()} exec --only {name} -- PROGRAM ARGUMENTS",
    )


def refused_consent(error: DeniedError, answer: Declined) -> DeniedError:
    """The refusal of a call that the person did not consent to; `error` is what it is without anyone to ask."""
    why = {
        Channel.NONE: "",
        Channel.AGENT: " An agent started this server, so the person is not asked by it.",
        Channel.BUSY: " Another question is being put to the person; try again when it is answered.",
        Channel.REFUSED: " The person refused three questions of this project, so it is not asked for the moment.",
        Channel.PAUSED: " Several questions stayed unanswered, so the person is not asked for the moment.",
    }.get(answer.channel, " Nobody answered the question.")
    if answer.said_no:
        why = " The person said no; they are not asked again for ten minutes."
    return DeniedError(error.code, f"{error.message}{why}", error.hint, rule=error.rule)


def changed_meanwhile(question: ConsentQuestion) -> DeniedError:
    """The refusal of a call for which something else would have to be asked now than what the person answered."""
    return DeniedError(
        Code.APPROVAL_REFUSED,
        f"What {question.tool.value} would do has changed since the person was asked; nothing was done.",
        "Call it again, and the person is asked anew.",
    )


def changed_since_shown(name: str) -> InputError:
    """The refusal of a value whose question would read differently now: another scope, version, store or note."""
    return InputError(
        Code.CANCELLED,
        f"What the person was shown about '{name}' has changed since; nothing was stored.",
        "Call input_secret again, and the person is asked anew.",
    )


def approval_refused(tool: Tool, rule_id: str) -> DeniedError:
    """The refusal of a call that a rule makes depend on the person's approval, without that."""
    return DeniedError(
        Code.APPROVAL_REFUSED,
        f"{tool.value} needs the person's approval here (rule {rule_id}), and there is none.",
        "It can be given where the client or the desktop can ask the person.",
        rule=rule_id,
    )

"""The errors for refused calls. They say why a call is refused, and what the person can do.

Always: the functions are pure. No text tells an agent how to widen its own access. A text only names the command that
the person can run to widen the access.
"""

from typing import Final

from claude_secrets.errors import Code, DeniedError, InputError
from claude_secrets.model import Channel, ConsentQuestion, Declined, Tool
from claude_secrets.paths import command, in_own_terminal
from claude_secrets.policy.rules import Applied, Rule, RuleSource

NO_HOLDS_SECONDS: Final = 600
"""The time after a refusal in which the person is not asked again, for the same project and name."""


def denied_by_rule(applied: Applied, *, tool: Tool) -> DeniedError:
    """Return the error for a call that a rule refuses."""
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
    """Return a sentence that quotes the rule author's message, or an empty text if there is no message."""
    return f" Its author says: {rule.said}" if rule.said else ""


def not_allowlisted(name: str, *, project: str, can_be_asked: bool = False) -> DeniedError:
    """Return the error for a name that is not in the project's allowlist, whether or not the secret exists.

    `can_be_asked` is whether `input_secret` asks the person to add the name.
    """
    asked = "input_secret asks the person to add it and to enter its value. " if can_be_asked else ""
    return DeniedError(
        Code.NOT_ALLOWLISTED,
        f"'{name}' is not in this project's allowlist (.claude/secrets.yml).",
        f"{asked}The person can allow this project's agents to use it: {in_own_terminal(project, f'allow {name}')}",
    )


def not_added(name: str, *, project: str, why: Channel) -> DeniedError:
    """Return the error for a name that the person is not asked to add at the moment, for the reason `why`."""
    answer = Declined(digest="", channel=why, said_no=False)
    return refused_consent(not_allowlisted(name, project=project), answer)


def refused_to_add(name: str) -> InputError:
    """Return the error for a name that the person refused to add to the allowlist within the last ten minutes."""
    return InputError(
        Code.CANCELLED,
        f"'{name}' is not in this project's allowlist. The person said no, and is not asked about this again for ten "
        "minutes.",
    )


def not_trusted(name: str, *, project: str) -> DeniedError:
    """Return the error for a secret that was stored outside the project and that the person has not granted.

    The error does not say where the secret was stored.
    """
    return DeniedError(
        Code.NOT_TRUSTED,
        f"'{name}' was stored outside this project, and the person has not allowed the project to use this secret.",
        f"The person can review this project's requests and decide: {in_own_terminal(project, 'trust')}",
    )


def grant_required(name: str, *, project: str) -> DeniedError:
    """Return the error for a name without a grant, if the mode of trust is REQUIRED.

    In this mode every name needs a grant, even if no secret with this name is stored.
    """
    return DeniedError(
        Code.NOT_TRUSTED,
        f"'{name}' needs the person's grant: the mode of trust 'required' includes a project's own secrets.",
        f"The person can grant it: {in_own_terminal(project, f'allow {name}')}",
    )


def scope_not_trusted(scope: str, *, project: str) -> DeniedError:
    """Return the error for a scope that the person has not granted to this project."""
    return DeniedError(
        Code.NOT_TRUSTED,
        f"This project's file names the scope '{scope}', but the person has not allowed the project to use this scope.",
        f"The person can review this project's requests and decide: {in_own_terminal(project, 'trust')}",
    )


def work_tree_not_trusted(*, project: str) -> DeniedError:
    """Return the error for a linked work tree, if the person has not granted it the secrets of its main work tree."""
    return DeniedError(
        Code.NOT_TRUSTED,
        "This git work tree may not use its main work tree's secrets, because the person has not allowed this.",
        f"The person can review this project's requests and decide: {in_own_terminal(project, 'trust')}",
    )


def use_only(name: str) -> DeniedError:
    """Return the error for an agent that asks for a use-only value. The hint says how a program can get it."""
    return DeniedError(
        Code.USE_ONLY,
        f"'{name}' is use-only: its value is not given to agents. Its reference is secret://{name}.",
        "You can pass the value to a program, in an environment variable of the same name, without seeing the value: "
        f"{command()} exec --only {name} -- PROGRAM ARGUMENTS",
    )


def refused_consent(error: DeniedError, answer: Declined) -> DeniedError:
    """Return `error`, and add to it why the person has not consented. Add nothing if nobody could be asked."""
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
    """Return the error for a call that would now need a different question than the one the person answered."""
    return DeniedError(
        Code.APPROVAL_REFUSED,
        f"The effect of {question.tool.value} has changed since the person was asked, so nothing was done.",
        "Call the tool again, and the person is asked again.",
    )


def changed_since_shown(name: str) -> InputError:
    """Return the error for a value that the person entered, if the question that they saw is out of date.

    The scope, the version, the store or the note in the question has changed.
    """
    return InputError(
        Code.CANCELLED,
        f"The question about '{name}' has changed since the person was asked, so nothing was stored.",
        "Call input_secret again, and the person is asked again.",
    )


def approval_refused(tool: Tool, rule_id: str) -> DeniedError:
    """Return the error for a call that does not have the person's approval, although a rule requires it."""
    return DeniedError(
        Code.APPROVAL_REFUSED,
        f"{tool.value} needs the person's approval (rule {rule_id}), and the person has not approved it.",
        "The person can approve the call if the client or the desktop can ask them.",
        rule=rule_id,
    )

"""Parse a policy from the `policy` key of a project's file, or from the person's `policy.yml` or `policy.json`.

Always: one policy may mix two vocabularies, the keys of hosted JSON policies and the keys of YAML proxies. Unsupported
keys and values are refused and never ignored. The error gives their line and column.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from claude_secrets.model import Tool
from claude_secrets.policy.rules import Condition, Operator, Rule, RuleKind, Rules, RuleSource, is_regex
from claude_secrets.policy.strict_yaml import Items, Mapping, Node, NotUnderstood, Text

RATE_LIMIT: Final = 1_000_000
"""The most calls that a limit can allow in one window."""

SAID_LIMIT: Final = 300
"""The most characters in a message."""

_WINDOWS: Final = {"minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"([1-9][0-9]{0,6})/(minute|hour|day)", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,6}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_ARGUMENTS: Final = {"name", "value", "pattern", "prompt"}
# Other programs support these keys. It is safer to refuse the whole rule than to ignore such a key in it.
_UNSUPPORTED: Final = {
    "state",
    "increment",
    "increment_from",
    "approvals",
    "approval_timeout",
    "approval_window",
    "dedupe_window",
    "webhook",
    "webhooks",
}
_TOOL_KEYS: Final = (
    "rules",
    "require",
    "deny_if",
    "limits",
    "action",
    "rate_limit",
    "reason",
    "on_deny",
    "description",
)
_RULE_KEYS: Final = ("name", "conditions", "action", "rate_limit", "reason", "on_deny", "description")


def parse_rules(node: Node, source: RuleSource) -> Rules:
    """Parse a policy, and return its rules.

    Raises:
        NotUnderstood: the policy is invalid. The error gives the line and column.
    """
    keys = ("version", "default", "hide", "all_tools", "tools", "description")
    policy = _mapping(node, "a policy", keys)
    if "version" not in policy or not _is_version(policy["version"]):
        raise NotUnderstood(policy.get("version", node).mark, 'a policy needs `version: "1"`')
    if "default" not in policy or _text(policy["default"]) not in ("allow", "deny"):
        raise NotUnderstood(policy.get("default", node).mark, "a policy needs `default: allow` or `default: deny`")
    everywhere: list[Rule] = []
    if "all_tools" in policy:
        everywhere += _tool_rules(policy["all_tools"], "/all_tools")
    tools: dict[Tool, tuple[Rule, ...]] = {}
    for key, value in _entries(policy.get("tools"), "tools"):
        rules = tuple(_tool_rules(value, f"/tools/{key.value}"))
        if key.value == "*":
            everywhere += rules
        else:
            tools[_tool(key)] = rules
    return Rules(
        source=source,
        default_allow=_text(policy["default"]) == "allow",
        hidden=frozenset(_hidden(policy.get("hide"))),
        tools=tools,
        everywhere=tuple(everywhere),
    )


def _is_version(node: Node) -> bool:
    return isinstance(node, Text) and node.value == "1" and node.kind in ("str", "int")


def _hidden(node: Node | None) -> Iterator[Tool]:
    for item in _items(node, "hide"):
        if _text(item) == "*":
            yield from Tool
        else:
            yield _tool(item)


def _tool(node: Node) -> Tool:
    name = _text(node)
    if name not in set(Tool):
        raise NotUnderstood(node.mark, f"unknown tool; the tools are {', '.join(Tool)}")
    return Tool(name)


def _tool_rules(node: Node, above: str) -> Iterator[Rule]:
    """Yield one tool's rules, from both vocabularies, in the order in which they are tried."""
    if isinstance(node, Text) and node.kind == "null":
        return
    fields = _mapping(node, "a tool's entry", _TOOL_KEYS)
    shorthand = {key: value for key, value in fields.items() if key in ("action", "rate_limit", "reason", "on_deny")}
    if "action" in fields or "rate_limit" in fields:
        rule_id = f"{above}/{'action' if 'action' in fields else 'rate_limit'}"
        yield _rule(Mapping(node.mark, node.start, node.end, ()), shorthand, rule_id)
    elif shorthand:
        raise NotUnderstood(next(iter(shorthand.values())).mark, "reason and on_deny need an action or a rate_limit")
    for item in _items(fields.get("require"), "require"):
        yield _predicate(item, f"{above}/require", RuleKind.REQUIRE)
    for item in _items(fields.get("deny_if"), "deny_if"):
        yield _predicate(item, f"{above}/deny_if", RuleKind.DENY)
    for item in _items(fields.get("limits"), "limits"):
        yield _limit(item, f"{above}/limits")
    for number, item in enumerate(_items(fields.get("rules"), "rules")):
        rule = _mapping(item, "a rule", _RULE_KEYS)
        name = _word(rule["name"], "a rule's name") if "name" in rule else str(number)
        yield _rule(item, rule, f"{above}/rules/{name}")


def _rule(node: Node, fields: dict[str, Node], rule_id: str) -> Rule:
    """Parse an item of `rules` (YAML vocabulary), or a rule whose keys are directly in the tool's entry."""
    said = _said(fields)
    action = _text(fields["action"]) if "action" in fields else None
    conditions = tuple(_condition(item) for item in _items(fields.get("conditions"), "conditions"))
    if "rate_limit" in fields:
        if action is not None or "conditions" in fields:
            raise NotUnderstood(fields["rate_limit"].mark, "a rate_limit cannot be combined with action or conditions")
        limit, seconds = _rate(fields["rate_limit"])
        return Rule(rule_id=rule_id, kind=RuleKind.LIMIT, limit=limit, seconds=seconds, said=said)
    match action:
        case "deny":
            if "conditions" in fields:
                raise NotUnderstood(
                    fields["conditions"].mark, "`action: deny` takes no conditions; use `action: evaluate` or deny_if"
                )
            return Rule(rule_id=rule_id, kind=RuleKind.DENY, said=said)
        case "require_approval":
            return Rule(rule_id=rule_id, kind=RuleKind.APPROVE, conditions=conditions, said=said)
        case "evaluate" | None:
            if not conditions:
                raise NotUnderstood(
                    node.mark, "a rule needs conditions, a rate_limit, or action deny or require_approval"
                )
            return Rule(rule_id=rule_id, kind=RuleKind.REQUIRE, conditions=conditions, said=said)
    raise NotUnderstood(fields["action"].mark, "action must be evaluate, deny or require_approval")


def _predicate(node: Node, above: str, kind: RuleKind) -> Rule:
    """Parse an item of `require` or `deny_if` (hosted vocabulary), and return a rule."""
    fields = _mapping(node, "a predicate", ("path", "op", "value", "on_deny", "reason"))
    condition = _condition_of(node, fields)
    rule_id = f"{above}/args.{condition.argument}-{condition.operator.value}"
    return Rule(rule_id=rule_id, kind=kind, conditions=(condition,), said=_said(fields))


def _limit(node: Node, above: str) -> Rule:
    """Parse an item of `limits` (hosted vocabulary), and return a rule."""
    fields = _mapping(node, "a limit", ("counter", "window", "max", "scope", "on_deny", "reason"))
    for key in ("counter", "window", "max"):
        if key not in fields:
            raise NotUnderstood(node.mark, f"a limit needs {key}")
    if "scope" in fields and _text(fields["scope"]) != "grant":
        raise NotUnderstood(fields["scope"].mark, "the scope of a limit must be grant")
    counter = _word(fields["counter"], "a counter's name")
    limit, seconds = _number(fields["max"]), _seconds(fields["window"])
    return Rule(rule_id=f"{above}/{counter}", kind=RuleKind.LIMIT, limit=limit, seconds=seconds, said=_said(fields))


def _rate(node: Node) -> tuple[int, int]:
    """Parse `30/minute`, or a mapping with max and window. Return the number of calls and the window in seconds."""
    if isinstance(node, Mapping):
        fields = _mapping(node, "a rate_limit", ("max", "window"))
        if len(fields) != 2:
            raise NotUnderstood(node.mark, "a rate_limit needs max and window")
        return _number(fields["max"]), _seconds(fields["window"])
    match = _RATE.fullmatch(_text(node))
    if match is None or int(match[1]) > RATE_LIMIT:
        raise NotUnderstood(
            node.mark, f"a rate_limit must be a number up to {RATE_LIMIT}, a slash and a window, like 30/minute"
        )
    return int(match[1]), _WINDOWS[match[2]]


def _seconds(node: Node) -> int:
    if isinstance(node, Text) and node.kind == "str" and node.value in _WINDOWS:
        return _WINDOWS[node.value]
    number = whole_number(node)
    if number is None or number > _WINDOWS["day"]:
        raise NotUnderstood(
            node.mark, "a window must be minute, hour, day or a number of seconds up to 86400, without quotes"
        )
    return number


def _number(node: Node) -> int:
    number = whole_number(node)
    if number is None or number > RATE_LIMIT:
        problem = f"max must be a number from 1 to {RATE_LIMIT}, without quotes; to allow no calls, use deny or hide"
        raise NotUnderstood(node.mark, problem)
    return number


def whole_number(node: Node) -> int | None:
    """Return the node's number if it is a whole number from 1 to 9999999 in decimal digits, else None."""
    if isinstance(node, Text) and node.kind == "int" and _NUMBER.fullmatch(node.value):
        return int(node.value)
    return None


def _condition(node: Node) -> Condition:
    return _condition_of(node, _mapping(node, "a condition", ("path", "op", "value")))


def _condition_of(node: Node, fields: dict[str, Node]) -> Condition:
    for key in ("path", "op"):
        if key not in fields:
            raise NotUnderstood(node.mark, f"a condition needs {key}")
    scope, _, argument = _text(fields["path"]).partition(".")
    if scope == "state":
        raise NotUnderstood(fields["path"].mark, "`state` is not supported")
    if scope != "args" or argument not in _ARGUMENTS:
        raise NotUnderstood(
            fields["path"].mark, f"a path must be `args.` followed by one of {', '.join(sorted(_ARGUMENTS))}"
        )
    word = _text(fields["op"])
    if word not in set(Operator):
        raise NotUnderstood(fields["op"].mark, f"unknown operator; the operators are {', '.join(Operator)}")
    operator = Operator(word)
    if "value" not in fields:
        if operator is Operator.EXISTS:
            return Condition(argument, operator, value=True)
        raise NotUnderstood(node.mark, "a condition needs value")
    return Condition(argument, operator, _value(fields["value"], operator))


def _value(node: Node, operator: Operator) -> str | tuple[str, ...] | bool:
    if operator in (Operator.IN, Operator.NOT_IN):
        if not isinstance(node, Items) or not node.items:
            raise NotUnderstood(node.mark, f"the value of {operator} must be a list of texts")
        return tuple(_text(item) for item in node.items)
    if operator is Operator.EXISTS:
        if not isinstance(node, Text) or node.kind != "bool" or node.value not in ("true", "false"):
            raise NotUnderstood(node.mark, "the value of exists must be true or false, without quotes")
        return node.value == "true"
    text = _text(node)
    if operator is Operator.REGEX and not is_regex(text):
        raise NotUnderstood(node.mark, "this is not a valid RE2 regular expression")
    return text


def _said(fields: dict[str, Node]) -> str:
    if "on_deny" in fields and "reason" in fields:
        raise NotUnderstood(fields["reason"].mark, "on_deny and reason mean the same; use only one of them")
    node = fields.get("on_deny", fields.get("reason"))
    if node is None:
        return ""
    text = _text(node)
    if not text.isprintable() or not 0 < len(text) <= SAID_LIMIT:
        raise NotUnderstood(node.mark, f"a message must be one line of at most {SAID_LIMIT} characters")
    return text


def _word(node: Node, what: str) -> str:
    text = _text(node)
    if not _WORD.fullmatch(text):
        raise NotUnderstood(node.mark, f"{what} must have 1 to 64 ASCII letters, digits, '_', '.' or '-'")
    return text


def _mapping(node: Node, what: str, keys: Collection[str]) -> dict[str, Node]:
    if not isinstance(node, Mapping):
        raise NotUnderstood(node.mark, f"{what} must be a mapping")
    for key, _ in node.entries:
        if key.value in _UNSUPPORTED:
            raise NotUnderstood(key.mark, f"`{key.value}` is not supported")
        if key.value not in keys and not key.value.startswith("x-"):
            raise NotUnderstood(key.mark, f"unknown key; the keys of {what} are {', '.join(keys)}")
    fields = {key.value: value for key, value in node.entries if key.value in keys}
    described = fields.get("description")
    if described is not None and not (isinstance(described, Text) and described.kind in ("str", "null")):
        raise NotUnderstood(described.mark, "a description must be text; put numbers and words like yes in quotes")
    return fields


def _entries(node: Node | None, what: str) -> tuple[tuple[Text, Node], ...]:
    if node is None:
        return ()
    if not isinstance(node, Mapping):
        raise NotUnderstood(node.mark, f"{what} must be a mapping")
    return node.entries


def _items(node: Node | None, what: str) -> tuple[Node, ...]:
    if node is None:
        return ()
    if not isinstance(node, Items):
        raise NotUnderstood(node.mark, f"{what} must be a list")
    return node.items


def _text(node: Node) -> str:
    if not isinstance(node, Text) or node.kind != "str":
        raise NotUnderstood(node.mark, "this must be text; put numbers and words like yes or null in quotes")
    try:  # JSON writes a character beyond U+FFFF as two surrogates
        return node.value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise NotUnderstood(node.mark, "this text contains a lone surrogate (half of a character)") from None

"""Test the decisions of policies in both vocabularies, and the refusal of everything that is not supported."""

import json
from typing import NamedTuple

import pytest
import yaml

from claude_secrets.model import Tool
from claude_secrets.policy.rules import Rules, RuleSource, apply, built_in, in_words
from claude_secrets.policy.rules_parser import parse_rules
from claude_secrets.policy.strict_yaml import NotUnderstood, parse

GET, SET, DELETE, LIST, SEARCH, INPUT = (
    Tool.GET_SECRET,
    Tool.SET_SECRET,
    Tool.DELETE_SECRET,
    Tool.LIST_SECRETS,
    Tool.SEARCH_SECRETS,
    Tool.INPUT_SECRET,
)
SECRET_FIELDS = {"version": "1", "default": "allow"}
ALLOWED, DENIED, ASKS, COUNTS = "allowed", "denied", "asks", "counts"


class Case(NamedTuple):
    """A policy, a call, the expected decision and the rule that makes it."""

    policy: str
    tool: Tool
    arguments: dict[str, str]
    decision: str
    rule_id: str = ""


def policy_of(text: str) -> Rules:
    node = parse(text.encode())
    assert node is not None
    return parse_rules(node, RuleSource.PROJECT)


def rules_for_set(*rules: str, default: str = "allow") -> str:
    items = "".join(f"\n      - {rule}" for rule in rules)
    return f'version: "1"\ndefault: {default}\ntools:\n  set_secret:\n    rules:{items}\n'


def condition(operator: str, value: object, path: str = "args.name") -> str:
    return rules_for_set(
        "{name: only, conditions: [" + json.dumps({"path": path, "op": operator, "value": value}) + "]}"
    )


def hosted(tools: dict[str, object], default: str = "allow", **more: object) -> str:
    return json.dumps({"version": "1", "default": default, **more, "tools": tools})


def predicate(kind: str, operator: str, value: object, path: str = "args.name") -> str:
    return hosted({"set_secret": {kind: [{"path": path, "op": operator, "value": value, "on_deny": "No."}]}})


DEV = {"name": "DEV_TOKEN", "value": "v"}
ONLY = "/tools/set_secret/rules/only"
WITH_DENY = rules_for_set("{name: never, action: deny, reason: Not here.}")
ASK_DEV = rules_for_set(
    "{name: ask, action: require_approval, conditions: [{path: args.name, op: regex, value: ^DEV_}]}"
)
RATES = {"minute": 60, "hour": 3600, "day": 86_400}

CASES: dict[str, Case] = {
    # The default without a rule, and the tools that are listed.
    "allow by default": Case('version: "1"\ndefault: allow', GET, DEV, ALLOWED),
    "deny by default": Case('version: "1"\ndefault: deny', GET, DEV, DENIED, "(default deny)"),
    "deny by default, listed with nothing": Case(hosted({"get_secret": {}}, "deny"), GET, DEV, ALLOWED),
    "deny by default, listed with null": Case('version: "1"\ndefault: deny\ntools: {get_secret: }', GET, DEV, ALLOWED),
    "deny by default, another is listed": Case(hosted({"get_secret": {}}, "deny"), SET, DEV, DENIED, "(default deny)"),
    "the star does not rescue": Case(hosted({"*": {}}, "deny"), GET, DEV, DENIED, "(default deny)"),
    "all_tools does not rescue": Case(hosted({}, "deny", all_tools={}), GET, DEV, DENIED, "(default deny)"),
    "a version as a number": Case("version: 1\ndefault: allow", GET, DEV, ALLOWED),
    "a description": Case('version: "1"\ndefault: allow\ndescription: ours', GET, DEV, ALLOWED),
    # Hiding.
    "hidden": Case(hosted({}, hide=["delete_secret"]), DELETE, DEV, DENIED, "(hidden)"),
    "another is hidden": Case(hosted({}, hide=["delete_secret"]), GET, DEV, ALLOWED),
    "all are hidden": Case(hosted({}, hide=["*"]), LIST, {}, DENIED, "(hidden)"),
    "hidden before denied by default": Case(hosted({}, "deny", hide=["get_secret"]), GET, DEV, DENIED, "(hidden)"),
    "hidden though listed": Case(hosted({"get_secret": {}}, "deny", hide=["get_secret"]), GET, DEV, DENIED, "(hidden)"),
    "hidden in YAML": Case('version: "1"\ndefault: allow\nhide: [set_secret]', SET, DEV, DENIED, "(hidden)"),
    # Denying.
    "denied by a rule": Case(WITH_DENY, SET, DEV, DENIED, "/tools/set_secret/rules/never"),
    "denied for another tool": Case(WITH_DENY, GET, DEV, ALLOWED),
    "denied by a rule without a name": Case(
        rules_for_set("{action: deny}"), SET, DEV, DENIED, "/tools/set_secret/rules/0"
    ),
    "denied by the second rule": Case(
        rules_for_set("rate_limit: 5/minute", "action: deny"), SET, DEV, DENIED, "/tools/set_secret/rules/1"
    ),
    "denied by the star": Case(
        hosted({"*": {"rules": [{"name": "never", "action": "deny"}]}}), LIST, {}, DENIED, "/tools/*/rules/never"
    ),
    "the tool's own rules come before the star's": Case(
        hosted({"*": {"rules": [{"action": "deny"}]}, "get_secret": {"rules": [{"action": "deny"}]}}),
        GET,
        DEV,
        DENIED,
        "/tools/get_secret/rules/0",
    ),
    "the short form": Case(
        hosted({"delete_secret": {"action": "deny", "reason": "Never."}}),
        DELETE,
        DEV,
        DENIED,
        "/tools/delete_secret/action",
    ),
    "the short form for all": Case(hosted({}, all_tools={"action": "deny"}), GET, DEV, DENIED, "/all_tools/action"),
    # Conditions: what `evaluate` permits.
    "evaluate is the default": Case(condition("eq", "DEV_TOKEN"), SET, DEV, ALLOWED),
    "evaluate in words": Case(
        rules_for_set("{action: evaluate, conditions: [{path: args.name, op: eq, value: A}]}"),
        SET,
        DEV,
        DENIED,
        "/tools/set_secret/rules/0",
    ),
    "eq fails": Case(condition("eq", "dev_token"), SET, DEV, DENIED, ONLY),
    "neq": Case(condition("neq", "PROD"), SET, DEV, ALLOWED),
    "neq fails": Case(condition("neq", "DEV_TOKEN"), SET, DEV, DENIED, ONLY),
    "in": Case(condition("in", ["A", "DEV_TOKEN"]), SET, DEV, ALLOWED),
    "in fails": Case(condition("in", ["A", "B"]), SET, DEV, DENIED, ONLY),
    "not_in": Case(condition("not_in", ["A", "B"]), SET, DEV, ALLOWED),
    "not_in fails": Case(condition("not_in", ["A", "DEV_TOKEN"]), SET, DEV, DENIED, ONLY),
    "lt": Case(condition("lt", "E"), SET, DEV, ALLOWED),
    "lt of the same": Case(condition("lt", "DEV_TOKEN"), SET, DEV, DENIED, ONLY),
    "lte of the same": Case(condition("lte", "DEV_TOKEN"), SET, DEV, ALLOWED),
    "lte fails": Case(condition("lte", "D"), SET, DEV, DENIED, ONLY),
    "gt": Case(condition("gt", "D"), SET, DEV, ALLOWED),
    "gt of the same": Case(condition("gt", "DEV_TOKEN"), SET, DEV, DENIED, ONLY),
    "gte of the same": Case(condition("gte", "DEV_TOKEN"), SET, DEV, ALLOWED),
    "gte fails": Case(condition("gte", "E"), SET, DEV, DENIED, ONLY),
    "regex": Case(condition("regex", "^DEV_"), SET, DEV, ALLOWED),
    "regex is not anchored": Case(condition("regex", "V_T"), SET, DEV, ALLOWED),
    "regex tells upper from lower case": Case(condition("regex", "^dev_"), SET, DEV, DENIED, ONLY),
    "regex in linear time": Case(condition("regex", "(a+)+$"), SET, {"name": "a" * 120 + "!"}, DENIED, ONLY),
    "contains": Case(condition("contains", "TOK"), SET, DEV, ALLOWED),
    "contains fails": Case(condition("contains", "KEY"), SET, DEV, DENIED, ONLY),
    "exists": Case(condition("exists", value=True), SET, DEV, ALLOWED),
    "exists fails": Case(condition("exists", True, "args.prompt"), SET, DEV, DENIED, ONLY),
    "exists not": Case(condition("exists", False, "args.prompt"), SET, DEV, ALLOWED),
    "exists not fails": Case(condition("exists", value=False), SET, DEV, DENIED, ONLY),
    "a value's own condition": Case(condition("regex", "^sk_test_", "args.value"), SET, DEV, DENIED, ONLY),
    "a value's own condition holds": Case(
        condition("regex", "^sk_test_", "args.value"), SET, {"name": "A", "value": "sk_test_1"}, ALLOWED
    ),
    # A missing argument fails every condition except exists.
    **{
        f"{operator} of what is missing": Case(condition(operator, value, "args.prompt"), SET, DEV, DENIED, ONLY)
        for operator, value in {
            "eq": "a",
            "neq": "a",
            "in": ["a"],
            "not_in": ["a"],
            "lt": "a",
            "lte": "a",
            "gt": "a",
            "gte": "a",
            "regex": ".",
            "contains": "a",
        }.items()
    },
    "all conditions must hold": Case(
        rules_for_set(
            "{name: only, conditions: [{path: args.name, op: regex, value: ^DEV_}, "
            "{path: args.name, op: neq, value: DEV_TOKEN}]}"
        ),
        SET,
        DEV,
        DENIED,
        ONLY,
    ),
    "all rules must pass": Case(
        rules_for_set(
            "{conditions: [{path: args.name, op: regex, value: ^DEV_}]}",
            "{name: only, conditions: [{path: args.name, op: eq, value: A}]}",
        ),
        SET,
        DEV,
        DENIED,
        ONLY,
    ),
    "the star's condition on an argument that a tool has not": Case(
        hosted({"*": {"rules": [{"name": "n", "conditions": [{"path": "args.name", "op": "regex", "value": "."}]}]}}),
        LIST,
        {},
        DENIED,
        "/tools/*/rules/n",
    ),
    # Predicates of the hosted vocabulary.
    "require": Case(predicate("require", "regex", "^DEV_"), SET, DEV, ALLOWED),
    "require fails": Case(
        predicate("require", "regex", "^PROD_"), SET, DEV, DENIED, "/tools/set_secret/require/args.name-regex"
    ),
    "require of what is missing": Case(
        predicate("require", "eq", "a", "args.prompt"), SET, DEV, DENIED, "/tools/set_secret/require/args.prompt-eq"
    ),
    "deny_if": Case(
        predicate("deny_if", "regex", "^DEV_"), SET, DEV, DENIED, "/tools/set_secret/deny_if/args.name-regex"
    ),
    "deny_if does not hold": Case(predicate("deny_if", "regex", "^PROD_"), SET, DEV, ALLOWED),
    "deny_if of what is missing": Case(predicate("deny_if", "eq", "a", "args.prompt"), SET, DEV, ALLOWED),
    "deny_if neq of what is missing": Case(predicate("deny_if", "neq", "a", "args.prompt"), SET, DEV, ALLOWED),
    "deny_if in": Case(
        predicate("deny_if", "in", ["DEV_TOKEN"]), SET, DEV, DENIED, "/tools/set_secret/deny_if/args.name-in"
    ),
    "deny_if for all tools": Case(
        hosted({}, all_tools={"deny_if": [{"path": "args.name", "op": "contains", "value": "PROD"}]}),
        GET,
        {"name": "PROD_KEY"},
        DENIED,
        "/all_tools/deny_if/args.name-contains",
    ),
    "one of two predicates denies": Case(
        hosted(
            {
                "set_secret": {
                    "require": [{"path": "args.name", "op": "regex", "value": "^DEV_"}],
                    "deny_if": [{"path": "args.value", "op": "eq", "value": "v"}],
                }
            }
        ),
        SET,
        DEV,
        DENIED,
        "/tools/set_secret/deny_if/args.value-eq",
    ),
    # Approval.
    "approval": Case(ASK_DEV, SET, DEV, ASKS, "/tools/set_secret/rules/ask"),
    "approval of another name": Case(ASK_DEV, SET, {"name": "PROD"}, ALLOWED),
    "approval of every call": Case(
        rules_for_set("action: require_approval"), SET, DEV, ASKS, "/tools/set_secret/rules/0"
    ),
    "approval in the short form": Case(
        hosted({"delete_secret": {"action": "require_approval"}}), DELETE, DEV, ASKS, "/tools/delete_secret/action"
    ),
    "denied rather than asked": Case(
        rules_for_set("action: require_approval", "action: deny"), SET, DEV, DENIED, "/tools/set_secret/rules/1"
    ),
    # Limits.
    **{
        f"a limit by the {window}": Case(
            rules_for_set(f"{{name: cap, rate_limit: 5/{window}}}"),
            SET,
            DEV,
            f"counts 5 in {seconds}",
            "/tools/set_secret/rules/cap",
        )
        for window, seconds in RATES.items()
    },
    "a limit in a block": Case(
        rules_for_set("{name: cap, rate_limit: {max: 10, window: 60}}"),
        SET,
        DEV,
        "counts 10 in 60",
        "/tools/set_secret/rules/cap",
    ),
    "a limit in the short form": Case(
        hosted({"set_secret": {"rate_limit": {"max": 10, "window": "hour"}}}),
        SET,
        DEV,
        "counts 10 in 3600",
        "/tools/set_secret/rate_limit",
    ),
    "a hosted limit": Case(
        hosted({"set_secret": {"limits": [{"counter": "set_rate", "window": "minute", "max": 7, "scope": "grant"}]}}),
        SET,
        DEV,
        "counts 7 in 60",
        "/tools/set_secret/limits/set_rate",
    ),
    "a hosted limit for all tools": Case(
        hosted({}, all_tools={"limits": [{"counter": "all", "window": "day", "max": 9}]}),
        GET,
        DEV,
        "counts 9 in 86400",
        "/all_tools/limits/all",
    ),
    "a JSON policy beyond U+FFFF": Case(
        predicate("deny_if", "eq", "\U0001f511", "args.value"),
        SET,
        {"name": "T", "value": "\U0001f511"},
        DENIED,
        "/tools/set_secret/deny_if/args.value-eq",
    ),
    "a limit of another tool": Case(rules_for_set("rate_limit: 5/minute"), GET, DEV, ALLOWED),
    "a limit of the star": Case(
        hosted({"*": {"rules": [{"name": "total", "rate_limit": "60/hour"}]}}),
        LIST,
        {},
        "counts 60 in 3600",
        "/tools/*/rules/total",
    ),
}


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 80


@pytest.mark.parametrize("name", CASES)
def test_a_policy_decides_as_the_table_says(name: str) -> None:
    case = CASES[name]
    verdict = apply((policy_of(case.policy),), case.tool, case.arguments)
    if verdict.refused_by is not None:
        found = (DENIED, verdict.refused_by.rule.rule_id)
    elif verdict.approvals:
        found = (ASKS, verdict.approvals[0].rule.rule_id)
    elif verdict.limits:
        rule = verdict.limits[0].rule
        found = (f"counts {rule.limit} in {rule.seconds}", rule.rule_id)
    else:
        found = (ALLOWED, "")
    assert found == (case.decision, case.rule_id)


def test_the_same_policy_in_both_spellings_of_yaml_decides_alike() -> None:
    for case in CASES.values():
        node = yaml.safe_load(case.policy)
        again = policy_of(json.dumps({**node, "version": "1"}))
        assert again == policy_of(case.policy)


@pytest.mark.parametrize("first", [ALLOWED, DENIED])
@pytest.mark.parametrize("second", [ALLOWED, DENIED])
def test_every_policy_must_allow(first: str, second: str) -> None:
    policies = tuple(
        Rules(source=source, default_allow=decision == ALLOWED)
        for source, decision in ((RuleSource.PROJECT, first), (RuleSource.PERSON, second))
    )
    refused_by = apply(policies, GET, DEV).refused_by
    assert (refused_by is None) == (first == second == ALLOWED)
    if refused_by is not None:
        assert refused_by.source == ("project" if first == DENIED else "person")


def test_the_built_in_limits_are_on_the_tools_that_store_alone() -> None:
    policy = built_in(Rules(source=RuleSource.PERSON))
    assert {tool: policy.tools[tool][0].limit for tool in policy.tools} == {SET: 30, INPUT: 30}


REFUSED = {
    "state": rules_for_set("{state: {counter: n, window: hour, increment: 1}}"),
    "a path into state": condition("lte", "60", "state._global.n"),
    "increment_from": rules_for_set("{increment_from: args.value, rate_limit: 1/minute}"),
    "approvals": 'version: "1"\ndefault: allow\napprovals: {dedupe_window: 10m}',
    "an approval's window": rules_for_set("{action: require_approval, approval_timeout: 30m}"),
    "a webhook": rules_for_set("{action: require_approval, webhook: 'https://example.com'}"),
    "an unknown key": 'version: "1"\ndefault: allow\nunknown: 1',
    "an unknown key of a rule": rules_for_set("{action: deny, unknown: 1}"),
    "an unknown key of a tool": hosted({"get_secret": {"unknown": 1}}),
    "an unknown key of a limit": hosted(
        {"get_secret": {"limits": [{"counter": "a", "window": "day", "max": 1, "x": 1}]}}
    ),
    "an unknown tool": hosted({"get_secrets": {}}),
    "an unknown hidden tool": hosted({}, hide=["delete_secrets"]),
    "an unknown action": rules_for_set("action: log"),
    "half a character": predicate("deny_if", "eq", "\ud83d", "args.value"),
    "an unknown operator": condition("like", "a"),
    "an unknown argument": condition("eq", "a", "args.nmae"),
    "a path that is no argument": condition("eq", "a", "name"),
    "a number as a value": condition("eq", 5),
    "a text for a list": condition("in", "A"),
    "an empty list": condition("in", []),
    "a text for a truth value": condition("exists", "yes"),
    "a regular expression that RE2 does not know": condition("regex", "(?=a)"),
    "no value": rules_for_set("{conditions: [{path: args.name, op: eq}]}"),
    "no path": rules_for_set("{conditions: [{op: eq, value: a}]}"),
    "a rule that says nothing": rules_for_set("{name: nothing}"),
    "evaluate without conditions": rules_for_set("action: evaluate"),
    "deny with conditions": rules_for_set("{action: deny, conditions: [{path: args.name, op: eq, value: a}]}"),
    "a limit with an action": rules_for_set("{action: deny, rate_limit: 1/minute}"),
    "a limit with conditions": rules_for_set(
        "{rate_limit: 1/minute, conditions: [{path: args.name, op: eq, value: a}]}"
    ),
    "a limit of nothing": rules_for_set("rate_limit: 0/minute"),
    "a limit without a window": rules_for_set("rate_limit: 5"),
    "a window of a week": rules_for_set("rate_limit: 5/week"),
    "a hosted limit without a counter": hosted({"get_secret": {"limits": [{"window": "day", "max": 1}]}}),
    "a hosted limit of another scope": hosted(
        {"get_secret": {"limits": [{"counter": "a", "window": "day", "max": 1, "scope": "tool"}]}}
    ),
    "a message alone": hosted({"get_secret": {"reason": "Why?"}}),
    "two messages": rules_for_set("{action: deny, reason: A, on_deny: B}"),
    "a message of two lines": rules_for_set('{action: deny, reason: "A\\nB"}'),
    "no version": "default: allow",
    "another version": 'version: "2"\ndefault: allow',
    "no default": 'version: "1"',
    "another default": 'version: "1"\ndefault: ask',
    "a list": "- a",
    "a list of tools": 'version: "1"\ndefault: allow\ntools: [get_secret]',
    "a mapping of rules": 'version: "1"\ndefault: allow\ntools: {get_secret: {rules: {action: deny}}}',
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        policy_of(REFUSED[name])
    assert caught.value.mark.line >= 1


# Accepted and refused types

EVERY_FIELD = {
    "version": "1",
    "default": "allow",
    "description": "ours",
    "hide": ["delete_secret"],
    "all_tools": {"limits": [{"counter": "all", "window": "day", "max": 900, "scope": "grant", "on_deny": "Later."}]},
    "tools": {
        "get_secret": {
            "description": "reading",
            "require": [{"path": "args.name", "op": "regex", "value": "^DEV_", "on_deny": "No."}],
            "deny_if": [{"path": "args.prompt", "op": "exists", "value": True, "reason": "No."}],
            "limits": [{"counter": "rate", "window": 60, "max": 30}],
        },
        "set_secret": {
            "rules": [
                {"name": "cap", "rate_limit": {"max": 30, "window": 60}, "on_deny": "Later.", "description": "cap"},
                {
                    "name": "ask",
                    "action": "require_approval",
                    "conditions": [{"path": "args.name", "op": "in", "value": ["A", "B"]}],
                },
                {"name": "text", "rate_limit": "30/minute"},
            ],
        },
        "list_secrets": {"rate_limit": "30/minute", "reason": "Later."},
        "input_secret": {"action": "deny", "reason": "Never."},
    },
}

# Usual policies in both vocabularies, which must be accepted.
ACCEPTED = {
    "every field": json.dumps(EVERY_FIELD),
    "a version as a number": "version: 1\ndefault: allow",
    "words in quotes": "version: '1'\ndefault: \"allow\"\nhide: ['delete_secret']",
    "a name in quotes that is a number": rules_for_set('{name: "1", rate_limit: 5/minute}'),
    "a rate in quotes": rules_for_set('rate_limit: "5/minute"'),
    "numbers in a block": rules_for_set("rate_limit: {max: 5, window: 60}"),
    "a window in quotes in a block": rules_for_set('rate_limit: {max: 5, window: "minute"}'),
    "a number in quotes as a value": condition("eq", "5"),
    "a word that YAML takes for a truth value, in quotes": condition("eq", "yes"),
    "exists without a value": rules_for_set("{conditions: [{path: args.name, op: exists}]}"),
    "a description of several lines": 'version: "1"\ndescription: |\n  Ours.\n  All.\ndefault: allow',
    "a description that is empty": 'version: "1"\ndescription:\ndefault: allow',
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_usual_spellings_are_understood(name: str) -> None:
    policy_of(ACCEPTED[name])


def wrong_for(right: object) -> list[object]:
    """Return values of the wrong type that a lenient parser would convert to the right type."""
    match right:
        case bool():
            return ["true", "yes", 1, 1.0, None, [True]]
        case int():
            return [str(right), float(right), True, None, [right], {"max": right}, -right, 0]
        case str():
            return [5, 1, 1.5, True, False, None, [right], {right: right}]
    raise TypeError


def leaves(node: object, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], object]]:
    """Return the scalars of a policy, each with the keys that lead to it."""
    match node:
        case dict():
            return [leaf for key, inner in node.items() for leaf in leaves(inner, (*path, key))]
        case list():
            return [leaf for number, inner in enumerate(node) for leaf in leaves(inner, (*path, number))]
    return [(path, node)]


def replaced(node: object, path: tuple[str | int, ...], value: object) -> object:
    if not path:
        return value
    assert isinstance(node, dict | list)
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    changed = {key: replaced(inner, path[1:], value) if key == path[0] else inner for key, inner in pairs}
    return changed if isinstance(node, dict) else list(changed.values())


RIGHT_AS_WELL: set[tuple[str | int, str]] = {
    ("version", "1"),
    ("description", "null"),
    ("window", "1"),
    ("window", "5"),
}
"""The fields that also accept another type: the field, and the accepted value in JSON."""


@pytest.mark.parametrize(
    ("path", "right"),
    leaves(EVERY_FIELD),
    ids=lambda part: "/".join(map(str, part)) if isinstance(part, tuple) else "",
)
def test_a_value_of_a_wrong_type_is_refused_in_its_line(path: tuple[str | int, ...], right: object) -> None:
    for wrong in wrong_for(right):
        if (path[-1], json.dumps(wrong)) in RIGHT_AS_WELL:
            continue
        whole = json.dumps(replaced(EVERY_FIELD, path, "the wrong value"), indent=1)
        before, _, after = whole.partition('"the wrong value"')
        with pytest.raises(NotUnderstood) as caught:
            policy_of(f"{before}{json.dumps(wrong)}{after}")
        assert caught.value.mark.line == before.count("\n") + 1, wrong


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (rules_for_set("{rate_limit: 2/minute}"), "at most 2 calls a minute"),
        (rules_for_set("{rate_limit: {max: 1, window: 90}}"), "at most 1 call in 90 seconds"),
        (rules_for_set("{action: deny}"), "refuse every call"),
        (condition("eq", "A"), "refuse unless the name is A"),
        (condition("in", ["A", "B"]), "refuse unless the name is one of A, B"),
        (condition("exists", value=True, path="args.value"), "refuse unless there is a value"),
        (predicate("deny_if", "contains", "x"), "refuse if the name contains x"),
        ('version: "1"\ndefault: deny\n', "refuse a tool that has no entry (default: deny)"),
        ('version: "1"\ndefault: allow\nhide: [set_secret]\n', "the tool is hidden"),
    ],
)
def test_a_rule_is_said_in_words(policy: str, words: str) -> None:
    assert [in_words(rule) for rule in policy_of(policy).of(SET)] == [words]

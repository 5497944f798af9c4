"""Apply the rules of policies to a call, and return a verdict. The module `rules_parser` reads the rules.

Always: the functions are pure. A call is refused if any rule refuses it. A condition on a missing argument
is false, unless its operator is `exists`. Patterns are RE2 expressions.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from claude_secrets.errors import CallerError
from claude_secrets.model import Tool
from claude_secrets.regex import Search

WRITES_A_MINUTE: Final = 30
"""The most calls per minute for a tool that stores secrets. The person's own limit per minute for it replaces this."""

HIDDEN: Final = "(hidden)"
DEFAULT_DENY: Final = "(default deny)"
"""The ids of the rules that a policy's keys `hide` and `default` create."""

Arguments: TypeAlias = Mapping[str, str]
"""A call's arguments by name, all of them text."""


class Operator(StrEnum):
    """How a condition compares a call's argument with the condition's value. Text is ordered by code points."""

    EQ = "eq"
    NEQ = "neq"
    IN = "in"
    NOT_IN = "not_in"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    REGEX = "regex"
    CONTAINS = "contains"
    EXISTS = "exists"


class Condition(NamedTuple):
    """A condition on an argument. `value` is a tuple for `in` and `not_in`, a boolean for `exists`, else text."""

    argument: str
    operator: Operator
    value: str | tuple[str, ...] | bool

    def holds(self, arguments: Arguments) -> bool:
        """Whether the condition is true for a call's arguments."""
        given, value = arguments.get(self.argument), self.value
        if self.operator is Operator.EXISTS:
            return (given is not None) is value
        return given is not None and self._compares(given, value)

    def _compares(self, given: str, value: object) -> bool:
        if isinstance(value, tuple):
            return (given in value) is (self.operator is Operator.IN)
        assert isinstance(value, str)  # noqa: S101  the parser has checked it
        match self.operator:
            case Operator.EQ:
                return given == value
            case Operator.NEQ:
                return given != value
            case Operator.LT:
                return given < value
            case Operator.LTE:
                return given <= value
            case Operator.GT:
                return given > value
            case Operator.GTE:
                return given >= value
            case Operator.CONTAINS:
                return value in given
        return _found(value, given)


def is_regex(pattern: str) -> bool:
    """Whether RE2 accepts the pattern."""
    try:
        Search(pattern, case_sensitive=True)
    except CallerError:
        return False
    return True


def _found(pattern: str, text: str) -> bool:
    return Search(pattern, case_sensitive=True).matches(text)


class RuleKind(StrEnum):
    """The kind of a rule, which determines the rule's effect on a call.

    A `deny` rule refuses the call if all its conditions are true. A `require` rule refuses the call if any of its
    conditions is false. An `approve` rule asks the person if all its conditions are true. A `limit` rule limits how
    often a tool is called.
    """

    DENY = "deny"
    REQUIRE = "require"
    APPROVE = "approve"
    LIMIT = "limit"


class Rule(NamedTuple):
    """One rule.

    `rule_id` is the rule's path inside its file. A rule of the kind `limit` allows `limit` calls in `seconds` seconds.
    `said` is a message to the agent from the rule's author.
    """

    rule_id: str
    kind: RuleKind
    conditions: tuple[Condition, ...] = ()
    limit: int = 0
    seconds: int = 0
    said: str = ""

    def refuses(self, arguments: Arguments) -> bool:
        """Whether this rule refuses a call."""
        if self.kind is RuleKind.DENY:
            return self._all_hold(arguments)
        return self.kind is RuleKind.REQUIRE and not self._all_hold(arguments)

    def asks(self, arguments: Arguments) -> bool:
        """Whether this rule requires the person's approval of a call."""
        return self.kind is RuleKind.APPROVE and self._all_hold(arguments)

    def _all_hold(self, arguments: Arguments) -> bool:
        return all(condition.holds(arguments) for condition in self.conditions)


_PERIODS: Final = {60: "a minute", 3600: "an hour", 86_400: "a day"}
_COMPARED: Final = {
    Operator.EQ: "is",
    Operator.NEQ: "is not",
    Operator.IN: "is one of",
    Operator.NOT_IN: "is none of",
    Operator.LT: "sorts before",
    Operator.LTE: "is or sorts before",
    Operator.GT: "sorts after",
    Operator.GTE: "is or sorts after",
    Operator.REGEX: "matches",
    Operator.CONTAINS: "contains",
}


def in_words(rule: Rule) -> str:
    """Describe a rule for the person in a short phrase."""
    if rule.kind is RuleKind.LIMIT:
        times = f"at most {rule.limit} call{'s' * (rule.limit > 1)}"
        period = _PERIODS.get(rule.seconds)
        return f"{times} {period}" if period else f"{times} in {rule.seconds} seconds"
    if rule.rule_id == HIDDEN:
        return "the tool is hidden"
    if rule.rule_id == DEFAULT_DENY:
        return "refuse a tool that has no entry (default: deny)"
    doing = {RuleKind.DENY: "refuse", RuleKind.REQUIRE: "refuse unless", RuleKind.APPROVE: "ask the person"}[rule.kind]
    if not rule.conditions:
        return f"{doing} at every call" if rule.kind is RuleKind.APPROVE else f"{doing} every call"
    conditions = " and ".join(_condition_in_words(each) for each in rule.conditions)
    return f"{doing} {conditions}" if rule.kind is RuleKind.REQUIRE else f"{doing} if {conditions}"


def _condition_in_words(condition: Condition) -> str:
    value = condition.value
    if isinstance(value, bool):
        return f"there is {'a' if value else 'no'} {condition.argument}"
    if condition.argument == "value":  # the text in the policy may be a secret's value
        return f"the value {_COMPARED[condition.operator]} the text in the policy (not shown)"
    shown = ", ".join(value) if isinstance(value, tuple) else value
    return f"the {condition.argument} {_COMPARED[condition.operator]} {shown}"


class RuleSource(StrEnum):
    """The origin of a policy: a project, the person, the environment or this program."""

    PROJECT = "project"
    PERSON = "person"
    ENVIRONMENT = "environment"
    BUILT_IN = "built-in"


class Rules(NamedTuple):
    """One policy.

    `tools` maps each tool that the policy lists to the tool's rules. A listed tool may have no rules. The rules in
    `everywhere` apply to all tools.
    """

    source: RuleSource
    default_allow: bool = True
    hidden: frozenset[Tool] = frozenset()
    tools: Mapping[Tool, tuple[Rule, ...]] = MappingProxyType({})
    everywhere: tuple[Rule, ...] = ()

    def of(self, tool: Tool) -> Iterator[Rule]:
        """Yield the rules for a tool, in the order in which they are tried."""
        if tool in self.hidden:
            yield Rule(rule_id=HIDDEN, kind=RuleKind.DENY)
        elif not self.default_allow and tool not in self.tools:
            yield Rule(rule_id=DEFAULT_DENY, kind=RuleKind.DENY)
        yield from self.tools.get(tool, ())
        yield from self.everywhere


class Applied(NamedTuple):
    """A rule and the source of its policy."""

    source: RuleSource
    rule: Rule

    @property
    def counter(self) -> str:
        """The key of the counter that counts calls for this limit."""
        # The key contains the window, so that two limits with the same name do not reset each other's counter.
        return f"{self.source}:{self.rule.rule_id}:{self.rule.seconds}"


class Verdict(NamedTuple):
    """The result of the rules for one call: the rule that refuses the call, or its limits and required approvals."""

    refused_by: Applied | None = None
    limits: tuple[Applied, ...] = ()
    approvals: tuple[Applied, ...] = ()


def apply(policies: tuple[Rules, ...], tool: Tool, arguments: Arguments) -> Verdict:
    """Check a call against several policies. The verdict contains the first rule that refuses the call."""
    applied = [Applied(policy.source, rule) for policy in policies for rule in policy.of(tool)]
    refusals = (one for one in applied if one.rule.refuses(arguments))
    if (refused_by := next(refusals, None)) is not None:
        return Verdict(refused_by=refused_by)
    return Verdict(
        limits=tuple(one for one in applied if one.rule.kind is RuleKind.LIMIT),
        approvals=tuple(one for one in applied if one.rule.asks(arguments)),
    )


def built_in(person: Rules) -> Rules:
    """Return the built-in limits on the tools that store secrets.

    A tool gets no built-in limit if the person's own rules have a limit per minute for the tool.
    """
    tools = {}
    for tool in (Tool.SET_SECRET, Tool.INPUT_SECRET):
        own = any(rule.kind is RuleKind.LIMIT and rule.seconds == 60 for rule in person.tools.get(tool, ()))
        if not own:
            rule_id = f"/tools/{tool.value}/limits/{tool.value}_rate"
            tools[tool] = (Rule(rule_id=rule_id, kind=RuleKind.LIMIT, limit=WRITES_A_MINUTE, seconds=60),)
    return Rules(source=RuleSource.BUILT_IN, tools=tools)

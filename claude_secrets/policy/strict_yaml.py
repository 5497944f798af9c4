"""Parse a strict subset of YAML: mappings, lists and text.

Always: tags, anchors, aliases, duplicate keys and second documents are refused. The file's size and nesting depth are
limited. Scalars stay text and are never converted to Python objects. Every error gives a line and column, and no error
repeats the file's content.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Final, NamedTuple, ParamSpec, TypeAlias, TypeVar

from claude_secrets.errors import Code, DeniedError

if TYPE_CHECKING:
    from yaml.error import MarkedYAMLError
    from yaml.events import Event, MappingStartEvent, ScalarEvent, SequenceStartEvent

SIZE_LIMIT: Final = 16 * 1024
"""The most bytes in a file."""

DEPTH_LIMIT: Final = 9
"""The most levels of nested lists and mappings."""

_REMEMBERED: Final = 4
"""The most files of one kind whose parsed content is kept in memory."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

_NO_ANCHORS: Final = "anchors and aliases (& and *) are not supported; put text that begins with & or * in quotes"


class Mark(NamedTuple):
    """A position in a file. Lines and columns are counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class Text(NamedTuple):
    """A scalar. `kind` is its YAML 1.1 type, such as "str", "null", "bool" or "int". For quoted text it is "str".

    The `start` and `end` of every node are character positions in the decoded text.
    """

    mark: Mark
    start: int
    end: int
    value: str
    kind: str


class Items(NamedTuple):
    """A list. `flow` is true if the list is in brackets. A list without brackets ends at the end of its last item."""

    mark: Mark
    start: int
    end: int
    items: tuple["Node", ...]
    flow: bool


class Mapping(NamedTuple):
    """A mapping, in the order of the file. A mapping without braces ends at the end of its last value."""

    mark: Mark
    start: int
    end: int
    entries: tuple[tuple[Text, "Node"], ...]


Node: TypeAlias = Text | Items | Mapping


class NotUnderstood(Exception):  # noqa: N818  named after the finding; it becomes the DeniedError of its file
    """A problem in a file. The error contains the problem's position, but not the file's content."""

    def __init__(self, mark: Mark, problem: str) -> None:
        super().__init__(f"{mark}: {problem}")
        self.mark = mark
        self.problem = problem

    def denied(self, file: str, *, in_force: bool = True) -> DeniedError:
        """Return the error for this problem of `file`. If the file is in force, the error denies every call."""
        effect = " Everything is denied until it is fixed." if in_force else ""
        return DeniedError(
            Code.ALLOWLIST_INVALID,
            f"{file} is invalid: {self.problem} ({self.mark}).{effect}",
            "Fix that place in the file.",
        )


def once(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make `read` remember its results, so that it parses the same bytes only once.

    Files are read at every call, and some files take long to parse. The errors of invalid files are remembered, too.
    """

    @lru_cache(maxsize=_REMEMBERED)
    def outcome(*arguments: _P.args, **named: _P.kwargs) -> _T | NotUnderstood:
        try:
            return read(*arguments, **named)
        except NotUnderstood as error:
            return _anew(error)  # a new one, because a raised exception keeps stack frames alive

    @wraps(read)
    def remembered(*arguments: _P.args, **named: _P.kwargs) -> _T:
        result = outcome(*arguments, **named)  # type: ignore[arg-type]  # bytes and names can be hashed
        if isinstance(result, NotUnderstood):
            raise _anew(result)
        return result

    return remembered


def _anew(error: NotUnderstood) -> NotUnderstood:
    return NotUnderstood(error.mark, error.problem)


def parse(data: bytes) -> Node | None:
    """Parse a file's bytes into nodes. Return the root node, or None if the file is empty.

    Raises:
        NotUnderstood: the file uses YAML outside the strict subset, or is not YAML.
    """
    import yaml

    text = _decoded(data)
    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        return _document(_checked(events))
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text) from None
    except yaml.reader.ReaderError as error:
        place = _place(text[: error.position])
        raise NotUnderstood(place, "this character is not allowed in a YAML file") from None
    except (yaml.YAMLError, ValueError, IndexError, OverflowError, RecursionError):
        # PyYAML raises these errors for strange input, and their texts may repeat the input.
        raise NotUnderstood(Mark(1, 1), "this is not YAML") from None


def _decoded(data: bytes) -> str:
    if len(data) > SIZE_LIMIT:
        raise NotUnderstood(Mark(1, 1), f"the file has more than {SIZE_LIMIT} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place(data[: error.start].decode("utf-8"))
        raise NotUnderstood(place, "this is not UTF-8") from None


def _place(before: str) -> Mark:
    """Return the position of the first character after the text `before`."""
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _not_yaml(error: "MarkedYAMLError", text: str) -> NotUnderstood:
    """Convert PyYAML's error, without its text. For two common mistakes in allowlists, the new error names a fix."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return NotUnderstood(Mark(1, 1), "this is not YAML")
    problem = "this is not YAML"
    if error.context in ("while scanning an alias", "while scanning an anchor"):
        problem = _NO_ANCHORS
    elif text[mark.index : mark.index + 1] == "?":
        problem = "this is not YAML; in brackets, put text with ? in quotes"
    return NotUnderstood(Mark(mark.line + 1, mark.column + 1), problem)


def _mark(event: "Event") -> Mark:
    mark = event.start_mark
    assert mark is not None  # noqa: S101  PyYAML's parser sets it for every event
    return Mark(mark.line + 1, mark.column + 1)


def _span(event: "Event") -> tuple[int, int]:
    assert event.start_mark is not None  # noqa: S101  as above
    assert event.end_mark is not None  # noqa: S101
    return event.start_mark.index, event.end_mark.index


def _checked(events: "Iterator[Event]") -> "Iterator[Event]":
    """Yield the events. Raise an error at the first event outside the strict subset, before a node is built from it."""
    from yaml import events as kinds

    depth = documents = 0
    for event in events:
        if isinstance(event, kinds.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise NotUnderstood(_mark(event), _NO_ANCHORS)
        if getattr(event, "tag", None) is not None:
            raise NotUnderstood(_mark(event), "tags (!) are not supported; put text that begins with ! in quotes")
        if isinstance(event, kinds.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise NotUnderstood(_mark(event), "there is a second document")
        if isinstance(event, kinds.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_LIMIT:
                raise NotUnderstood(_mark(event), f"this is nested more than {DEPTH_LIMIT} levels deep")
        if isinstance(event, kinds.CollectionEndEvent):
            depth -= 1
        yield event


def _document(events: "Iterator[Event]") -> Node | None:
    from yaml import events as kinds

    for event in events:
        if isinstance(event, (kinds.ScalarEvent, kinds.CollectionStartEvent)):
            node = _node(event, events)
            for _ in events:  # the remaining events must be valid, too
                pass
            return node
    return None


def _node(event: "Event", events: "Iterator[Event]") -> Node:
    from yaml import events as kinds

    if isinstance(event, kinds.ScalarEvent):
        return Text(_mark(event), *_span(event), event.value, _kind(event))
    if isinstance(event, kinds.SequenceStartEvent):
        return _items(event, events)
    assert isinstance(event, kinds.MappingStartEvent)  # noqa: S101  there is no fourth kind of node
    return _mapping(event, events)


def _items(event: "SequenceStartEvent", events: "Iterator[Event]") -> Items:
    from yaml import events as kinds

    start, end = _span(event)
    items = []
    while not isinstance(item := next(events), kinds.SequenceEndEvent):
        items.append(_node(item, events))
        end = items[-1].end
    flow = bool(event.flow_style)
    return Items(_mark(event), start, _span(item)[1] if flow else end, tuple(items), flow)


def _mapping(event: "MappingStartEvent", events: "Iterator[Event]") -> Mapping:
    from yaml import events as kinds

    start, end = _span(event)
    entries: dict[str, tuple[Text, Node]] = {}
    while not isinstance(item := next(events), kinds.MappingEndEvent):
        key = _node(item, events)
        if not isinstance(key, Text) or key.kind != "str":
            raise NotUnderstood(key.mark, "a key must be text; put numbers and words like yes or null in quotes")
        if key.value in entries:
            raise NotUnderstood(key.mark, "this key appears twice")
        entries[key.value] = (key, _node(next(events), events))
        end = entries[key.value][1].end
    return Mapping(_mark(event), start, _span(item)[1] if event.flow_style else end, tuple(entries.values()))


def _kind(event: "ScalarEvent") -> str:
    """Return the YAML 1.1 type of a scalar. For example, NO without quotes is a boolean and 123 is a number."""
    import yaml

    if not event.implicit[0]:
        return "str"
    for name, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(event.value[:1], []):
        if pattern.match(event.value):
            return str(name).rpartition(":")[2]
    return "str"

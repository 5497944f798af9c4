"""The user of a visitor of the one-time page, with made-up socket tables, the real table, and real other users."""

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from claude_secrets import paths
from claude_secrets.errors import Code, InputError
from claude_secrets.prompt import peer_user
from claude_secrets.prompt.page import InputPage, PageState
from claude_secrets.prompt.peer_user import UnseenError, Visit, let_in, require_table, rows, tables
from tests.support.machine import PROGRAM, Machine, Wire
from tests.support.other_users import FLOOD, FRIEND, ROOT, STRANGER, as_user, python_as, talk
from tests.support.page_client import DEADLINE, QUESTION, RecordingStore, Serve, Visitor
from tests.support.posix import user
from tests.support.requirements import require

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the table is Linux's")

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
ME = 1000
V, O, X = "<visitor>", "<ours>", "<other>"  # noqa: E741  addresses in the lines below
each_way = pytest.mark.parametrize("mapped", [False, True], ids=["IPv4", "IPv4 in IPv6"])


class Pair:
    """A connection on 127.0.0.1 from the visitor's socket `theirs` to our address."""

    def __init__(self, *, mapped: bool = False, at: str | None = None) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listening.getsockname()
        self.theirs = socket.socket(socket.AF_INET6 if mapped else socket.AF_INET)
        if at is not None:
            self.theirs.bind((at, 0))
        self.theirs.connect(("::ffff:127.0.0.1" if mapped else "127.0.0.1", self.address[1]))
        self.port = int(self.theirs.getsockname()[1])
        self.accepted: list[socket.socket] = []

    def accept(self) -> Visit:
        self.listening.settimeout(DEADLINE)
        connection, address = self.listening.accept()
        self.accepted.append(connection)
        return Visit(connection, address)

    def close(self) -> None:
        for each in (self.listening, self.theirs, *self.accepted):
            each.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def me(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: ME)


def written(address: tuple[str, int], *, mapped: bool = False) -> str:
    """Return an address as the kernel prints it."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, address[0])
    packed = (bytes(10) + b"\xff\xff" + packed) if mapped else packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"


def row(local: str, remote: str, *, state: int = 1, uid: int = ME, inode: int = 58072, number: int = 0) -> str:
    """Return one line of the table, as the kernel's `get_tcp4_sock` and `get_tcp6_sock` print it."""
    return (
        f"{number:4d}: {local} {remote} {state:02X} 00000000:00000000 00:00000000 00000000"
        f" {uid:5d} {0:8d} {inode} 2 00000000de6c29f0 20 4 30 10 -1"
    )


def text(*lines: str) -> str:
    return "\n".join([HEAD, *lines]) + "\n"


def decided(pair: Pair, *lines: str) -> bool:
    """Return whether a table with these lines lets in the pair's visitor.

    In the lines, V is the visitor's address, O is our address, and X is another address with our port.
    """
    visit = pair.accept()
    places = {V: visit.address, O: pair.address, X: ("127.0.0.2", pair.address[1])}
    shown = text(*lines)
    for place, address in places.items():
        shown = shown.replace(place, written(address))
    [answer] = let_in([visit], pair.address, lambda: [shown, text()])
    return answer


@pytest.mark.usefixtures("me")
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([row(V, O)], True),
        ([row(V, O, uid=0)], True),
        ([row(V, O, uid=ME + 1)], False),
        ([row(V, O, uid=65534)], False),
        ([], False),
        ([row(V, O, state=4)], True),
        ([row(V, O, state=5)], True),
        ([row(V, O, state=8)], True),
        *(([row(V, O, state=state)], False) for state in (2, 3, 6, 7, 9, 10, 11, 12)),
        *(([row(V, O, uid=uid, state=state, inode=0)], False) for uid in (0, ME) for state in (1, 4, 5, 6)),
        ([row(O, V)], False),
        ([row(V, O, uid=ME + 1), row(O, V)], False),
        ([row(O, V, uid=ME + 1), row(V, O)], True),
        ([row(V, O), row(V, O)], True),
        ([row(V, O), row(V, O, uid=ME + 1)], False),
        ([row(V, O, uid=ME + 1), row(V, O)], False),
        ([row(V, O), row(V, O, uid=ME + 1), row(V, O)], False),
        ([row(V, O), row(V, O, inode=0, uid=0, state=6)], False),
        ([row(V, O), row(V, O, inode=58073)], False),
        ([row(V, written(("127.0.0.1", 1)))], False),
        ([row(written(("127.0.0.2", 1)), O)], False),
        ([row(V, X)], False),
        ([row(V, X, uid=ME + 1), row(V, O)], True),
        ([row(V, O)[:60]], False),
        ([row(V, O).replace(f" {ME} ", " -1 ")], False),
    ],
)
def test_a_visitor_is_let_in_by_what_one_row_says_and_nothing_else(
    pair: Pair, lines: list[str], expected: bool
) -> None:
    assert decided(pair, *lines) is expected


@pytest.mark.usefixtures("me")
@pytest.mark.parametrize(("uid", "expected"), [(ME, True), (ROOT, True), (ME + 1, False)])
def test_a_row_of_ipv4_in_ipv6_is_as_good(pair: Pair, uid: int, expected: bool) -> None:
    visit = pair.accept()
    line = row(written(visit.address, mapped=True), written(pair.address, mapped=True), uid=uid)
    assert let_in([visit], pair.address, lambda: [text(), text(line)]) == [expected]
    assert let_in([visit], pair.address, lambda: [text(row(V, O)), text()]) == [False]


@pytest.mark.usefixtures("me")
@pytest.mark.parametrize(
    "then",
    [
        {"inode": 0},
        {"inode": 0, "uid": ME + 1},
        {"uid": ME + 1},
        {"inode": 58073},
        {"state": 6, "inode": 0},
        None,
    ],
)
@pytest.mark.parametrize("uid", [ROOT, ME])
def test_a_socket_that_changes_between_two_looks_is_refused(pair: Pair, uid: int, then: dict[str, Any] | None) -> None:
    """If another user's socket closes while its row is printed, the row can combine its inode with root's user id."""
    visit = pair.accept()
    where = (written(visit.address), written(pair.address))
    texts = [text(row(*where, uid=uid)), text(*([] if then is None else [row(*where, **{"uid": uid, **then})]))]
    for looks in (texts, texts[::-1]):
        waiting = list(looks)
        assert let_in([visit], pair.address, lambda waiting=waiting: [waiting.pop(0)]) == [False]  # type: ignore[misc]  # mypy knows no default there
    assert let_in([visit], pair.address, lambda: [texts[0]]) == [True]


def test_what_stands_for_everyone_is_not_the_person(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 65534)
    assert not decided(pair, row(V, O, uid=65534))


# Output of a real kernel on a little-endian machine: a listener, a visitor, a closed socket that waits, and a closed
# socket that has sent its last data.
KERNEL = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:8067 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 58070 1 000000006de6c29f 100 0 0 10 0
   1: 0100007F:AA6E 0100007F:8067 01 00000000:00000000 00:00000000 00000000  1001        0 58072 1 000000006de6c29f 20 0 0 10 -1
   2: 0100007F:AA70 0100007F:8067 06 00000000:00000000 03:00001707 00000000     0        0 0 3 00000000d60568e5
   3: 0100007F:AA8A 0100007F:8067 04 00000001:00000000 01:00000014 00000000     0        0 0 3 00000000d60568e5 21 4 26 10 -1
   4: 020200C0:93AA 507100CB:01BB 01 00000000:00000000 00:00000000 00000000  1002        0 60000 1 000000006de6c29f 20 0 0 10 -1
"""  # noqa: E501
KERNEL6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000100007F:AA7A 0000000000000000FFFF00000100007F:8067 01 00000000:00000000 00:00000000 00000000  1003        0 58076 1 000000006de6c29f 20 4 30 10 -1
   1: 00000000000000000000000001000000:AA7B 00000000000000000000000001000000:8067 01 00000000:00000000 00:00000000 00000000  1004        0 58077 1 000000006de6c29f 20 4 30 10 -1
"""  # noqa: E501


@pytest.mark.skipif(sys.byteorder != "little", reason="written on a machine with the other order")
def test_a_kernels_own_text_is_understood() -> None:
    ours = ("127.0.0.1", 0x8067)
    assert [tuple(each) for each in rows(KERNEL, ours[1])] == [
        (ours, ("0.0.0.0", 0), 10, 1000, 58070),
        (("127.0.0.1", 0xAA6E), ours, 1, 1001, 58072),
        (("127.0.0.1", 0xAA70), ours, 6, 0, 0),
        (("127.0.0.1", 0xAA8A), ours, 4, 0, 0),
    ]
    assert [tuple(each) for each in rows(KERNEL6, ours[1])] == [
        (("127.0.0.1", 0xAA7A), ours, 1, 1003, 58076),
        (("::1", 0xAA7B), ("::1", 0x8067), 1, 1004, 58077),
    ]


def test_elsewhere_everybody_is_let_in_and_no_table_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise AssertionError

    visits = [pair.accept()]
    monkeypatch.setattr(sys, "platform", "darwin")
    assert let_in(visits, pair.address, fail) == [True]
    require_table(pair.listening, fail)


# The real table.


@each_way
@pytest.mark.parametrize("half_closed", [False, True])
def test_ones_own_socket_is_let_in_also_where_it_sends_no_more(mapped: bool, half_closed: bool) -> None:
    pair = Pair(mapped=mapped)
    try:
        pair.theirs.sendall(b"x")
        if half_closed:
            pair.theirs.shutdown(socket.SHUT_WR)
        visit = pair.accept()
        assert let_in([visit], pair.address) == [True]
        assert visit.connection.recv(10, socket.MSG_PEEK) == b"x", "something was read"
    finally:
        pair.close()


@each_way
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_socket_that_nobody_has_any_more_is_refused_even_ones_own(mapped: bool, how: str) -> None:
    pair = Pair(mapped=mapped)
    try:
        pair.theirs.sendall(b"x")
        if how == "reset":
            pair.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        pair.theirs.close()
        assert let_in([pair.accept()], pair.address) == [False]
    finally:
        pair.close()


def test_who_comes_from_an_address_later_lends_it_to_nobody_earlier() -> None:
    """The data of a reset connection can still be read when its address already belongs to another connection."""
    pair = Pair(at="127.0.0.77")  # no other program connects from this address
    try:
        pair.theirs.sendall(b"planted")
        pair.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        pair.theirs.close()
        first = pair.accept()
        with socket.socket() as later:
            later.bind(("127.0.0.77", pair.port))
            later.connect(pair.address)
            second = pair.accept()
            assert second.address == first.address
            assert let_in([first, second], pair.address) == [False, True]
        assert first.connection.recv(10) == b"planted"
    finally:
        pair.close()


def test_a_table_without_our_own_socket_is_none(pair: Pair) -> None:
    require_table(pair.listening)
    real = tables()
    visitors_only = text(row(written(pair.address), written(pair.accept().address)))
    for texts in ([], [text()], [visitors_only], [real[0].replace(written(pair.address), written(("127.0.0.1", 0)))]):
        with pytest.raises(UnseenError):
            require_table(pair.listening, lambda texts=texts: texts)  # type: ignore[misc]  # as above


@pytest.mark.parametrize("missing", ["nothing", "IPv6"])
def test_a_system_may_lack_ipv6_and_not_the_table(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    places = peer_user._TABLES if missing == "nothing" else (peer_user._TABLES[0], tmp_path / "tcp6")
    monkeypatch.setattr(peer_user, "_TABLES", places)
    require_table(pair.listening)
    assert let_in([pair.accept()], pair.address) == [True]


def test_without_a_table_there_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_user, "_TABLES", (tmp_path / "tcp", tmp_path / "tcp6"))
    page = InputPage(QUESTION, store=RecordingStore())
    with pytest.raises(InputError) as caught:
        page.start()
    assert caught.value.code is Code.NO_INPUT_CHANNEL
    assert "which user" in caught.value.message
    with pytest.raises(RuntimeError):
        _ = page.url


# The page and other users.


@pytest.fixture
def page(kept: RecordingStore, serve: Serve) -> InputPage:
    return serve(InputPage(QUESTION, store=kept))


def port_of(page: InputPage) -> int:
    return urlsplit(page.url).port or 0


def form(who: Visitor, **fields: str) -> bytes:
    body = urlencode(fields).encode()
    return who.head(len(body)) + body


def see(who: Visitor) -> bytes:
    host = urlsplit(who.page.url).netloc
    cookie = f"Cookie: {who.cookie}\r\n" if who.cookie else ""
    return f"GET {who.page.path} HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n".encode()


def claim(who: Visitor) -> bytes:
    return form(who, action="claim", visit="a" * 22)


def submit(who: Visitor) -> bytes:
    return form(who, action="store", access="readable", value="planted")


REQUESTS: list[Callable[[Visitor], bytes]] = [see, claim, submit]
each_request = pytest.mark.parametrize("request_of", REQUESTS)


def assert_sent_away(answers: list[str]) -> None:
    for answer in answers:
        assert answer == "" or answer.startswith("HTTP/1.0 403 Forbidden\r\n"), answer
        assert not [told for told in ("GITEA_TOKEN", "Continue", "/home/work/api", "Set-Cookie") if told in answer]


def seen_by(page: InputPage, kept: RecordingStore) -> tuple[PageState, bool, int]:
    """Return everything that a visit could have changed."""
    return page.state, page.result() is None, len(kept.entered)


@each_way
@each_request
@pytest.mark.parametrize("how", ["open", "half-closed", "closed", "reset"])
def test_another_user_changes_nothing_and_is_shown_nothing(
    page: InputPage, kept: RecordingStore, request_of: Callable[[Visitor], bytes], how: str, mapped: bool
) -> None:
    person = Visitor(page)
    before = seen_by(page, kept)
    data, times = request_of(person), 3 if how in ("open", "half-closed") else 50
    assert_sent_away(talk(STRANGER, port_of(page), data, how=how, mapped=mapped, times=times))
    assert seen_by(page, kept) == before == (PageState.OPEN, True, 0)
    assert person.claim().status == 303
    # Another user is refused even with the person's own cookie.
    for who in (person, Visitor(page)):
        data = request_of(who)
        assert_sent_away(talk(STRANGER, port_of(page), data, how=how, mapped=mapped, times=times))
    assert seen_by(page, kept) == (PageState.CLAIMED, True, 0)
    assert person.store("v").status == 200
    assert [entered.value for entered in kept.entered] == ["v"]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("claude-secrets",), "claude-secrets"),
        (("uvx", "--from", "/srv/my {} tools", "claude-secrets"), "uvx --from '/srv/my {} tools' claude-secrets"),
        (("uvx", "--from", "/srv/\udcff", "claude-secrets"), "uvx --from '/srv/?' claude-secrets"),
    ],
)
def test_another_user_is_told_so(
    page: InputPage, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], command: str
) -> None:
    monkeypatch.setattr(paths, "command_words", lambda: words)
    [answer] = talk(STRANGER, port_of(page), see(Visitor(page)))
    assert answer == (
        "HTTP/1.0 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
        "This page is open to one user of this machine only.\n"
        f"If this is your own browser, run this in a terminal where the server runs: {command} set NAME\n"
    )


def test_another_users_curl_is_sent_away_and_ones_own_is_not(page: InputPage) -> None:
    words = [require("curl"), "-s", "-o", os.devnull, "-w", "%{http_code}", "--max-time", "20", page.url]
    codes = [
        subprocess.run(as_user(number, *words), capture_output=True, cwd="/", check=False, timeout=DEADLINE).stdout
        for number in (STRANGER, user())
    ]
    assert codes[0] in {b"403", b"000"}
    assert codes[1] == b"200"


@pytest.fixture
def friends_page(page: InputPage, monkeypatch: pytest.MonkeyPatch) -> InputPage:
    """A page for which `FRIEND`, a user id other than root's, is the person's user id."""
    monkeypatch.setattr(os, "getuid", lambda: FRIEND)
    return page


@each_way
@pytest.mark.parametrize("how", ["open", "half-closed"])
@pytest.mark.parametrize("number", [ROOT, FRIEND])
def test_ones_own_user_and_root_can_do_it_all(
    friends_page: InputPage, kept: RecordingStore, number: int, how: str, mapped: bool
) -> None:
    """This uses the client with which another user is refused in the other tests."""
    own, port = Visitor(friends_page), port_of(friends_page)
    [shown] = talk(number, port, see(own), how=how, mapped=mapped)
    assert shown.startswith("HTTP/1.0 200 OK\r\n")
    assert "GITEA_TOKEN" in shown
    assert_sent_away(talk(STRANGER, port, claim(own), how=how, mapped=mapped))
    [claimed] = talk(number, port, claim(own), how=how, mapped=mapped)
    assert claimed.startswith("HTTP/1.0 303 ")
    own.cookie = claimed.partition("Set-Cookie: ")[2].partition(";")[0]
    assert_sent_away(talk(STRANGER, port, submit(own), how=how, mapped=mapped))
    [stored] = talk(number, port, submit(own), how=how, mapped=mapped)
    assert "is stored" in stored
    assert [entered.value for entered in kept.entered] == ["planted"]


def test_whoever_else_comes_without_end_the_person_is_served(page: InputPage, kept: RecordingStore) -> None:
    """Some strangers keep connections open and send nothing. Others send the person's request and leave."""
    person = Visitor(page)
    with subprocess.Popen(
        python_as(STRANGER, FLOOD, str(port_of(page)), claim(person).decode("latin-1")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    ) as flood:
        assert flood.stdout
        try:
            assert flood.stdout.readline(), "nobody floods it"
            assert person.claim().status == 303
            assert flood.stdout.readline(), "the flood is over"
            assert person.store("v").status == 200
            assert flood.stdout.readline(), "the flood is over"
        finally:
            flood.communicate(timeout=DEADLINE)
    assert [entered.value for entered in kept.entered] == ["v"]
    assert page.state is PageState.STORED


def test_a_table_that_cannot_be_read_later_lets_nobody_in(
    page: InputPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Visitor(page)
    for places in ((tmp_path / "tcp", tmp_path / "tcp6"), (tmp_path, tmp_path)):
        monkeypatch.setattr(peer_user, "_TABLES", places)
        assert person.get().status in {403, 0}
    monkeypatch.undo()
    assert person.claim().status == 303


# The whole program.


def answer_of(wire: Wire, number: str) -> str:
    while (message := wire.receive()).get("id") != number:
        pass
    return str(message["result"]["content"][0]["text"])


@pytest.mark.parametrize("claimed", [False, True])
def test_another_user_who_knows_the_address_of_a_real_servers_page_enters_nothing(
    tmp_path: Path, claimed: bool
) -> None:
    machine = Machine(tmp_path).use_key_file()
    project = machine.project("api")
    with Wire(PROGRAM, project, machine.environment) as wire:
        wire.shake_hands(capabilities={"elicitation": {"url": {}}})
        call = {"name": "input_secret", "arguments": {"name": "TOKEN"}}
        wire.send({"jsonrpc": "2.0", "id": "q", "method": "tools/call", "params": call})
        question = wire.receive()
        wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}})
        url = urlsplit(question["params"]["url"])
        page: Any = SimpleNamespace(url=url.geturl(), path=url.path)
        person = Visitor(page)
        if claimed:
            assert person.claim().status == 303
        for request_of in REQUESTS:
            for how in ("open", "half-closed", "closed"):
                assert_sent_away(talk(STRANGER, url.port or 0, request_of(person), how=how, times=5))
        if not claimed:
            assert person.claim().status == 303
        assert person.store("typed").status == 200
        assert answer_of(wire, "q") == "Stored 'TOKEN' (version 1). The value went straight to the store."
    assert machine.run("get", "TOKEN", at=project).stdout == "typed"

"""The history of a secret: keeping and evicting versions, restoring them, and purging them."""

import random
import sqlite3
import string
from contextlib import closing
from pathlib import Path

import pytest

from claude_secrets.errors import CallerError, Code, StoreError
from claude_secrets.model import KEPT_VERSIONS, PERSON, SHARED, Access, Call, Done, EnteredBy, Expiry, Tool
from claude_secrets.person import history, inspection, log, secrets, trust
from claude_secrets.person.person import Person
from claude_secrets.store import records
from claude_secrets.store.grants import Grant
from claude_secrets.store.transaction import Transaction
from tests.support import sqlite_attacker as attacker
from tests.support.store_world import Agent, World, at

DAY = 86_400
AGENT, BY_PERSON = EnteredBy.AGENT, EnteredBy.PERSON


def put(world: World, value: str, by: EnteredBy = AGENT, *, keep: int = KEPT_VERSIONS) -> None:
    with closing(world.store()) as store, store.write() as tx:
        records.put(tx, scope=SHARED, name="T", value=value, origin="/work/api", entered_by=by, keep=keep)


def kept(world: World) -> list[int]:
    return [version.number for version in history.history(world.person(), "T")[1]]


# Keeping versions


def test_ten_versions_are_kept_once_the_older_ones_are_old(world: World) -> None:
    for number in range(1, 31):
        put(world, str(number))
    assert kept(world) == list(range(1, 31))
    world.time += 30 * DAY
    put(world, "31")
    assert kept(world) == list(range(22, 32))


def test_what_was_replaced_a_moment_ago_is_kept_however_long_it_was_current(world: World) -> None:
    put(world, "the only one")
    world.time += 300 * DAY
    for number in range(50):
        put(world, str(number))
    assert kept(world)[0] == 1
    world.time += 29 * DAY
    put(world, "one more")
    assert kept(world)[0] == 1
    world.time += 1 * DAY
    put(world, "and one")
    assert kept(world)[0] != 1


def test_a_clock_that_is_set_back_lets_nothing_go(world: World) -> None:
    for number in range(20):
        put(world, str(number))
        world.time -= 3 * DAY
    assert len(kept(world)) == 20


def test_an_agent_lets_nothing_go_that_a_person_entered_and_a_person_only_their_own_old_ones(world: World) -> None:
    for number in range(1, 16):
        put(world, f"mine {number}", BY_PERSON)
    world.time += 40 * DAY
    for number in range(16, 36):
        put(world, str(number))
    assert kept(world) == list(range(1, 36))
    world.time += 40 * DAY
    put(world, "36")
    assert kept(world) == [*range(1, 16), *range(27, 37)]
    put(world, "mine 37", BY_PERSON)
    # The person's ten newest versions: 37 and 7 to 15.
    assert kept(world) == [*range(7, 16), *range(28, 38)]


def test_how_many_are_kept_is_the_persons_to_say(world: World) -> None:
    for number in range(9):
        put(world, str(number), keep=3)
    world.time += 31 * DAY
    put(world, "last", keep=3)
    assert kept(world) == [8, 9, 10]


def test_a_flood_is_let_go_a_part_at_a_time(world: World) -> None:
    for number in range(250):
        put(world, str(number))
    world.time += 31 * DAY
    counts = []
    for number in range(4):
        put(world, f"later {number}")
        counts.append(len(kept(world)))
    assert counts == [151, 52, 10, 10]


def test_what_is_left_still_fits_together(world: World) -> None:
    for number in range(15):
        put(world, str(number))
    world.time += 31 * DAY
    put(world, "last")
    assert inspection.check_store(world.person()) == (1, 10)
    with closing(world.store()) as store, store.write() as tx:
        record = records.find(tx, SHARED, "T")
        assert record is not None
        records.rename(tx, record, "NEW")
    assert secrets.get_value(world.person(), "NEW", warn=pytest.fail) == "last"
    assert inspection.check_store(world.person()) == (1, 10)


def test_settings_reach_the_agents_writes(world: World) -> None:
    (world.config / "config.yml").write_text("keep_versions: 2\n")
    agent = Agent(world, world.project("api"))
    for number in range(5):
        agent.set("T", str(number))
    world.time += 31 * DAY
    agent.set("T", "five")
    assert kept(world) == [5, 6]
    agent.done(Tool.DELETE_SECRET, "T")
    assert kept(world) == [5, 6, 7]  # version 5 was current a moment ago
    world.time += 31 * DAY
    agent.set("T", "six")
    assert kept(world) == [7, 8]


# Restoring


def test_a_thousand_overwrites_and_deletions_leave_what_the_person_entered(world: World) -> None:
    world.write_limit(100_000)
    api = world.project("api")
    secrets.set_value(world.person(api), "T", "what the person entered", Access.USE_ONLY)
    gate = Agent(world, api).gate
    for number in range(1000):
        tool = Tool.DELETE_SECRET if number % 3 == 2 else Tool.SET_SECRET
        call = Call(tool=tool, name="T", value="" if tool is Tool.DELETE_SECRET else f"junk {number}")
        outcome = gate.call(call, at(api), client=f"client {number}")
        assert isinstance(outcome, Done), outcome
        world.time += 7200.0  # 83 days in all, so that old versions are evicted
    record, found = history.history(world.person(), "T")
    assert record.access is Access.USE_ONLY
    assert [version.number for version in found if version.entered_by is BY_PERSON] == [1]
    assert len(found) < 1001
    done = history.restore_version(world.person(), "T", 1)
    assert done.stored.version == 1002
    assert secrets.get_value(world.person(), "T", warn=pytest.fail) == "what the person entered"
    assert history.history(world.person(), "T")[0].access is Access.USE_ONLY
    assert inspection.check_store(world.person())[0] == 1


def test_a_deleted_secret_comes_back_as_it_was(world: World) -> None:
    api = world.project("api")
    person = world.person(api)
    secrets.set_value(person, "T", "value", Access.USE_ONLY)
    secrets.delete(person, "T")
    done = history.restore_version(person, "T")
    assert (done.earlier.number, done.stored.version, done.stored.access) == (1, 3, Access.USE_ONLY)
    record, found = history.history(person, "T")
    assert (record.origin, record.deleted) == (str(api), False)
    assert [version.deleted for version in found] == [False, True, False]
    assert secrets.get_value(person, "T", warn=pytest.fail) == "value"


def test_restoring_twice_undoes_the_first_time(world: World) -> None:
    person = world.person()
    for value in ("right", "wrong"):
        secrets.set_value(person, "T", value)
    got = []
    for _ in range(2):
        history.restore_version(person, "T")
        got.append(secrets.get_value(person, "T", warn=pytest.fail))
    assert got == ["right", "wrong"]


def test_restoring_what_is_current_changes_nothing(world: World) -> None:
    person = world.person()
    for value in ("a", "b", "a"):
        secrets.set_value(person, "T", value)
    assert history.restore_version(person, "T", 1).stored.changed is False
    assert kept(world) == [1, 2, 3]


def test_who_entered_it_and_from_where_comes_back_with_the_value(world: World) -> None:
    clone, api = world.project("clone"), world.project("api")
    Agent(world, clone).set("T", "of the clone")
    assert secrets.set_value(world.person(api), "T", "of the person").moved_from == str(clone)
    history.restore_version(world.person(), "T", 1)
    record, _ = history.history(world.person(), "T")
    assert (record.origin, record.entered_by) == (str(clone), AGENT)
    # So the next caller who stores a value takes the name over again.
    assert secrets.set_value(world.person(api), "T", "of the person again").moved_from == str(clone)


@pytest.mark.parametrize("number", [0, 2, 9, -1])
def test_no_version_is_restored_that_is_not_there_or_is_a_deletion(world: World, number: int) -> None:
    person = world.person()
    secrets.set_value(person, "T", "v")
    secrets.delete(person, "T")
    before = world.rows()
    with pytest.raises(CallerError) as caught:
        history.restore_version(person, "T", number)
    assert caught.value.code is Code.NOT_FOUND
    assert world.rows() == before


def test_there_is_nothing_before_the_first(world: World) -> None:
    person = world.person()
    for ask in (history.history, history.restore_version):
        with pytest.raises(CallerError):
            ask(person, "T")
    secrets.set_value(person, "T", "v")
    with pytest.raises(CallerError, match="NOT_FOUND"):
        history.restore_version(person, "T")


def test_a_version_that_was_put_back_by_somebody_is_not_restored(world: World) -> None:
    for number in range(12):
        put(world, f"value {number}")
    world.close()
    with closing(sqlite3.connect(world.path)) as connection:
        first = connection.execute("SELECT * FROM versions WHERE version = 1").fetchone()
    world.time += 31 * DAY
    put(world, "last")
    assert kept(world)[0] == 4
    with attacker.attacker(world.path) as connection:
        connection.execute("INSERT INTO versions VALUES (?, ?, ?)", first)
    with pytest.raises(StoreError) as caught:
        history.restore_version(world.person(), "T", 1)
    assert caught.value.code is Code.STORE_TAMPERED


# Expiry


def test_expiry_belongs_to_the_value(world: World) -> None:
    person = world.person()
    secrets.set_value(person, "T", "v", expires=2_000_000_000)
    assert secrets.list_all(person)[0].expires == 2_000_000_000
    assert secrets.set_value(person, "T", "v").changed is False
    assert secrets.list_all(person)[0].expires == 2_000_000_000
    assert secrets.set_value(person, "T", "v", expires=Expiry.NEVER).changed is True
    assert secrets.list_all(person)[0].expires is None
    secrets.set_value(person, "T", "v", expires=1_900_000_000)
    secrets.set_value(person, "T", "w")
    assert secrets.list_all(person)[0].expires is None
    history.restore_version(person, "T")
    assert secrets.list_all(person)[0].expires == 1_900_000_000
    assert inspection.check_store(person) == (1, 3)


# Purging


def tokens(world: World, name: str) -> list[bytes]:
    """Return the tokens of a secret's record and versions."""
    with closing(world.store()) as store, store.read() as tx:
        key = tx.cipher.index("record", SHARED, name)
        rows = tx.connection.execute("SELECT token FROM versions WHERE record = ?", (key,)).fetchall()
        rows += tx.connection.execute("SELECT head FROM records WHERE record = ?", (key,)).fetchall()
    return [row[0] for row in rows]


def pieces_left(world: World, found: list[bytes]) -> int:
    """Count the pieces of these tokens in the store's files."""
    everything = world.stored_bytes()
    # All tokens begin with the same bytes (version, time); random bytes follow.
    pieces = {token[at : at + 12] for token in found for at in range(16, len(token) - 12, 6)}
    assert len(pieces) > 10
    return sum(everything[at : at + 12] in pieces for at in range(len(everything)))


@pytest.fixture
def crowded(world: World) -> World:
    """A store whose pages were split and filled many times, with one secret that will be purged."""
    dice = random.Random(7)
    person = world.person()
    for number in range(120):
        secrets.set_value(
            person, f"S{number}", "".join(dice.choices(string.ascii_letters, k=dice.choice([5, 60, 900, 9000])))
        )
        if number % 10 == 0:
            secrets.set_value(
                person, "GOING", "".join(dice.choices(string.ascii_letters, k=dice.choice([5, 600, 6000])))
            )
        if number % 7 == 0 and number:
            secrets.delete(person, f"S{dice.randrange(number)}")
    return world


def test_a_purged_secret_is_in_no_file_of_the_store_any_more(crowded: World) -> None:
    api = crowded.project("api")
    trust.allow(crowded.person(api), "GOING")
    found = tokens(crowded, "GOING")
    assert pieces_left(crowded, found) > 100
    secrets.delete(crowded.person(), "GOING")
    assert pieces_left(crowded, found) > 100
    found = tokens(crowded, "GOING")
    purged = history.purge(crowded.person(), "GOING")
    assert purged.scrubbed is True
    assert [record.name for record in purged.records] == ["GOING"]
    assert pieces_left(crowded, found) == 0  # with the servers' connections still open
    assert trust.list_grants(crowded.person()) == []
    with pytest.raises(CallerError):
        history.history(crowded.person(), "GOING")
    before = inspection.check_store(crowded.person())
    assert secrets.set_value(crowded.person(), "GOING", "new").version == 1
    assert inspection.check_store(crowded.person()) == (before[0] + 1, before[1] + 1)


def test_a_reader_delays_it_and_the_next_purge_makes_up_for_it(crowded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claude_secrets.store.schema.BUSY_SECONDS", 0.2)
    found = tokens(crowded, "GOING")
    with closing(sqlite3.connect(crowded.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchone()
        assert history.purge(crowded.person(), "GOING").scrubbed is False
        assert pieces_left(crowded, found) > 0
    assert history.purge_deleted(crowded.person(), []).scrubbed is True
    assert pieces_left(crowded, found) == 0


def test_all_deleted_ones_go_and_no_other(crowded: World) -> None:
    person = crowded.person()
    secrets.set_value(crowded.person(scope="acme"), "T", "v")
    secrets.delete(crowded.person(scope="acme"), "T")
    trust.allow(crowded.person(crowded.project("api")), "T")  # T in the scope "shared"
    live = [record.name for record in secrets.list_all(person)]
    shown = history.deleted(person)
    assert ("acme", "T") in [(record.scope, record.name) for record in shown]
    secrets.set_value(person, shown[-1].name, "back again")
    purged = history.purge_deleted(person, shown)
    assert len(purged.records) == len(shown) - 1
    assert [record.name for record in secrets.list_all(person)] == sorted([*live, shown[-1].name])
    assert history.deleted(person) == []
    assert [grant.name for grant in trust.list_grants(person)] == ["T"]
    inspection.check_store(person)


def test_purging_is_in_the_log_and_versions_of_grants_are_gone(world: World) -> None:
    api = world.project("api")
    secrets.set_value(world.person(), "T", "v")
    trust.allow(world.person(api), "T")
    history.purge(world.person(), "T")
    assert trust.list_grants(world.person()) == []
    actions = [entry.event.action for entry in log.entries(world.person(), lambda _: True)]
    assert actions == ["set", "allow", "purge"]


def test_nothing_is_made_to_purge_in(tmp_path: Path) -> None:
    world = World(tmp_path, store=False)
    person = Person(store=world.store())
    assert history.purge_deleted(person, history.deleted(person)).records == ()
    with pytest.raises(CallerError):
        history.purge(person, "T")
    assert not world.path.exists()


def test_a_grant_is_not_purged_with_another_scopes_secret(world: World) -> None:
    secrets.set_value(world.person(), "T", "v")
    secrets.set_value(world.person(scope="acme"), "T", "w")
    api = world.project("api")
    trust.allow(world.person(api), "T")
    history.purge(world.person(scope="acme"), "T")
    assert trust.list_grants(world.person()) == [Grant(project=str(api), scope=SHARED, name="T")]
    assert history.history(world.person(), "T")[0].origin == PERSON


def test_pages_that_were_split_keep_nothing_of_what_moved(world: World) -> None:
    dice = random.Random(11)
    gone: list[bytes] = []
    store = world.store()
    for _ in range(20):
        for _ in range(3):
            with store.write() as tx:
                for _ in range(100):
                    gone += _changed(tx, f"S{dice.randrange(300)}", dice)
        with closing(sqlite3.connect(world.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if pieces_left(world, gone):  # secure_delete does not remove every copy by itself
            break
    else:
        pytest.fail("nothing was ever left, so this shows nothing")
    assert store.scrub() is True
    assert pieces_left(world, gone) == 0


def _changed(tx: Transaction, name: str, dice: random.Random) -> list[bytes]:
    """Store a secret, or purge it. Return the tokens that this removes."""
    key = tx.cipher.index("record", SHARED, name)
    gone = [row[0] for row in tx.connection.execute("SELECT head FROM records WHERE record = ?", (key,))]
    record = records.find(tx, SHARED, name)
    if record is not None and dice.random() < 0.3:
        gone += [row[0] for row in tx.connection.execute("SELECT token FROM versions WHERE record = ?", (key,))]
        records.purge(tx, record)
    else:
        value = "".join(dice.choices(string.ascii_letters, k=dice.choice([5, 60, 900, 3000])))
        records.put(tx, scope=SHARED, name=name, value=value, origin=PERSON, entered_by=BY_PERSON)
    return gone


def test_bringing_back_lets_nothing_go(world: World) -> None:
    person = world.person()
    for number in range(1, 12):
        secrets.set_value(person, "T", f"value {number}")
        world.time += 1
    world.time += 60 * 86_400
    history.restore_version(person, "T", 2)
    _, kept = history.history(world.person(), "T")
    assert [version.number for version in kept][:2] == [1, 2]


def test_what_has_changed_since_it_was_shown_is_not_purged(world: World) -> None:
    person = world.person()
    secrets.set_value(person, "T", "one")
    shown, _ = history.history(person, "T")
    secrets.set_value(world.person(), "T", "two")
    with pytest.raises(StoreError) as caught:
        history.purge(person, "T", shown)
    assert caught.value.code is Code.STORE_BUSY
    assert secrets.get_value(person, "T", warn=print) == "two"

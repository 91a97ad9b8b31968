"""The log: records without gaps, found without listing, and what they say taken together."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from drafts import draft
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import saver
from saver.repo import document
from saver.repo.events import Commit, Condemn, Delete, Event, Tag
from saver.repo.log import ZERO, Log, Record, log_key
from saver.repo.numbered import PartVersion
from saver.repo.objects import checkpoint_key, page_key
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.settling import settle
from saver.repo.state import Checkpoint, State, state
from saver.repo.state.facts import step_key
from saver.repo.state.pages import Pages
from saver.repo.state.view import View
from saver.storage import Storage
from saver.storages.memory import MemoryStorage
from saver.testing import FaultyStorage


def write(store: Storage, events: list[Event], first: int = 1, previous: str = ZERO) -> None:
    log = Log(store)
    for number, event in enumerate(events, first):
        record = Record(1, number, previous, f"{number:032x}", float(number), event)
        assert log.append(record)
        previous = log.read(number)[1]


def commit(number: int, model: str = "m", **more: Any) -> Commit:
    return Commit(model, number, "ab" * 32, {"p": PartVersion(1, "cd" * 32, 8)}, **more)


@pytest.mark.parametrize("count", [*range(12), 63, 64, 65, 200])
@pytest.mark.parametrize("known", [0, 1, 7])
def test_the_head_is_found_from_wherever_one_stands(count: int, known: int) -> None:
    store = MemoryStorage()
    write(store, [commit(number) for number in range(1, count + 1)])
    assert Log(store).head(min(known, count)) == count


def test_finding_the_head_asks_few_questions() -> None:
    class Counting(Log):
        asked = 0

        def stat(self, number: int) -> Any:
            self.asked += 1
            return number <= 100_000 or None

    log = Counting(MemoryStorage())
    assert log.head() == 100_000
    assert log.asked < 40


@pytest.mark.parametrize("lost", [1, 5, 63, 64, 98, 99])
def test_a_missing_record_is_reported_and_never_written_anew(lost: int) -> None:
    store = MemoryStorage()
    write(store, [commit(number) for number in range(1, 101)])
    store.delete(log_key(lost))
    with pytest.raises(saver.DamagedError, match=log_key(lost)):
        State(store).refresh()


def test_a_number_is_taken_once() -> None:
    store = MemoryStorage()
    log = Log(store)
    first = Record(1, 1, ZERO, "a" * 32, 1.0, commit(1))
    assert log.append(first)
    assert not log.append(Record(1, 1, ZERO, "b" * 32, 1.0, commit(1)))
    assert log.append(first), "a retry knows its own write"
    assert log.read(1)[0] == first


def test_records_of_a_newer_saver_are_refused_by_name() -> None:
    store = MemoryStorage()

    class Newer(Record, frozen=True):
        pass

    for number, (form, event) in enumerate([(2, commit(1)), (1, {"kind": "fuse", "x": 1})], 1):
        record = Newer(form, number, ZERO, "a" * 32, 1.0, event)  # type: ignore[arg-type]
        store.create(log_key(number), document.encode(record))
        with pytest.raises(saver.IncompatibleError, match="newer Saver"):
            Log(store).read(number)


def test_copies_of_a_store_that_were_mixed_are_reported() -> None:
    store, other = MemoryStorage(), MemoryStorage()
    write(store, [commit(1), commit(2)])
    write(other, [commit(1, step=7), commit(2), commit(3)])
    store.create(log_key(3), other.read(log_key(3)))
    with pytest.raises(saver.DamagedError, match="does not follow"):
        State(store).refresh()


def test_a_renamed_record_is_reported() -> None:
    store = MemoryStorage()
    write(store, [commit(1)])
    store.create(log_key(2), store.read(log_key(1)))
    for read in (lambda: Log(store).read(2), State(store).refresh):
        with pytest.raises(saver.DamagedError, match="says that it is record 1"):
            read()


@pytest.mark.parametrize("number", [-1, 0, 1, 3, 10**12, 2**53 - 1])
def test_a_number_is_given_once(number: int) -> None:
    """A push leaves out those of versions that were deleted. No ref can name those that are too large."""
    store = MemoryStorage()
    write(store, [commit(1), commit(3), commit(number)])
    with pytest.raises(saver.IncompatibleError, match=f"version {number} of 'm' after 3"):
        State(store).refresh()


CANNOT_BE = pytest.mark.parametrize(
    ("event", "message"),
    [
        (Tag("m", "best", 7), "tags m@7, which does not exist"),
        (Tag("m", "latest", 1), "'latest' is not a tag"),
        (Tag("../m", "best", None), "is not the name of a model"),
        (Delete("m\n", (1,)), "is not the name of a model"),
        (commit(1, "a b"), "is not the name of a model"),
        (commit(2, tags=("7",)), "is not a tag"),
    ],
    ids=str,
)


@CANNOT_BE
def test_a_record_of_what_cannot_be_is_refused(event: Event, message: str) -> None:
    store = MemoryStorage()
    write(store, [commit(1), event])
    with pytest.raises(saver.IncompatibleError, match=f"record 2.*{message}"):
        State(store).refresh()


@CANNOT_BE
def test_what_readers_would_refuse_is_never_appended(event: Event, message: str) -> None:
    repo = Repository(MemoryStorage())
    save_version(repo, draft("m", {"a/t": [1.0]}))
    with pytest.raises(saver.CannotWriteError, match=f"nothing was appended.*{message}"):
        repo.append(lambda: event)
    assert save_version(Repository(repo.storage), draft("m", {"a/t": [2.0]})).number == 2


def test_a_part_whose_number_cannot_grow_stops_saves_and_not_readers() -> None:
    """Somebody else has written the highest number that there is."""
    store = MemoryStorage()
    save_version(Repository(store), draft("m", {"p/t": [1.0]}))
    forged = Commit("m", 2, "ab" * 32, {"p": PartVersion(2**53, "cd" * 32, 8)})
    write(store, [forged], 2, Log(store).read(1)[1])
    before = set(store.keys(""))
    with pytest.raises(saver.CannotWriteError, match="nobody could read it"):
        save_version(Repository(store), draft("m", {"p/t": [2.0]}))
    assert set(store.keys("")) == before
    assert save_version(Repository(store), draft("m", {"q/t": [2.0]})).number == 3


def test_a_sum_stops_where_numbers_end() -> None:
    store = MemoryStorage()
    for number in range(1, 4):
        previous = Log(store).read(number - 1)[1] if number > 1 else ZERO
        write(store, [commit(number, bytes_added=2**53 - 1)], number, previous)
    found = State(store)
    found.refresh()
    assert found.get("model m").bytes_added == 2**53
    write(store, [Delete("m", (1, 3))], 4, Log(store).read(3)[1])
    found.refresh()
    assert found.get("model m").bytes_added == 0


def test_a_commit_that_is_copied_is_not_taken_for_the_first() -> None:
    store = MemoryStorage()
    save_version(Repository(store), draft("m", {"p/t": [1.0]}))
    first, digest = Log(store).read(1)
    copied = replace(first, number=2, previous=digest, event=replace(first.event, number=2, parent=1))
    assert Log(store).append(copied)
    found = settle(Repository(store), first.transaction, 0)
    assert found is not None
    assert found.number == 1


def everything(found: State) -> dict[str, Any]:
    return dict(found.scan(""))


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.sampled_from("ab"), st.integers(0, 3)),
        st.tuples(st.just("delete"), st.sampled_from("ab"), st.integers(1, 12)),
        st.tuples(st.just("tag"), st.sampled_from("ab"), st.integers(1, 12)),
        st.tuples(st.just("untag"), st.sampled_from("ab"), st.integers(1, 2)),
        st.tuples(st.just("condemn"), st.sampled_from("ab"), st.integers(1, 5)),
    ),
    max_size=40,
)


class Model:
    """What the state should say, by the simplest means."""

    def __init__(self) -> None:
        self.versions: dict[str, dict[int, int | None]] = {"a": {}, "b": {}}
        self.last = {"a": 0, "b": 0}
        self.tags: dict[tuple[str, str], int] = {}

    def event(self, kind: str, model: str, value: int) -> Event:
        if kind == "commit":
            self.last[model] += 1
            self.versions[model][self.last[model]] = value
            return commit(self.last[model], model, step=value)
        if kind == "delete" and 0 < value <= self.last[model]:
            self.versions[model].pop(value, None)
            self.tags = {key: n for key, n in self.tags.items() if key[0] != model or n != value}
            return Delete(model, (value,))
        if kind == "tag" and value in self.versions[model]:
            self.tags[model, f"t{value % 2}"] = value
            return Tag(model, f"t{value % 2}", value)
        if kind == "untag":
            self.tags.pop((model, f"t{value % 2}"), None)
            return Tag(model, f"t{value % 2}", None)
        return Condemn((f"packs/{model}{value}.safetensors",))

    def agrees(self, found: State) -> None:
        for model, versions in self.versions.items():
            keys = [int(key[-12:]) for key, _ in found.scan(f"version {model} ")]
            assert keys == sorted(versions)
            assert [int(key[-12:]) for key, _ in found.scan(f"version {model} ", reverse=True)] == keys[::-1]
            if self.last[model]:
                value = found.get(f"model {model}")
                assert (value.last, value.count) == (self.last[model], len(versions))
                assert value.latest == max(versions, default=None)
            for step in range(4):
                with_step = [number for number, its in versions.items() if its == step]
                assert [n for _, n in found.scan(step_key(model, step))] == sorted(with_step)
        tags = {tuple(key.split(" ")[1:]): number for key, number in found.scan("tag ")}
        assert tags == self.tags


@settings(max_examples=60)
@given(EVENTS, st.integers(1, 9), st.integers(1, 9))
@example([("commit", "a", 0), ("tag", "a", 1), ("commit", "a", 0), ("delete", "a", 1)], 3, 1)
def test_the_state_is_the_same_by_checkpoints_by_steps_and_from_the_log_alone(
    kinds: list[tuple[str, str, int]], interval: int, stride: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "INTERVAL", interval)
        store, model = MemoryStorage(), Model()
        follower = State(store)
        previous = ZERO
        for number, kind in enumerate(kinds, 1):
            write(store, [model.event(*kind)], number, previous)
            previous = Log(store).read(number)[1]
            if number % stride == 0:
                follower.refresh()
                follower.keep_checkpoint().finish()
        follower.refresh()
        model.agrees(follower)
        fresh = State(store)
        fresh.refresh()
        model.agrees(fresh)
        assert everything(fresh) == everything(follower)
        bare = MemoryStorage()
        for key in store.keys("log/"):
            bare.create(key, store.read(key))
        alone = State(bare)
        alone.refresh()
        assert everything(alone) == everything(fresh)


def with_checkpoints(count: int = 200) -> MemoryStorage:
    store = MemoryStorage()
    found = State(store)
    previous = ZERO
    for number in range(1, count + 1):
        write(store, [commit(number, step=number)], number, previous)
        previous = Log(store).read(number)[1]
        found.refresh()
        found.keep_checkpoint().finish()
    return store


def test_opening_reads_only_what_came_after_the_checkpoint() -> None:
    store = with_checkpoints(200)
    for number in itertools.chain(range(1, 127), range(128, 192)):
        data = store.read(log_key(number))
        store.delete(log_key(number))
        store.create(log_key(number), b"x" * len(data))
    found = State(store)
    found.refresh()
    assert found.head == 200
    assert found.trouble is None
    assert found.get("version m 000000000003").step == 3


@pytest.mark.parametrize("harm", ["damaged", "missing"])
@pytest.mark.parametrize("what", ["checkpoint", "page"])
def test_without_its_checkpoints_the_log_says_the_same(harm: str, what: str) -> None:
    store = with_checkpoints(200)
    expected = State(store)
    expected.refresh()
    keys = [checkpoint_key(192)] if what == "checkpoint" else [page_key(expected._view.root or "")]
    for key in keys:
        store.delete(key)
        if harm == "damaged":
            store.create(key, b"{}")
    found = State(store)
    found.refresh()
    assert everything(found) == everything(expected)
    assert (found.trouble is not None) == (harm == "damaged")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ask", ["get", "scan"])
def test_pages_that_go_missing_while_they_are_used_cost_time_only(ask: str, reverse: bool) -> None:
    store = with_checkpoints(200)
    found, expected = State(store), State(store)
    found.refresh()
    expected.refresh()
    rest = found.scan("version m ", reverse)
    seen = [next(rest) for _ in range(3)]
    for key in list(store.keys("state/")):
        store.delete(key)
    found.shortcuts.pages._page.cache_clear()
    if ask == "get":
        assert found.get("version m 000000000003").step == 3
    seen += rest
    assert seen == list(expected.scan("version m ", reverse))
    assert found.head == 200


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_the_next_checkpoint_is_written_whatever_became_of_the_last(harm: str) -> None:
    store = with_checkpoints(127)
    keys = list(store.keys("state/"))
    for key in keys:
        store.delete(key)
        if harm == "damaged":
            store.create(key, b"{}")
    found = State(store)
    found.refresh()
    write(store, [commit(128, step=128)], 128, Log(store).read(127)[1])
    found.refresh()
    found.keep_checkpoint().finish()
    fresh = State(store)
    fresh.refresh()
    assert fresh.trouble is None
    assert fresh.head == 128
    assert fresh.get("version m 000000000003").step == 3
    assert everything(fresh) == everything(found)


def test_a_damaged_checkpoint_is_written_anew() -> None:
    store = with_checkpoints(128)
    sound = {key: store.read(key) for key in store.keys("state/")}
    whole = State(store)
    whole.refresh()
    for key in sound:
        store.delete(key)
        store.create(key, b"{}")
    found = State(store)
    found.refresh()
    assert found.trouble
    found.keep_checkpoint().finish()
    fresh = State(store)
    fresh.refresh()
    assert fresh.trouble is None
    assert everything(fresh) == everything(whole)


def test_a_checkpoint_of_another_saver_is_not_believed() -> None:
    store = with_checkpoints(32)
    expected = State(store)
    expected.refresh()
    own = expected.shortcuts.read(32)
    store.delete(checkpoint_key(32))
    store.create(checkpoint_key(32), document.encode(Checkpoint(own.format + 1, 32, own.previous, None)))
    found = State(store)
    found.refresh()
    assert everything(found) == everything(expected)
    assert "of another Saver" in (found.trouble or "")


def test_a_checkpoint_that_others_made_is_not_taken_over_unless_it_is_of_this_log() -> None:
    store, other = MemoryStorage(), with_checkpoints(16)
    write(store, [commit(number, step=3) for number in range(1, 17)])
    found = State(store)
    found.refresh()
    expected = everything(found)
    for key in other.keys("state/"):
        store.create(key, other.read(key))
    found.keep_checkpoint().finish()
    assert everything(found) == expected
    fresh = State(store)
    fresh.refresh()
    assert everything(fresh) == expected


def test_a_version_is_found_among_many_by_reading_few_pages() -> None:
    store = with_checkpoints(640)
    read: list[str] = []
    found = State(store)
    stored = found.shortcuts._read_page
    found.shortcuts.pages = Pages(lambda name: (read.append(name), stored(name))[1], {}.__setitem__)
    found._view = View(found.shortcuts.pages)
    found.refresh()
    assert found.get("version m 000000000003").step == 3
    assert len(read) <= 4


def test_a_record_of_somebody_else_is_made_durable_before_a_checkpoint_tells_of_it() -> None:
    """One of one's own is so already, and so are all before it."""
    store = FaultyStorage(MemoryStorage())
    write(store, [commit(number) for number in range(1, state.INTERVAL + 1)])
    reader, last = State(store), checkpoint_key(state.INTERVAL)
    reader.refresh()
    store.calls.clear()
    reader.keep_checkpoint().finish()
    made = [call.removeprefix("create ") for call in store.calls if call.startswith("create ")]
    assert made.index(log_key(state.INTERVAL)) < made.index(last)
    store.delete(last)
    writer = State(store)
    writer.refresh()
    event = commit(state.INTERVAL + 1)
    record = Record(1, state.INTERVAL + 1, writer.last()[1], "f" * 32, 1.0, event)
    digest = writer.log.append(record)
    assert digest is not None
    writer.took(record, digest)
    store.calls.clear()
    writer.keep_checkpoint().finish()
    assert [call for call in store.calls if call.startswith("create log/")] == []

"""Labels, notes and authors: what is said of versions and models, who said it, what the log tells of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3

import saver
from saver.repo import document
from saver.repo.events import Commit, Delete, Label, Note
from saver.repo.labels import LABELS_LIMIT, NOTES_LIMIT, VALUE_LIMIT
from saver.repo.log import log_key, record_after
from saver.repo.numbered import PartVersion
from saver.repo.objects import checkpoint_key, page_key
from saver.repo.refs import BadNameError
from saver.repo.state import Checkpoint, state
from saver.storages.counting import CountingStorage
from saver.storages.memory import MemoryStorage


@pytest.fixture
def store() -> saver.Saver:
    made = saver.Saver(MemoryStorage(), author="ada")
    made.save("iris", [1], labels={"team": "fraud"}, notes="first")
    made.save("iris", [2])
    return made


def anew(store: saver.Saver) -> saver.Saver:
    return saver.Saver(store.storage, author="bob")


@pytest.mark.parametrize(
    ("number", "text"),
    [(3, "3"), (-1, "-1"), (0.5, "0.5"), (1e300, "1e+300"), (math.inf, "inf"), (np.int64(7), "7"),
     (np.float32(0.5), "0.5")],
)  # fmt: skip
def test_a_number_is_a_label_wherever_labels_are_given(store: saver.Saver, number: Any, text: str) -> None:
    """As the text that a condition compares as a number again."""
    store.label("iris@1", {"fold": number})
    saved = store.save("iris", 1, labels={"fold": number})
    with store.checkpoints("run", {"x": {}}, every=saver.Every(steps=1), labels={"fold": number}) as run:
        run.step(0)
    found = [store.version("iris@1"), saved, store.version("run")]
    assert [version.labels["fold"] for version in found] == [text] * 3
    assert saved in store.versions("iris", where=f"label.fold = '{text}'")


def test_labels_of_a_version_are_set_changed_and_removed(store: saver.Saver) -> None:
    store.label("iris@1", {"stage": "live", "team": "risk"})
    store.label(store.version("iris@1"), {"team": None})
    assert anew(store).version("iris@1").labels == {"stage": "live"}
    assert store.version("iris@2").labels == {}


def test_a_name_alone_means_the_model_and_latest_its_newest_version(store: saver.Saver) -> None:
    store.label("iris", {"owner": "ann"})
    store.note("iris", "flowers")
    store.label("iris@latest", {"stage": "new"})
    store.note("iris@latest", "a version")
    found = anew(store).summary("iris")
    assert (found.labels, found.notes) == ({"owner": "ann"}, "flowers")
    assert (found.newest.labels, found.newest.notes) == ({"stage": "new"}, "a version")


def test_what_is_said_of_a_model_outlives_its_versions(store: saver.Saver) -> None:
    store.label("iris", {"owner": "ann"})
    store.delete("iris@1", tags=True), store.delete("iris@2")
    with pytest.raises(saver.NotFoundError, match="no model 'iris'"):
        store.label("iris", {"owner": "bob"})
    assert store.save("iris", [3]).number == 3
    assert anew(store).summary("iris").labels == {"owner": "ann"}


def test_notes_can_be_edited_and_the_version_is_sound_and_loads(store: saver.Saver) -> None:
    store.note("iris@1", "better than we thought")
    store.note("iris@2", "")
    found = anew(store)
    assert [version.notes for version in found.versions("iris")] == ["better than we thought", ""]
    assert found.version("iris@1").saved_notes == "first"
    assert found.load("iris@1") == [1]
    assert found.check().sound
    (fact,) = found.diff("iris@2", "iris@1").facts
    assert (fact.path, fact.old, fact.new) == ("notes", None, "better than we thought")


@pytest.mark.parametrize("interval", [1, 3, 16])
def test_a_checkpoint_says_the_same_of_models_and_versions_as_the_log(
    interval: int, monkeypatch: pytest.MonkeyPatch, store: saver.Saver
) -> None:
    monkeypatch.setattr(state, "INTERVAL", interval)
    for number in range(8):
        store.label("iris@1", {f"key{number % 3}": str(number)})
        store.note("iris", f"noted {number}")
        store.save("iris", [number])
        store.delete(f"iris@{number + 2}")
    found = anew(store)
    assert found.version("iris@1").labels == {"key0": "6", "key1": "7", "key2": "5", "team": "fraud"}
    assert found.summary("iris").notes == "noted 7"
    assert found.summary("iris").bytes_added == sum(v.bytes_added for v in found.versions("iris"))
    assert found.check().sound


def test_saying_the_same_again_writes_nothing(store: saver.Saver) -> None:
    store.label("iris@1", {"team": "fraud", "gone": None})
    store.note("iris@1", "first")
    assert [entry.kind for entry in store.log()] == ["save", "save"]


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda s: s.label("iris@1", {"no key": "x"}), BadNameError),
        (lambda s: s.label("iris@1", {"": "x"}), BadNameError),
        (lambda s: s.label("iris@1", {"a": ""}), BadNameError),
        (lambda s: s.label("iris@1", {"a": "x\ny"}), BadNameError),
        (lambda s: s.label("iris@1", {"a": "x" * (VALUE_LIMIT + 1)}), BadNameError),
        (lambda s: s.label("iris@1", {"a": True}), BadNameError),
        (lambda s: s.label("iris@1", {1: "a"}), BadNameError),
        (lambda s: s.label("iris@1", "a=b"), TypeError),
        (lambda s: s.label("iris@1", {f"k{n}": "x" for n in range(LABELS_LIMIT)}), BadNameError),
        (lambda s: s.note("iris@1", "x" * (NOTES_LIMIT + 1)), ValueError),
        (lambda s: s.note("iris@1", None), TypeError),
        (lambda s: s.label("iris@9", {"a": "b"}), saver.NotFoundError),
        (lambda s: s.note("rose", "a"), saver.NotFoundError),
        (lambda s: s.save("iris", 1, labels={"a b": "c"}), BadNameError),
        (lambda s: s.save("iris", 1, author=""), BadNameError),
        (lambda s: s.save("iris", 1, author=7), TypeError),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_and_nothing_changes(
    store: saver.Saver, act: Callable[[saver.Saver], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        act(store)
    assert len(list(anew(store).log())) == 2


def test_a_backup_has_what_was_said_and_an_export_the_present_notes(
    store: saver.Saver, tmp_path: Any
) -> None:
    store.label("iris", {"owner": "ann"}), store.note("iris@1", "edited")
    copy = MemoryStorage()
    assert store.backup(copy).whole
    kept = saver.Saver(copy)
    assert kept.summary("iris") == store.summary("iris")
    assert kept.versions("iris") == store.versions("iris")
    assert kept.check().sound
    assert [*kept.log()] == [*store.log()]
    store.export("iris@1", tmp_path / "iris.saver")
    assert kept.import_(tmp_path / "iris.saver", "other").notes == "edited"


# Who


def test_each_record_has_who_wrote_it_and_a_version_has_who_made_it(store: saver.Saver) -> None:
    other = anew(store)
    other.save("iris", [3], author="carol")
    other.tag("iris@3", "live"), other.untag("iris", "live")
    other.label("iris@3", {"a": "b"}), other.note("iris", "x"), other.delete("iris@1"), other.gc(grace=0)
    entries = list(store.log())
    assert [entry.author for entry in entries] == ["bob"] * 7 + ["ada"] * 2
    assert [entry.kind for entry in entries] == [
        "collect", "delete", "note", "label", "tag", "tag", "save", "save", "save",
    ]  # fmt: skip
    assert [entry.record for entry in entries] == [*range(9, 0, -1)]
    assert store.version("iris@3").author == entries[6].made_by == "carol"
    assert (store.version("iris@2").author, entries[7].made_by) == ("ada", "ada")
    assert store.load("iris@3") == [3]


def test_an_imported_version_is_by_its_author_and_the_import_by_who_did_it(
    store: saver.Saver, tmp_path: Any
) -> None:
    store.export("iris@1", tmp_path / "iris.saver")
    found = anew(store).import_(tmp_path / "iris.saver", "other")
    assert found.author == "ada"
    (entry,) = anew(store).log("other")
    assert (entry.author, entry.made_by) == ("bob", "ada")


def test_the_log_of_a_model_ends_with_its_first_version_and_leaves_others_out(store: saver.Saver) -> None:
    for number in range(100):
        store.save("rose", number)
    store.tag("iris@1", "live")
    found = [(entry.kind, entry.numbers, entry.tags) for entry in store.log("iris")]
    assert found == [("tag", (1,), ("live",)), ("save", (2,), ()), ("save", (1,), ())]
    assert [entry.numbers for entry in store.log("rose")] == [(number,) for number in range(100, 0, -1)]
    assert list(store.log("none")) == []


def test_only_the_records_that_one_asks_for_are_read(store: saver.Saver) -> None:
    for number in range(100):
        store.save("rose", number)
    counted = CountingStorage(store.storage)
    log = saver.Saver(counted).log()
    counted.begin_anew()
    next(log)
    assert counted.calls.total() <= 8


# From an enemy


def test_a_version_says_no_more_than_a_listing_can_show(store: saver.Saver) -> None:
    before = set(store.storage.keys(""))
    with pytest.raises(ValueError, match="10,001 metrics are more than 10,000"):
        store.save("iris", 1, metrics={f"m{number}": 1 for number in range(10_001)})
    with pytest.raises(ValueError, match="1,001 tags are more than 1,000"):
        store.save("iris", 1, tags=[f"t{number}" for number in range(1001)])
    assert set(store.storage.keys("")) == before
    metrics = {f"m{number}": 1 for number in range(1000)}
    found = store.save("iris", 1, metrics=metrics, tags=[f"t{number}" for number in range(100)])
    assert (len(found.metrics), len(found.tags)) == (1000, 100)


FORGED: dict[str, Any] = {
    "a version that is not there": Label("iris", 9, {"a": "b"}),
    "a version that was deleted": Note("iris", 2, "x"),
    "a model that is not there": Label("rose", None, {"a": "b"}),
    "notes of a model that is not there": Note("rose", None, "x"),
    "a key": Label("iris", 1, {"a b": "c"}),
    "a value": Label("iris", 1, {"a": "\x1b]0;"}),
    "a long value": Note("iris", 1, "x" * (NOTES_LIMIT + 1)),
    "too many": Label("iris", 1, {f"k{n}": "x" for n in range(LABELS_LIMIT)}),
    "no model": Label("../iris", None, {"a": "b"}),
    "labels of a commit": Commit("iris", 3, "0" * 64, {}, labels={"": "x"}),
    "notes of a commit": Commit("iris", 3, "0" * 64, {}, notes="x" * (NOTES_LIMIT + 1)),
    "less than no bytes": Commit("iris", 3, "0" * 64, {}, bytes_added=-1),
    "more bytes than there are": Commit("iris", 3, "0" * 64, {}, bytes_added=2**60),
    "an invalid size": Commit("iris", 3, "0" * 64, {}, bytes=2**60),
    "an invalid step": Commit("iris", 3, "0" * 64, {}, step=-1),
    "a step beyond all": Commit("iris", 3, "0" * 64, {}, step=10**15),
    "a part of no size": Commit("iris", 3, "0" * 64, {"a": PartVersion(1, "0" * 64, -1)}),
    "a part of no number": Commit("iris", 3, "0" * 64, {"a": PartVersion(2**60, "0" * 64, 1)}),
    "an invalid parent": Commit("iris", 3, "0" * 64, {}, parent=2**60),
}


@pytest.mark.parametrize("event", FORGED.values(), ids=FORGED)
def test_a_record_that_no_saver_writes_is_refused_by_name(store: saver.Saver, event: Any) -> None:
    store.delete("iris@2", tags=True)
    _append(store, event)
    with pytest.raises(saver.IncompatibleError, match="record 4"):
        anew(store).models()
    with pytest.raises(saver.IncompatibleError, match="record 4"):
        anew(store).check()


def test_nothing_can_be_said_of_a_model_of_which_nothing_is_left(store: saver.Saver) -> None:
    store.delete("iris@1..2", tags=True)
    _append(store, Label("iris", None, {"a": "b"}))
    with pytest.raises(saver.IncompatibleError, match="the model 'iris', which is not there"):
        anew(store).models()


def _append(store: saver.Saver, event: Any) -> None:
    log = store._repo.state.log
    number = log.head()
    digest = log.read(number)[1]
    record = record_after((number, digest), event, "0" * 32, 1.5, "mallory")
    store.storage.create(log_key(number + 1), document.encode(record))


def test_a_number_that_is_not_exact_in_json_is_not_an_error_of_python(store: saver.Saver) -> None:
    """Beside a time without a fraction, which takes the slower way to canonical JSON."""
    _append(store, Commit("iris", 3, "0" * 64, {}, bytes=12345678))
    key = log_key(3)
    data = store.storage.read(key).replace(b":12345678,", b":%d," % 10**30).replace(b":1.5", b":1.0")
    data = data[:9] + document.digest(data).encode() + data[73:]
    store.storage.delete(key), store.storage.create(key, data)
    with pytest.raises(saver.IncompatibleError, match=r"0003\.json"):
        anew(store).models()


def test_check_names_a_model_of_which_a_checkpoint_says_something_else(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "INTERVAL", 4)
    store.label("iris", {"owner": "ann"})
    store.delete("iris@1", tags=True)
    store.label("iris", {"other": "x"})  # keeps the checkpoint of record 4
    key = checkpoint_key(4)
    kept, _ = document.decode(store.storage.read(key), Checkpoint, "")
    page = store.storage.read(page_key(str(kept.root))).replace(b'"ann"', b'"eve"')
    root = blake3(page).hexdigest()
    store.storage.create(page_key(root), page)
    store.storage.delete(key)
    store.storage.create(key, document.encode(msgspec.structs.replace(kept, root=root)))
    assert anew(store).summary("iris").labels["owner"] == "eve"
    found = anew(store).check()
    assert [(damage.key, damage.model) for damage in found.damage] == [("state", "iris")]


@pytest.mark.parametrize("event", [Delete("iris", (7,)), Delete("rose", (1,))])
def test_a_deletion_of_what_never_was_is_refused(store: saver.Saver, event: Delete) -> None:
    _append(store, event)
    with pytest.raises(saver.IncompatibleError, match="that never were") as caught:
        anew(store).models()
    assert caught.value.rule == "5.08"

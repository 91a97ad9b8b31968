"""Deletions: one or several versions, and ranges of them."""

from __future__ import annotations

import itertools

import pytest

import saver
from saver.errors import TaggedError
from saver.repo.refs import BadNameError, Range, parse_range
from saver.storages.memory import MemoryStorage


@pytest.fixture
def store() -> saver.Saver:
    made = saver.Saver(MemoryStorage())
    for number in range(9):
        made.save("iris", number)
    made.save("rose", 1)
    made.delete("iris@4")
    return made


def numbers(store: saver.Saver, model: str = "iris") -> list[int]:
    return [version.number for version in store.versions(model)]


@pytest.mark.parametrize(
    ("refs", "gone"),
    [
        (["iris@3..7"], [3, 5, 6, 7]),
        (["iris@..2"], [1, 2]),
        (["iris@8.."], [8, 9]),
        (["iris@4..5"], [5]),
        (["iris@2", "iris@2..3", "iris@latest"], [2, 3, 9]),
        ([], []),
    ],
)
def test_what_is_named_is_deleted_once_and_in_one_record(
    store: saver.Saver, refs: list[str], gone: list[int]
) -> None:
    before, head = numbers(store), next(store.log()).record
    assert [version.number for version in store.delete(*refs)] == gone
    assert numbers(store) == [number for number in before if number not in gone]
    assert next(store.log()).record == head + bool(gone)


@pytest.mark.parametrize("wrong", ["iris@4", "iris@4..4", "iris@20..", "lily@1..3", "lily"])
def test_a_wrong_ref_among_them_deletes_nothing(store: saver.Saver, wrong: str) -> None:
    with pytest.raises(saver.NotFoundError):
        store.delete("iris@1", "rose@1", wrong)
    assert numbers(store)[0] == 1
    assert numbers(store, "rose") == [1]


TAGGED = {1: ("a", "b"), 3: ("production",), 9: ("newest",)}


@pytest.fixture
def tagged(store: saver.Saver) -> saver.Saver:
    for number, tags in TAGGED.items():
        for tag in tags:
            store.tag(f"iris@{number}", tag)
    return store


WAYS = {
    "a number": "iris@3", "a tag": "iris@production", "a range": "iris@2..5", "latest": "iris@latest",
    "an open range": "iris@6..",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_version_with_a_tag_is_deleted_only_if_the_tags_may_go(tagged: saver.Saver, way: str) -> None:
    """However it is named; and not by half, beside others that have none."""
    before, head = numbers(tagged), next(tagged.log()).record
    for refs, dry_run in itertools.product((["rose@1", WAYS[way]], [WAYS[way]]), (False, True)):
        with pytest.raises(TaggedError, match=r"iris@\d \(\w+\).*tags=True, or --tags"):
            tagged.delete(*refs, dry_run=dry_run)
    assert (numbers(tagged), next(tagged.log()).record) == (before, head)
    gone = tagged.delete(WAYS[way], tags=True)
    assert numbers(tagged) == [number for number in before if number not in {each.number for each in gone}]
    entry = next(tagged.log())
    assert entry.before == {tag: each.number for each in gone for tag in each.tags}
    assert entry.tags == tuple(sorted(entry.before))
    assert not set(entry.tags) & set(tagged.summary("iris").tags)


def test_a_version_that_is_tagged_meanwhile_stays(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule holds for what the record finds, not for what was looked up before."""
    place = store.storage
    append = store._repo.append

    def after_another(decide: object) -> object:
        saver.Saver(place).tag("iris@2", "mine")
        return append(decide)  # type: ignore[arg-type]

    monkeypatch.setattr(store._repo, "append", after_another)
    with pytest.raises(TaggedError, match=r"iris@2 \(mine\)"):
        store.delete("iris@2")
    assert 2 in numbers(saver.Saver(place))


def test_a_dry_run_returns_what_would_go_and_writes_nothing(tagged: saver.Saver) -> None:
    head = next(tagged.log()).record
    assert [str(each) for each in tagged.delete("iris@1..3", tags=True, dry_run=True)] == [
        "iris@1", "iris@2", "iris@3",
    ]  # fmt: skip
    assert next(tagged.log()).record == head


def test_the_name_of_a_model_is_not_taken_for_its_newest_version(store: saver.Saver) -> None:
    with pytest.raises(BadNameError, match=r"iris is a model; nothing was deleted.*iris@9"):
        store.delete("rose@1", "iris")
    assert store.models() == ["iris", "rose"]


def test_versions_of_several_models_are_deleted_together(store: saver.Saver) -> None:
    deleted = store.delete(store.version("rose"), "iris@1..2")
    assert [str(version) for version in deleted] == ["iris@1", "iris@2", "rose@1"]
    assert store.models() == ["iris"]


@pytest.mark.parametrize("text", ["iris", "iris@3", "iris@..", "iris@a..b", "iris@0..3", "iris@3..x", "@.."])
def test_what_is_not_a_range(text: str) -> None:
    assert parse_range(text) is None


def test_a_range_may_be_open() -> None:
    assert parse_range("team/iris@3..7") == Range("team/iris", 3, 7)
    found = parse_range("iris@3..")
    assert found is not None
    assert found.last >= 10**12 - 1


def test_a_range_that_ends_before_it_begins_is_suggested_the_other_way_round() -> None:
    with pytest.raises(BadNameError, match=r"write iris@3\.\.7"):
        parse_range("iris@7..3")


@pytest.mark.parametrize("sign", ["-", ":", ",", "...", "\N{EN DASH}"])
def test_a_range_that_is_written_otherwise_is_suggested(sign: str) -> None:
    with pytest.raises(BadNameError, match=r"a range is written iris@3\.\.7"):
        parse_range(f"iris@3{sign}7")

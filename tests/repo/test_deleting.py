"""Deletions: one or several versions, and ranges of them."""

from __future__ import annotations

import pytest

import saver
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

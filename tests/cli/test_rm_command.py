"""`saver rm`: asks, deletes all or nothing of what is named, and leaves the rest alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import contents, error_of, run, run_in_a_terminal, run_json

import saver


def numbers(store: saver.Saver) -> list[int]:
    return [version.number for version in store.versions("iris")]


def test_versions_are_deleted_and_others_stay(store: saver.Saver) -> None:
    done = run("rm", "iris@2", "iris@step=300", "iris@3", "--yes")
    assert done.stdout == "deleted iris@2, iris@3; `saver gc` frees the bytes\n"
    assert numbers(store) == [1]
    assert store.models() == ["iris", "team/bert"]


def test_a_wrong_name_is_reported_before_anything_is_deleted(store: saver.Saver) -> None:
    before = contents(Path("models"))
    assert "there is no iris@7" in error_of(run("rm", "iris@2", "iris@7", "--yes"))
    assert contents(Path("models")) == before


def test_a_model_without_a_version_is_not_taken_for_its_newest(store: saver.Saver) -> None:
    message = error_of(run("rm", "--yes", "iris"))
    assert "its newest, iris@3" in message
    assert numbers(store) == [1, 2, 3]
    assert run("rm", "--yes", "iris@latest").exit_code == 0
    assert numbers(store) == [1, 2]


def test_where_nobody_can_be_asked_yes_is_needed(store: saver.Saver) -> None:
    assert "--yes" in error_of(run("rm", "iris@2"))
    assert numbers(store) == [1, 2, 3]


def test_a_tagged_version_needs_to_be_said_and_its_tags_are_named(store: saver.Saver) -> None:
    store.tag("iris@1", "production")
    message = error_of(run("rm", "iris@1", "iris@2"))
    assert "iris@1 (first, production)" in message
    assert "iris@2 (" not in message
    assert "iris@1 (first" in run_in_a_terminal("rm", "iris@1", exit_code=2, width=200)
    assert numbers(store) == [1, 2, 3]
    assert "iris@1 (first" in error_of(run("rm", "iris@first", "--yes"), 2), "a tag names its version"
    assert "iris@1 (first" in error_of(run("rm", "iris@1..2", "--dry-run"), 2)
    done = run("rm", "iris@1", "iris@2", "--yes", "--tags")
    assert done.stdout == (
        "deleted iris@1, iris@2, and 2 tags: iris@first, iris@production; `saver gc` frees the bytes\n"
    )
    assert numbers(store) == [3]
    assert store.summary("iris").tags == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "exit_code", "left"), [("y\n", 0, [1, 3]), ("n\n", 2, [1, 2, 3]), ("\n", 2, [1, 2, 3])]
)
def test_a_terminal_asks(store: saver.Saver, answer: str, exit_code: int, left: list[int]) -> None:
    shown = run_in_a_terminal("rm", "iris@2", answer=answer, exit_code=exit_code)
    assert "Delete iris@2? [y/N]: " in shown
    assert ("nothing was deleted" in shown) == bool(exit_code)
    assert numbers(store) == left


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_a_question_can_be_left(store: saver.Saver, key: str) -> None:
    assert "interrupted" in run_in_a_terminal("rm", "iris@2", answer=key, exit_code=130)
    assert numbers(store) == [1, 2, 3]


def test_many_versions_are_counted(store: saver.Saver) -> None:
    for number in range(25):
        store.save("long", number)
    shown = run("rm", *(f"long@{number}" for number in range(1, 26)), "--yes").stdout
    assert "long@20 and 5 others;" in shown
    assert store.models() == ["iris", "team/bert"]


def test_json_tells_of_what_was_deleted(store: saver.Saver) -> None:
    (deleted,) = run_json("rm", "iris@1", "--yes", "--tags")["deleted"]
    assert (deleted["ref"], deleted["tags"], deleted["step"]) == ("iris@1", ["first"], 100)


def test_a_newer_store_is_not_written_to(newer: Path) -> None:
    before = contents(newer)
    assert "quantum" in error_of(run("rm", "iris@1", "--yes"))
    assert contents(newer) == before


def test_a_range_is_deleted_whole_or_not_at_all(store: saver.Saver) -> None:
    assert "there is no version in iris@7..9" in error_of(run("rm", "iris@2", "iris@7..9", "--yes"), 3)
    assert numbers(store) == [1, 2, 3]
    assert "write iris@1..2" in error_of(run("rm", "iris@2..1", "--yes"), 2)
    assert run("rm", "iris@2..", "--yes").stdout == "deleted iris@2, iris@3; `saver gc` frees the bytes\n"
    assert numbers(store) == [1]


def test_a_dry_run_names_all_and_deletes_nothing(store: saver.Saver) -> None:
    for number in range(25):
        store.save("long", number)
    before = contents(Path("models"))
    names = ", ".join(f"long@{number}" for number in range(1, 26))
    shown = run("rm", "long@1..", "iris@1", "--dry-run", "--tags").stdout
    assert shown == f"would delete iris@1, {names}, and 1 tag: iris@first\n"
    found = run_json("rm", "iris@2", "-n")
    assert (found["dry_run"], [each["ref"] for each in found["deleted"]]) == (True, ["iris@2"])
    assert contents(Path("models")) == before

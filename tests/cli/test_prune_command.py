"""`saver prune`: asks, and deletes what no option keeps."""

from __future__ import annotations

import pytest
from running import error_of, run, run_in_a_terminal, run_json

import saver


@pytest.fixture
def scores() -> saver.Saver:
    made = saver.Saver("models")
    for number, auc in enumerate((0.5, 0.9, 0.6, 0.8, 0.7)):
        made.save("net", number, step=number, metrics={"auc": auc, "foo": -auc})
    return made


def left(store: saver.Saver) -> list[int]:
    return [version.number for version in store.versions("net")]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("--keep-last 2", [4, 5]),
        ("--keep-best auc", [2, 5]),
        ("--keep-best 2:auc", [2, 4, 5]),
        ("--keep-best worst:auc", [1, 5]),
        ("--keep-best max:foo", [1, 5]),
        ("--keep-best 2:min:foo --keep-last 1", [2, 4, 5]),
        ("--keep-best auc --keep-best max:foo", [1, 2, 5]),
        ("--keep-every 2", [2, 4, 5]),
        ("--keep-budget 1B", [5]),
        ("--keep-budget 1GB", [1, 2, 3, 4, 5]),
    ],
)
def test_what_the_options_keep_stays(scores: saver.Saver, options: str, kept: list[int]) -> None:
    doomed = [number for number in range(1, 6) if number not in kept]
    shown = run("prune", "net", *options.split(), "--dry-run").stdout
    assert [number for number in range(1, 6) if f"net@{number}" in shown] == doomed
    assert left(scores) == [1, 2, 3, 4, 5]
    deleted = run_json("prune", "net", *options.split(), "--yes")["deleted"]
    assert [version["number"] for version in deleted] == doomed
    assert left(scores) == kept


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        ("", 2, "what is to be kept?"),
        ("--keep-best foo", 2, "write `max:foo` or `min:foo`"),
        ("--keep-best acc", 3, "no version of net has the metric 'acc', so nothing was deleted"),
        ("--keep-best 0:auc", 2, "whole number"),
        ("--keep-budget lots", 2, "write a size"),
        ("--keep-last 1", 2, "--yes"),
    ],
)
def test_what_makes_no_sense_deletes_nothing(
    scores: saver.Saver, options: str, exit_code: int, message: str
) -> None:
    assert message in error_of(run("prune", "net", *options.split()), exit_code)
    assert left(scores) == [1, 2, 3, 4, 5]


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "kept"), [("y\n", [4, 5]), ("n\n", [1, 2, 3, 4, 5])])
def test_in_a_terminal_it_asks(scores: saver.Saver, answer: str, kept: list[int]) -> None:
    code = 0 if answer == "y\n" else 2
    shown = run_in_a_terminal("prune", "net", "--keep-last", "2", answer=answer, exit_code=code, width=200)
    assert "Delete net@1, net@2, net@3 (" in shown
    assert left(scores) == kept


def test_where_nothing_is_to_be_deleted_nobody_is_asked(scores: saver.Saver) -> None:
    assert run("prune", "net", "--keep-last", "9").stdout == "nothing to delete; 5 versions of net stay\n"

"""`saver log`: every record as a line, the newest first, as far as one reads."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from running import error_of, printable, run, run_json, text_in_a_terminal

import saver
from saver.repo.repository import Repository


def lines(*arguments: str) -> list[str]:
    done = run("log", *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout.splitlines()[1:]


ACTS: dict[str, tuple[Callable[[saver.Saver], object], str]] = {
    "save": (lambda s: s.save("iris", 1, author="bob", tags=["a"], labels={"k": "v"}),
             r"saved iris@4, made by bob, tagged a, labelled k=v; the store grew by .+B"),
    "tag": (lambda s: s.tag("iris@3", "production"), r"tagged iris@3 production"),
    "untag": (lambda s: s.untag("iris", "first"), r"removed the tag iris@first"),
    "label": (lambda s: s.label("iris@1", {"stage": "live"}), r"labelled iris@1: stage=live"),
    "label a model": (lambda s: s.label("iris", {"owner": "x"}), r"labelled iris: owner=x"),
    "note": (lambda s: s.note("iris@1", "good\nidea"), r"noted of iris@1: good idea"),
    "delete": (lambda s: s.delete("iris@1..2"), r"deleted iris@1, iris@2"),
    "delete many": (lambda s: [s.save("x", n) for n in range(9)] and s.delete("x@1..9"),
                    r"deleted x@1, x@2, x@3, x@4, x@5, x@6 and 3 others"),
    "collect": (lambda s: [s.delete("iris@1"), s.gc(grace=0)],
                r"collected \d objects? that no version needs"),
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
def test_a_line_says_who_did_what_and_when(store: saver.Saver, act: str) -> None:
    change, said = ACTS[act]
    change(store)
    number = next(store.log()).record
    assert re.fullmatch(rf" +{number}  \d{{4}}-\d\d-\d\d \d\d:\d\d  ada           {said}", lines()[0])
    assert len(lines()) == number


def test_what_is_gone_is_said_to_be_gone(store: saver.Saver) -> None:
    store.note("iris@2", "")
    store.label("iris@2", {"a": "b"}), store.label("iris@2", {"a": None})
    assert lines()[0].endswith("labelled iris@2: no a")
    assert lines()[2].endswith("removed the notes of iris@2")


def test_a_model_has_its_own_records_and_n_says_how_many(store: saver.Saver) -> None:
    assert [line.rpartition("saved ")[2].partition(";")[0] for line in lines("iris")] == [
        "iris@3", "iris@2", "iris@1, tagged first",
    ]  # fmt: skip
    output = run("log", "-n", "2").stdout
    assert "iris@3" in output
    assert "iris@2" not in output
    assert "older records: -n 8 shows more" in output
    assert "older" not in run("log", "-n", "4").stdout
    assert "no record of a model 'rose'" in error_of(run("log", "rose"), 3)
    assert "is not the name of a model" in error_of(run("log", "iris@1"), 2)


def test_json_has_the_fields_of_each_record(store: saver.Saver) -> None:
    store.label("iris@1", {"stage": "live", "other": "x"}), store.label("iris@1", {"other": None})
    last, _, saved = run_json("log", "iris", "-n", "3")["entries"]
    assert (last["kind"], last["numbers"], last["labels"]) == ("label", [1], {"other": None})
    assert (saved["kind"], saved["made_by"], saved["author"]) == ("commit", "ada", "ada")
    assert len(run_json("log")["entries"]) == last["record"]


@pytest.mark.slow
def test_a_terminal_gets_the_newest_records(store: saver.Saver) -> None:
    for number in range(50):
        store.label("iris", {"turn": str(number)})
    shown = text_in_a_terminal("log", width=120)
    assert len(re.findall("labelled", shown)) == 40
    assert "turn=49" in shown
    assert "saver log | less" in shown
    assert len(lines()) == 54


def test_hostile_texts_cannot_steer_a_terminal(hostile: Repository) -> None:
    done = run("log")
    assert done.exit_code == 0
    assert printable(done.output)
    assert "\\x1b]0;owned" in done.stdout

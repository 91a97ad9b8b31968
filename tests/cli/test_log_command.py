"""`saver log`: every record as a line, the newest first, as far as one reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from running import error_of, printable, run, run_json, text_in_a_terminal

import saver
from saver.repo.entry import KINDS
from saver.repo.events import Holders
from saver.repo.repository import Repository
from saver.repo.settling import settle


def lines(*arguments: str) -> list[str]:
    done = run("log", *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout.splitlines()[1:]


ACTS: dict[str, tuple[Callable[[saver.Saver], object], str]] = {
    "save": (lambda s: s.save("iris", 1, author="bob", tags=["a"], labels={"k": "v"}),
             r"saved iris@4, made by bob, tagged a, labelled k=v; the store grew by .+B"),
    "tag": (lambda s: s.tag("iris@3", "production"), r"tagged iris@3 production"),
    "move a tag": (lambda s: s.tag("iris@3", "first"), r"tagged iris@3 first, which was @1"),
    "save with a tag": (lambda s: s.save("iris", 1, tags=["a", "first"]),
                        r"saved iris@4, tagged a, first \(was @1\); the store grew by .+B"),
    "untag": (lambda s: s.untag("iris", "first"), r"removed the tag iris@first, which was @1"),
    "label": (lambda s: s.label("iris@1", {"stage": "live"}), r"labelled iris@1: stage=live"),
    "label a model": (lambda s: s.label("iris", {"owner": "x"}), r"labelled iris: owner=x"),
    "note": (lambda s: s.note("iris@1", "good\nidea"), r"noted of iris@1: good idea"),
    "delete": (lambda s: s.delete("iris@2"), r"deleted iris@2"),
    "delete with tags": (lambda s: [s.tag("iris@2", "b"), s.delete("iris@1..2", tags=True)],
                         r"deleted iris@1, iris@2, with the tags b \(@2\), first \(@1\)"),
    "delete many": (lambda s: [s.save("x", n) for n in range(9)] and s.delete("x@1..9"),
                    r"deleted x@1, x@2, x@3, x@4, x@5, x@6 and 3 others"),
    "collect": (lambda s: [s.delete("iris@2"), s.gc(grace=0)],
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
    assert "no record of rose" in error_of(run("log", "rose"), 3)
    assert "no delete record of iris" in error_of(run("log", "iris", "--kind", "delete"), 3)
    assert "is not the name of a model" in error_of(run("log", "i ris"), 2)


def test_json_has_the_fields_of_each_record(store: saver.Saver) -> None:
    store.label("iris@1", {"stage": "live", "other": "x"}), store.label("iris@1", {"other": None})
    last, _, saved = run_json("log", "iris", "-n", "3")["entries"]
    assert (last["kind"], last["numbers"], last["labels"]) == ("label", [1], {"other": None})
    assert (saved["kind"], saved["made_by"], saved["author"]) == ("save", "ada", "ada")
    assert len(run_json("log")["entries"]) == last["record"]


def everything(store: saver.Saver) -> None:
    """At least one record of each kind, and of iris@1 one of each that a version can have."""
    store.tag("iris@1", "live"), store.tag("iris@2", "live"), store.label("iris@1", {"a": "b"})
    store.note("iris@1", "x"), store.untag("iris", "first"), store.delete("iris@1"), store.gc(grace=0)
    store.label("iris", {"owner": "x"}), store.tag("iris@3", "old")
    assert settle(store._repo, "a" * 32, 0) is None
    store._repo.append(lambda: Holders("a" * 32, {"ann": "age1"}, {"ann": "age1"}))


def test_a_kind_chooses_records_and_all_kinds_are_all_records(store: saver.Saver) -> None:
    everything(store)
    of = {kind: [each.record for each in store.log(kinds=kind)] for kind in KINDS}
    assert sorted(number for found in of.values() for number in found) == sorted(
        each.record for each in store.log()
    )
    assert all(of[kind] for kind in KINDS if kind not in ("move", "damage", "sign", "grant"))
    assert len(lines("--kind", "tag", "-k", "save")) == len(of["tag"]) + len(of["save"])
    assert run("log", "-k", "commit").exit_code == 2
    with pytest.raises(
        ValueError, match=f"kinds: 'commit' is not a kind of record; write {', '.join(KINDS)}"
    ):
        store.log(kinds=["commit"])


def test_a_version_has_its_own_records_also_after_it_was_deleted(store: saver.Saver) -> None:
    everything(store)
    assert [(each.kind, each.numbers) for each in store.log("iris@1")] == [
        ("delete", (1,)), ("tag", ()), ("note", (1,)), ("label", (1,)), ("tag", (2,)), ("tag", (1,)),
        ("save", (1,)),
    ]  # fmt: skip
    assert [each.numbers for each in store.log("iris@1..2", kinds="save")] == [(2,), (1,)]
    assert [each.numbers for each in store.log("iris@old", kinds=["save", "tag"])] == [(3,), (3,)]
    assert list(store.log(store.version("iris@2"))) == list(store.log("iris@2"))
    assert len(lines("iris@1")) == 7
    assert "there is no iris@gone" in error_of(run("log", "iris@gone"), 3)


def test_the_reference_tells_of_each_kind() -> None:
    text = (Path(saver.__file__).parents[2] / "docs" / "reference.md").read_text()
    assert [kind for kind in KINDS if f"| `{kind}` |" not in text] == []


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

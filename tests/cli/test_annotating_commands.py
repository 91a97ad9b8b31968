"""`saver label` and `saver note`: of versions, and of models."""

from __future__ import annotations

import pytest
from running import error_of, run, run_in_a_terminal, run_json

import saver


def test_labels_are_set_removed_and_shown(store: saver.Saver) -> None:
    assert run("label", "iris@3", "stage=live", "why=a=b").stdout == "iris@3: stage=live, why=a=b\n"
    assert run("label", "iris@latest", "team=x", "-r", "why").stdout == "iris@3: stage=live, team=x\n"
    assert run("label", "iris@3").stdout == "iris@3: stage=live, team=x\n"
    assert run("label", "iris@1").stdout == "iris@1: no labels\n"
    assert store.version("iris@3").labels == {"stage": "live", "team": "x"}
    assert "stage=live, team=x" in run("show", "iris@3").stdout
    assert "stage=live, team=x" in run("ls", "iris").stdout


def test_a_name_alone_is_the_model(store: saver.Saver) -> None:
    assert run("label", "iris", "owner=ann").stdout == "the model iris: owner=ann\n"
    assert run("note", "iris", "all\nof them").stdout == "the model iris is noted\n"
    assert store.version("iris").labels == {}
    assert "  labels: owner=ann\n  notes: all of them\n" in run("ls", "iris").stdout
    (iris, _) = run_json("ls")["models"]
    assert (iris["labels"], iris["notes"]) == ({"owner": "ann"}, "all\nof them")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        ("label iris@3 stage", 2, "write KEY=VALUE"),
        ("label iris@3 sta/ge=x", 2, "cannot be the key of a label"),
        ("label iris@3 stage=", 2, "cannot be the value of a label"),
        ("label iris@3 --remove stage", 2, "has no label 'stage'; its labels: no labels"),
        ("label iris@9 a=b", 3, "there is no iris@9"),
        ("label rose a=b", 3, "no model 'rose'"),
        ("note iris@9 text", 3, "there is no iris@9"),
        ("note iris@3 --edit", 2, "there is no terminal"),
        ("note iris@3 text --edit", 2, "leave one out"),
    ],
)
def test_what_cannot_be_said_is_refused(
    store: saver.Saver, arguments: str, exit_code: int, message: str
) -> None:
    head = next(store.log()).record
    assert message in error_of(run(*arguments.split()), exit_code)
    assert next(store.log()).record == head


def test_notes_are_shown_replaced_and_removed(store: saver.Saver) -> None:
    assert run("note", "iris@2").stdout == "with a\\nlonger warm-up\n"
    assert run("note", "iris@2", "a shorter one").stdout == "iris@2 is noted\n"
    assert run("note", "iris@2").stdout == "a shorter one\n"
    assert "a shorter one" in run("ls", "iris").stdout
    assert run("note", "iris@2", "").stdout == "the notes of iris@2 are gone\n"
    assert run("note", "iris@2").stdout == "iris@2 has no notes\n"


@pytest.mark.slow
def test_notes_can_be_edited(store: saver.Saver) -> None:
    shown = run_in_a_terminal("note", "iris@2", "--edit", EDITOR="sed -i s/longer/shorter/", VISUAL="")
    assert "iris@2 is noted" in shown
    assert store.version("iris@2").notes == "with a\nshorter warm-up"

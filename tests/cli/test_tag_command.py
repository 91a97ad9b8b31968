"""`saver tag`: sets, moves, removes and lists tags."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import contents, error_of, run, run_json, run_where_nothing_can_be_written

import saver
from saver.repo.events import Tag


def test_a_tag_is_set_moved_and_removed(store: saver.Saver) -> None:
    assert run("tag", "iris@1", "production").stdout == "iris@production is iris@1\n"
    assert run("tag", "iris@step=200", "production").stdout == "iris@production is iris@2; it was iris@1\n"
    assert str(store.version("iris@production")) == "iris@2"
    assert run("tag", "--delete", "iris@production").stdout == "iris@production was removed; iris@2 is kept\n"
    with pytest.raises(saver.NotFoundError):
        store.version("iris@production")
    assert len(store.versions("iris")) == 3


def test_setting_a_tag_again_changes_nothing(store: saver.Saver) -> None:
    before = contents(Path("models"))
    assert run("tag", "iris@1", "first").stdout == "iris@first is iris@1\n"
    assert contents(Path("models")) == before


def test_a_model_lists_its_tags(store: saver.Saver) -> None:
    store.tag("iris@3", "b")
    assert [line.split() for line in run("tag", "iris").stdout.splitlines()] == [
        ["tag", "version"], ["b", "iris@3"], ["first", "iris@1"],
    ]  # fmt: skip
    store.untag("team/bert", "production")
    assert "has no tags" in run("tag", "team/bert").stdout


def test_a_store_lists_its_tags(store: saver.Saver) -> None:
    lines = [line.split() for line in run("tag").stdout.splitlines()]
    assert lines == [
        ["models:", "2", "tags"],
        ["model", "tag", "version"],
        ["iris", "first", "iris@1"],
        ["team/bert", "production", "team/bert@1"],
    ]
    assert run_json("tag") == {
        "schema": "saver.tags.1",
        "store": str(store.storage),
        "tags": [
            {"model": "iris", "tag": "first", "number": 1},
            {"model": "team/bert", "tag": "production", "number": 1},
        ],
    }
    store.untag("iris", "first")
    store.untag("team/bert", "production")
    assert "has no tags" in run("tag").stdout
    assert run_json("tag")["tags"] == []


def test_without_a_store_there_are_no_tags() -> None:
    assert "there is no store here" in error_of(run("tag"))


def test_json_says_where_a_tag_leads_and_led(store: saver.Saver) -> None:
    moved = {"schema": "saver.tag-moved.1", "model": "iris", "tag": "best"}
    assert run_json("tag", "iris", "best") == moved | {"number": 3, "before": None}
    assert run_json("tag", "iris@1", "best") == moved | {"number": 1, "before": 3}
    assert run_json("tag", "iris")["tags"] == [
        {"model": "iris", "tag": "best", "number": 1},
        {"model": "iris", "tag": "first", "number": 1},
    ]
    assert run_json("tag", "-d", "iris@best") == moved | {"number": None, "before": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["iris@9", "best"], "there is no iris@9"),
        (["rose", "best"], "there is no model 'rose'"),
        (["iris@1", "latest"], "'latest' is not a tag"),
        (["iris@1", "no tag"], "is not a tag"),
        (["iris@1"], "no tag to set was given"),
        (["--delete"], "no tag to delete was named"),
        (["--delete", "iris@best"], "there is no iris@best"),
        (["--delete", "iris@1"], "does not name one tag"),
        (["--delete", "iris"], "does not name one tag"),
        (["--delete", "iris@latest"], "does not name one tag"),
        (["--delete", "iris@first", "first"], "does not name one tag"),
    ],
)
def test_misuse_changes_nothing(store: saver.Saver, arguments: list[str], message: str) -> None:
    before = contents(Path("models"))
    assert message in error_of(run("tag", *arguments))
    assert contents(Path("models")) == before


def test_a_newer_store_is_not_written_to(newer: Path) -> None:
    before = contents(newer)
    assert "quantum" in error_of(run("tag", "iris@1", "best"))
    assert contents(newer) == before


def test_a_full_disk_is_reported_and_the_next_tag_is_set(store: saver.Saver) -> None:
    done = run_where_nothing_can_be_written("tag", "iris@1", "best")
    assert (done.returncode, done.stdout) == (4, "")
    assert "File too large" in done.stderr
    assert run("tag", "iris@1", "best").exit_code == 0
    head = store.storage.read("log/00000000000000000005.json")
    assert Tag.__struct_config__.tag in head.decode()

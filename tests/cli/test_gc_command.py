"""`saver gc`: says what was freed, and what waits for what."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from running import contents, error_of, run, run_json, text_in_a_terminal

import saver
from saver.repo import document
from saver.repo.format import STORE_KEY, Format


@pytest.fixture
def littered(store: saver.Saver) -> saver.Saver:
    """A store with a deleted version that needed a pack of its own; everything in it is an hour old."""
    store.save("old", {"model": np.arange(5000.0)})
    store.delete("old@1")
    age(3600)
    return store


def age(seconds: float) -> None:
    for path in Path("models").rglob("*"):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_garbage_waits_and_is_freed_by_the_first_collection_after_its_grace(littered: saver.Saver) -> None:
    first = run("gc").stdout
    assert re.search(r"waiting +1 pack and 1 manifest, 4\d(\.\d)? kB: no version needs them", first)
    assert re.search(r"after \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", first)
    assert "freed" not in first
    assert "waiting" in run("gc").stdout
    age(1000)
    assert re.search(r"freed +1 pack and 1 manifest, 4\d(\.\d)? kB", run("gc").stdout)
    assert run("gc").stdout == "models: nothing to free; versions need every object\n"
    assert littered.check().sound


def test_without_grace_all_is_freed_at_once(littered: saver.Saver) -> None:
    output = run("gc", "--grace", "0").stdout
    assert "freed" in output
    assert "waiting" not in output
    assert littered.check().garbage == ()


def test_what_is_young_is_left_alone_and_reported(store: saver.Saver) -> None:
    store.delete("iris@3")
    output = run("gc").stdout
    assert "too young  1 manifest, made less than 15 min ago" in output


@pytest.mark.parametrize(("grace", "message"), [("0", "would free"), ("900", "waiting")])
def test_a_dry_run_tells_and_changes_nothing(littered: saver.Saver, grace: str, message: str) -> None:
    before = contents(Path("models"))
    output = run("gc", "--dry-run", "--grace", grace).stdout
    assert output.startswith("models, if it were collected now\n")
    assert message in output
    assert "1 pack and 1 manifest" in output
    assert contents(Path("models")) == before


def test_a_dry_run_knows_what_has_waited_long_enough(littered: saver.Saver) -> None:
    run("gc")
    age(1000)
    assert "would free" in run("gc", "--dry-run").stdout


def test_packs_that_are_mostly_dead_are_moved(store: saver.Saver) -> None:
    keep = np.arange(1000.0)
    store.save("mixed", {"keep": keep, "drop": np.arange(400_000.0)})
    store.save("mixed", {"keep": keep})
    store.delete("mixed@1")
    output = run("gc", "--grace", "0").stdout
    assert "moved" in output
    assert "the live bytes of 1 pack" in output
    assert np.array_equal(store.load("mixed")["keep"], keep)


def test_json_names_every_object(littered: saver.Saver) -> None:
    found = run_json("gc")
    assert (found["store"], found["dry_run"], found["freed"]) == ("models", False, [])
    assert sorted(key.partition("/")[0] for key in found["waiting"]) == ["manifests", "packs"]
    assert found["waiting_bytes"] > 40_000
    assert run_json("gc", "--dry-run")["dry_run"] is True


def test_a_terminal_shows_the_same(littered: saver.Saver) -> None:
    assert "1 pack and 1 manifest" in text_in_a_terminal("gc", "--grace", "0")


@pytest.mark.parametrize("grace", ["-1", "nan", "soon"])
def test_a_grace_that_is_not_a_time_is_misuse(littered: saver.Saver, grace: str) -> None:
    before = contents(Path("models"))
    assert run("gc", "--grace", grace).exit_code == 2
    assert contents(Path("models")) == before


def test_a_store_that_asks_for_more_of_collectors_is_not_collected(littered: saver.Saver) -> None:
    found, _ = document.decode(littered.storage.read(STORE_KEY), Format, "")
    Path("models", STORE_KEY).write_bytes(document.encode(Format(found.format, found.id, collect=("pins",))))
    before = contents(Path("models"))
    assert "pins" in error_of(run("gc", "--grace", "0"))
    assert contents(Path("models")) == before
    assert run("ls").exit_code == 0

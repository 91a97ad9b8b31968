"""`saver card`: what people should know of a version."""

from __future__ import annotations

import json
from pathlib import Path

from running import error_of, run

import saver


def test_a_card_is_printed_or_written(store: saver.Saver) -> None:
    expected = store.card("iris@2").markdown
    assert run("card", "iris@2").stdout == expected
    assert run("card", "iris@2", "-o", "README.md").stdout.startswith("README.md: ")
    assert Path("README.md").read_text() == expected
    found = json.loads(run("card", "iris@2", "--json").stdout)
    assert (found["ref"], found["markdown"], found["output"]) == ("iris@2", expected, None)


def test_a_file_that_is_there_is_replaced_only_by_force(store: saver.Saver) -> None:
    Path("README.md").write_text("precious")
    assert "--force" in error_of(run("card", "iris", "-o", "README.md"))
    assert Path("README.md").read_text() == "precious"
    assert run("card", "iris", "-o", "README.md", "--force").exit_code == 0
    assert Path("README.md").read_text() == store.card("iris").markdown


def test_what_is_not_there_has_no_card(store: saver.Saver) -> None:
    assert run("card", "iris@99").exit_code == 3
    assert run("card", "iris", "--store", "nowhere").exit_code == 3

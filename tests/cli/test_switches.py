"""`-q` and `-v`, which every command takes, and `--store`: before its name or after it."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import numpy as np
import pytest
from running import run, text_in_a_terminal

import saver
from saver.cli import program
from saver.logger import logger

PLACES = [
    lambda switch, name, *rest: (switch, name, *rest),
    lambda switch, name, *rest: (name, *rest, switch),
]


@pytest.mark.parametrize("name", program.list_commands(click.Context(program)))
def test_every_command_takes_them(name: str) -> None:
    found = program.get_command(click.Context(program), name)
    assert found is not None
    assert [each.name for each in found.params if each.name in ("quiet", "verbose")] == ["quiet", "verbose"]
    assert "-q, --quiet" in run(name, "--help").stdout


@pytest.mark.parametrize("place", PLACES, ids=["before", "after"])
def test_quiet_commands_give_results_and_errors_only(place, store: saver.Saver) -> None:
    assert run("tag", "iris@1", "a").stdout
    assert run(*place("-q", "tag", "iris@1", "b")).output == ""
    assert run(*place("-q", "ls", "iris")).output == run("ls", "iris").output
    assert run(*place("-q", "tag", "iris")).output == run("tag", "iris").output
    assert run(*place("-q", "note", "iris@2")).output == run("note", "iris@2").output
    assert run(*place("-q", "label", "iris@2")).output == run("label", "iris@2").output != ""
    wrong = run(*place("-q", "tag", "iris@99", "b"))
    assert wrong.exit_code == 3
    assert wrong.stderr.startswith("error: ")


def test_quiet_commands_say_what_would_happen_when_that_is_the_question(store: saver.Saver) -> None:
    asked = ("prune", "iris", "--keep-last", "1")
    assert "would delete" in run("-q", *asked, "--dry-run").stdout
    assert run("-q", *asked, "--yes").output == ""


def test_a_terminal_is_quiet_too(store: saver.Saver) -> None:
    assert "iris@1" in text_in_a_terminal("tag", "iris@1", "a")
    assert text_in_a_terminal("-q", "tag", "iris@1", "b") == ""
    loud, quiet = text_in_a_terminal("check"), text_in_a_terminal("-q", "check")
    assert "Checking" in loud
    assert "Checking" not in quiet
    assert quiet.strip() == loud[loud.index("models") :].strip()


@pytest.mark.parametrize("place", PLACES, ids=["before", "after"])
def test_verbose_commands_print_the_log(place, store: saver.Saver) -> None:
    told = run(*place("-v", "tag", "iris@1", "a"))
    assert told.stderr.startswith("info: ")
    assert "tagged iris@1 a" in told.stderr
    assert told.stdout == run("tag", "iris@1", "a").stdout
    assert run("tag", "iris@1", "c").stderr == ""


def test_both_switches_twice_are_as_once(store: saver.Saver) -> None:
    told = run("-v", "-q", "tag", "iris@1", "a", "-v", "-q")
    assert told.stdout == ""
    assert told.stderr.count("tagged iris@1 a") == 1


def test_nothing_is_left_of_a_verbose_command(store: saver.Saver) -> None:
    before = (logger.level, logger.handlers[:])
    run("-v", "ls")
    assert (logger.level, logger.handlers) == before
    assert logger.level == logging.NOTSET


def test_a_warning_is_printed_once(tmp_path: Path) -> None:
    """It is in the log, and Python prints it as well."""
    saver.dump(np.ones(3), tmp_path / "a.saver")
    command = click.Command("x", callback=lambda: logger.warning("twice", extra={"category": "UserWarning"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saver.cli.ls.command", command)
        assert "twice" not in run("-v", "ls").stderr


USERS = [
    name
    for name in program.list_commands(click.Context(program))
    if any(each.name == "address" for each in program.get_command(click.Context(program), name).params)
]


@pytest.mark.parametrize("name", program.list_commands(click.Context(program)))
def test_a_store_is_named_before_the_command_where_it_takes_one(name: str, tmp_path: Path) -> None:
    done = run("--store", tmp_path / "nowhere", name, "--help")
    if name in USERS:
        assert done.exit_code == 0
    else:
        assert (done.exit_code, "is not about a store; leave out --store" in done.stderr) == (2, True)


def test_the_store_that_is_named_last_counts_and_the_line_before_the_environment(
    store: saver.Saver, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    saver.Saver(other).save("rose", 1)
    named = run("--store", other, "ls", SAVER_STORE="models").stdout
    assert named == run("ls", "--store", other).stdout
    assert "rose" in named
    assert "iris" in run("--store", other, "ls", "--store", "models").stdout
    assert "rose" in run("ls", SAVER_STORE=str(other)).stdout
    assert run("--store", "", "ls").exit_code == 2

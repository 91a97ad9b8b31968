"""`saver init`, and what `saver doctor` says of a store."""

from __future__ import annotations

import grp
import json
import os
from pathlib import Path

import pytest
from running import run, run_json

import saver

GROUP = grp.getgrgid(os.getgid()).gr_name
"""A group to which the user who runs the tests belongs."""


def open_what_is_above(store: str) -> None:
    """Others may not enter the folders of pytest."""
    for folder in Path(store).resolve().parents:
        if folder.stat().st_uid == os.getuid() and folder.stat().st_mode & 0o011 != 0o011:
            folder.chmod(0o711)


def test_an_empty_store_is_made_once() -> None:
    done = run("init", "new")
    assert (done.exit_code, done.stdout) == (0, "new: an empty store was made\n")
    assert saver.Saver("new").models() == []
    before = Path("new/store.json").read_bytes()
    done = run("init", "new")
    assert (done.exit_code, done.stdout) == (0, "new: there is a store already\n")
    assert Path("new/store.json").read_bytes() == before
    assert run("check", "--store", "new").exit_code == 0


def test_what_was_saved_stays(store: saver.Saver) -> None:
    store.save("iris", [1])
    assert run_json("init", "models") == {
        "schema": "saver.created.1", "store": "models", "created": False, "group": None,
    }  # fmt: skip
    assert store.load("iris") == [1]


def test_a_group_shares_it() -> None:
    assert run_json("init", "deep/team", "--shared", GROUP)["created"]
    assert Path("deep/team").stat().st_mode & 0o7777 == 0o2770
    done = run("init", "deep/team", "--shared", str(os.getgid()))
    assert done.stdout == f"deep/team: there is a store already, which the group {os.getgid()} shares\n"
    saver.Saver("deep/team").save("iris", [1])
    open_what_is_above("deep/team")
    found = run_json("doctor", "deep/team")
    assert found["path"] == "deep/team"
    assert found["access"]["shared"]
    assert found["access"]["group"] == {"name": GROUP, "read": True, "write": True, "collect": True}
    assert found["access"]["others"] == {"name": "", "read": False, "write": False, "collect": False}


def test_a_store_that_is_there_is_not_given_to_a_group(store: saver.Saver) -> None:
    store.save("iris", [1])
    mode = Path("models").stat().st_mode
    done = run("init", "models", "--shared", GROUP)
    assert done.exit_code == 4
    assert f"the group {GROUP} does not share" in done.stderr
    assert Path("models").stat().st_mode == mode


def test_an_empty_folder_becomes_one_and_another_does_not() -> None:
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/a").write_text("mine")
    Path("file").write_text("mine")
    assert run("init", "empty", "--shared", GROUP).exit_code == 0
    mode = Path("full").stat().st_mode
    for name in ("full", "file"):
        done = run("init", name, "--shared", GROUP)
        assert done.exit_code != 0, name
        assert done.stderr.startswith("error:"), name
    assert Path("full").stat().st_mode == mode
    assert [path.name for path in Path("full").iterdir()] == ["a"]


@pytest.mark.parametrize("group", ["no-such-group", "", "-1", "9" * 40, "a\nb"])
def test_a_group_that_is_not_there_is_misuse(group: str) -> None:
    done = run("init", "new", f"--shared={group}")
    assert done.exit_code == 2
    assert "has no group" in done.stderr
    assert not Path("new").exists()


def test_only_a_folder_belongs_to_a_group() -> None:
    done = run("init", "memory://init", "--shared", GROUP)
    assert done.exit_code == 2
    assert "is not a folder" in done.stderr
    assert run("init", "memory://init").exit_code == 0


def test_doctor_warns_of_a_contradiction() -> None:
    run("init", "team", "--shared", GROUP)
    saver.Saver("team").save("iris", [1])
    open_what_is_above("team")
    assert run("doctor", "team").exit_code == 0
    Path("team/log").chmod(0o700)
    done = run("doctor", "team")
    assert done.exit_code == 1
    assert "log" in done.stdout
    assert "chmod -R g+rwX team" in done.stdout


def test_doctor_of_a_version_or_of_another_place_says_nothing_of_who_may() -> None:
    saver.Saver("models").save("iris", [1])
    assert json.loads(run("doctor", "iris", "--json").stdout)["access"] is None
    found = json.loads(run("doctor", "memory://elsewhere", "--json").stdout)
    assert found["access"] is None
    assert [each["topic"] for each in found["findings"]] == ["permissions"]

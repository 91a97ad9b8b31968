"""`saver migrate`: the plan, the report, and the exit code."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from running import document_of, error_of, run, run_json, text_in_a_terminal

import saver
from saver.documents import Migrated


@pytest.fixture
def _folder() -> None:
    Path("in").mkdir()
    for number in range(3):
        Path(f"in/iris_v{number}.pkl").write_bytes(pickle.dumps({"w": np.full(3, number)}))
    Path("in/other.txt").write_text("hello")


@pytest.mark.usefixtures("_folder")
def test_a_folder_is_planned_migrated_and_not_migrated_twice() -> None:
    planned = run("migrate", "in", "there", "--dry-run")
    assert (planned.exit_code, Path("there").exists()) == (0, False)
    assert "3 versions of 1 model would come, 1 left out" in planned.stdout
    assert "in/iris_v2.pkl" not in planned.stdout
    assert "iris_v2.pkl" in planned.stdout
    assert "3 versions of 1 model came" in run("migrate", "in", "there").stdout
    assert saver.Saver("there").models() == ["iris"]
    assert "3 there already" in run("migrate", "in", "--store", "there").stdout
    assert "3 versions" in text_in_a_terminal("migrate", "in", "--dry-run")


@pytest.mark.usefixtures("_folder")
def test_the_document_has_everything() -> None:
    found = run_json("migrate", "in", "--name", "iris_v2*=team/best", "--leave", "*v0*", "--apart")
    assert [(each["model"], each["number"]) for each in found["came"]] == [("iris_v1", 1), ("team/best", 1)]
    assert {each["path"] for each in found["left"]} == {"iris_v0.pkl", "other.txt"}
    assert (found["folder"], found["store"], found["dry_run"], found["more"]) == ("in", "models", False, 0)
    assert run_json("migrate", "in", "b", "-n")["came"][0]["number"] is None


@pytest.mark.usefixtures("_folder")
def test_refusals_show_in_the_exit_code() -> None:
    Path("in/evil.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    done = run("migrate", "in", "there")
    assert done.exit_code == 1
    assert "os.system('touch ran')" in done.stdout
    assert done.stderr == "error: in: 1 file refused, as the report says\n"
    assert not Path("ran").exists()
    found = document_of(run("migrate", "in", "there", "--json"))
    assert isinstance(found, Migrated)
    assert len(found.refused) == 1


@pytest.mark.usefixtures("_folder")
def test_misuse_and_what_is_missing_are_distinguished() -> None:
    for wrong in ("a", "=b", "a="):
        done = run("migrate", "in", "--name", wrong)
        assert (done.exit_code, "write a pattern and a name" in done.stderr) == (2, True)
    assert "a b" in error_of(run("migrate", "in", "--name", "x=a b"), 2)
    error_of(run("migrate", "nowhere"), 3)
    assert not Path("models").exists()

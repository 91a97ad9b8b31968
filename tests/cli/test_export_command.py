"""`saver export` and `saver import`: versions as single files, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from running import (
    contents,
    error_of,
    run,
    run_json,
    run_where_nothing_can_be_written,
    text_in_a_terminal,
)

import saver
from equality import assert_same


def test_a_version_goes_to_a_file_and_into_another_store_whole(store: saver.Saver) -> None:
    done = run("export", "iris@2", "iris.saver")
    size = Path("iris.saver").stat().st_size
    assert done.stdout == f"iris@2 is in iris.saver, {size / 1000:.3g} kB\n"
    assert_same(saver.load("iris.saver"), store.load("iris@2"))
    done = run("import", "iris.saver", "copy", "--tag", "a", "--tag", "b", "--store", "other")
    assert done.stdout.startswith("copy@1 is in other: 3 parts, ")
    other = saver.Saver("other")
    assert_same(other.load("copy@b"), store.load("iris@2"))
    before, after = store.version("iris@2"), other.version("copy")
    assert after.tags == ("a", "b")
    assert (after.step, after.metrics, after.notes, after.author) == (
        200,
        before.metrics,
        before.notes,
        "ada",
    )


def test_a_file_is_compressed_and_read_as_ever(store: saver.Saver) -> None:
    pytest.importorskip("zstandard")
    store.save("zeros", np.zeros(100_000))
    assert run("export", "zeros", "zeros.saver", "--compress").exit_code == 0
    assert Path("zeros.saver").stat().st_size < 50_000
    assert_same(saver.load("zeros.saver"), np.zeros(100_000))
    assert "--compress" not in error_of(run("export", "zeros", "zeros.npz", "--compress"))
    assert "cannot be compressed" in error_of(run("export", "zeros", "zeros.npz", "--compress"))


def test_a_file_that_is_there_is_replaced_only_by_force(store: saver.Saver) -> None:
    Path("taken").write_text("precious")
    message = error_of(run("export", "iris", "taken"))
    assert "--force" in message
    assert Path("taken").read_text() == "precious"
    assert run("export", "iris", "taken", "--force").exit_code == 0
    assert list(saver.load("taken")) == ["model", "log"]


def test_a_link_that_leads_nowhere_is_not_followed(store: saver.Saver) -> None:
    Path("link").symlink_to("elsewhere")
    assert "--force" in error_of(run("export", "iris", "link"))
    assert not Path("elsewhere").exists()


@pytest.mark.parametrize("place", [".", "no/such/folder/a.saver"])
def test_a_place_that_takes_no_file_is_reported(store: saver.Saver, place: str) -> None:
    error_of(run("export", "iris", place, "--force"))


def test_json_of_both_says_what_was_written(store: saver.Saver) -> None:
    found = run_json("export", "iris@1", "iris.saver")
    size = Path("iris.saver").stat().st_size
    assert found == {
        "schema": "saver.exported.1", "ref": "iris@1", "path": "iris.saver", "format": "saver",
        "bytes": size, "losses": [],
    }  # fmt: skip
    found = run_json("import", "iris.saver", "iris")
    assert (found["ref"], found["parent"], found["step"]) == ("iris@4", 3, 100)
    assert {name: part["number"] for name, part in found["parts"].items()} == {"scaler": 1, "model": 3}


def test_terminals_show_the_same(store: saver.Saver) -> None:
    assert "iris@3 is in a.saver" in text_in_a_terminal("export", "iris", "a.saver")
    assert "rose@1 is in models" in text_in_a_terminal("import", "a.saver", "rose")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.saver", "rose"], "no such file"),
        (["junk", "rose"], "is not a Saver file"),
        (["iris.saver", "no name"], "not the name of a model"),
        (["iris.saver", "rose", "--tag", "latest"], "is not a tag"),
    ],
)
def test_what_cannot_be_imported_leaves_no_store(
    store: saver.Saver, arguments: list[str], message: str
) -> None:
    store.export("iris", "iris.saver")
    Path("junk").write_bytes(b"junk" * 1000)
    assert message in error_of(run("import", *arguments, "--store", "other"))
    assert not Path("other").exists()


def test_what_cannot_be_exported_leaves_no_file(store: saver.Saver) -> None:
    assert "no iris@9" in error_of(run("export", "iris@9", "a.saver"))
    assert not Path("a.saver").exists()


def test_damage_is_never_exported_or_imported(store: saver.Saver) -> None:
    store.export("team/bert", "bert.saver")
    for path in (Path("bert.saver"), *Path("models/packs").iterdir()):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    before = contents(Path("models"))
    assert "not those" in error_of(run("export", "team/bert", "a.saver"), exit_code=1)
    error_of(run("import", "bert.saver", "rose"), exit_code=1)
    assert not Path("a.saver").exists()
    assert contents(Path("models")) == before


@pytest.mark.slow
def test_a_full_disk_leaves_everything_as_it_was(store: saver.Saver) -> None:
    store.export("iris", "iris.saver")
    Path("taken").write_text("precious")
    before = contents(Path.cwd())
    for arguments in (
        ["export", "iris", "a"],
        ["export", "iris", "taken", "--force"],
        ["import", "iris.saver", "rose"],
    ):
        done = run_where_nothing_can_be_written(*arguments)
        assert (done.returncode, done.stdout) == (4, "")
        assert "File too large" in done.stderr
    assert contents(Path.cwd()) == before


def test_classes_of_anyone_pass_through_without_being_imported(store: saver.Saver, tmp_path: Path) -> None:
    """The file names a class that is not even there."""
    source = tmp_path / "gone.py"
    source.write_text("import dataclasses\n\n@dataclasses.dataclass\nclass Plan:\n    rate: float\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        import gone

        store.save("plan", gone.Plan(0.5))
        patch.delitem(__import__("sys").modules, "gone")
        source.unlink()
    run("export", "plan", "plan.saver")
    assert run("import", "plan.saver", "again").exit_code == 0
    assert json.loads(run("show", "again", "--json").stdout)["untrusted"] == ["gone.Plan"]


def test_bytes_that_the_store_has_are_not_written_again(store: saver.Saver) -> None:
    store.save("large", np.arange(100_000.0))
    run("export", "large", "large.saver")
    assert run_json("import", "large.saver", "large")["bytes_added"] < 5000

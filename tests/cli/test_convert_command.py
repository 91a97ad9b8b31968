"""`saver convert`, and what `saver export` says of other formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from running import error_of, run, run_json

import saver


def test_a_file_is_converted_and_converted_back(store: saver.Saver) -> None:
    saver.dump({"w": np.arange(9.0), "b": np.ones(2)}, "a.saver")
    done = run("convert", "a.saver", "a.npz")
    assert done.stdout.startswith("a.saver is in a.npz as npz, ")
    assert run("convert", "a.npz", "a.safetensors").exit_code == 0
    assert run("convert", "a.safetensors", "b.saver").exit_code == 0
    assert np.array_equal(saver.load("b.saver")["w"], np.arange(9.0))


def test_what_is_lost_is_shown_and_all_of_it_in_json(store: saver.Saver) -> None:
    store.save("many", {"w": np.ones(3), **{f"n{number}": number for number in range(40)}})
    done = run("export", "many", "many.npz")
    assert "$.n3" in done.stdout
    assert "20 others" in done.stdout
    found = run_json("export", "many", "again.npz")
    assert (found["format"], len(found["losses"])) == ("npz", 40)
    assert found["losses"][0] == {"place": "$.n0", "what": "0"}


def test_parts_and_formats_are_chosen(store: saver.Saver) -> None:
    store.save("two", {"w": np.ones(3), "v": np.zeros(2)})
    assert run("export", "two", "file", "--format", "npz", "--part", "v").exit_code == 0
    with np.load("file") as arrays:
        assert list(arrays) == ["v"]
    assert run("import", "file", "three", "--format", "npz").exit_code == 0
    for wrong in (["export", "two", "x"], ["import", "file", "x"], ["convert", "file", "x"]):
        done = run(*wrong, "--format", "nope")
        assert done.exit_code == 2
        assert "'nope' is not a format" in done.stderr
    assert "not a Saver file" in error_of(run("import", "file", "three", "--format", "saver"))


def test_what_is_there_stays_without_force(store: saver.Saver) -> None:
    saver.dump({"w": np.arange(9.0)}, "a.saver")
    Path("a.npz").write_text("precious")
    assert "--force" in error_of(run("convert", "a.saver", "a.npz"))
    assert Path("a.npz").read_text() == "precious"
    assert run("convert", "a.saver", "a.npz", "--force").exit_code == 0
    error_of(run("convert", "nowhere.saver", "b.npz"), exit_code=3)


def test_an_example_is_a_shape_or_a_file(store: saver.Saver) -> None:
    """And is read before anything is written."""
    saver.dump({"w": np.arange(9.0)}, "a.saver")
    for given in ("1x3x8:float64", "a.saver"):
        assert run("convert", "a.saver", "a.npz", "-f", "--trust", "x.*", "--example", given).exit_code == 0
    assert "no such" in error_of(run("convert", "a.saver", "b.npz", "--example", "b.npy"), exit_code=3)
    done = run("convert", "a.saver", "b.npz", "--example", "1x3:nope")
    assert done.exit_code == 2
    assert "'nope' is not a dtype" in done.stderr
    assert not Path("b.npz").exists()

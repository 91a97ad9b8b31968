"""`saver diff`: two files or two versions, on pipes, terminals and as JSON; a difference by exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import error_of, printable, run, text_in_a_terminal

import saver
from saver.repo.repository import Repository


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two files with one value and one tensor that differ, and one of each that do not."""
    paths = tmp_path / "old.saver", tmp_path / "new.saver"
    weights = np.ones((30, 40), np.float32)
    for path, rate, more in zip(paths, (0.1, 0.2), (0, 1), strict=True):
        run = {"rate": rate, "name": "same"}
        saver.dump({"run": run, "weights": {"a": weights + more, "b": weights}}, path)
    return paths


def test_a_difference_is_exit_code_1_and_none_is_0(files: Any, store: saver.Saver) -> None:
    assert run("diff", *files).exit_code == 1
    assert run("diff", files[0], files[0]).exit_code == 0
    assert run("diff", "iris@1", "iris@3").exit_code == 1
    store.save("twin", 1)
    store.save("twin", 1)
    same = run("diff", "twin@1", "twin@2")
    assert same.exit_code == 0
    assert "no difference" in same.stdout


def test_files_are_compared_by_parts_fields_and_tensors(files: Any) -> None:
    result = run("diff", *files)
    assert result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == [str(files[0]), "->", str(files[1])]
    assert ["run", "1", "1", "changed"] in lines
    assert ["run/rate", "0.1", "0.2"] in lines
    assert ["weights/a", "F32", "30", "x", "40", "34.6", "1", "1", "100%"] in lines
    assert "weights/b" not in result.stdout


@pytest.mark.usefixtures("store")
def test_versions_of_a_store_are_compared() -> None:
    lines = [line.split() for line in run("diff", "iris@1", "iris@step=200").stdout.splitlines()]
    assert ["scaler", "1", "1", "same"] in lines
    assert ["model", "1", "2", "changed"] in lines
    assert ["log", "-", "1", "added"] in lines
    assert ["loss", "0.5", "0.25", "-0.25"] in lines
    assert ["f1", "-", "0.9", "-"] in lines
    assert any(line[:2] == ["train", "-"] and line[-1] == "added" for line in lines)
    assert ["step", "100", "200"] in lines


def test_the_store_is_named_by_option_or_environment(store: saver.Saver, tmp_path: Path) -> None:
    Path("models").rename(tmp_path / "elsewhere")
    assert run("diff", "iris@1", "iris@2", "--store", tmp_path / "elsewhere").exit_code == 1
    assert run("diff", "iris@1", "iris@2", SAVER_STORE=str(tmp_path / "elsewhere")).exit_code == 1
    assert "no store" in error_of(run("diff", "iris@1", "iris@2"))


def test_json_is_one_document_with_everything(files: Any) -> None:
    result = run("diff", *files, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["differs"] is True
    assert document["summary"] == "run changed, weights changed, 1 field, 1 of 2 tensors"
    assert document["fields"] == [{"path": "run/rate", "old": "0.1", "new": "0.2"}]
    (change,) = document["arrays"]
    assert change["amount"]["share"] == 1.0
    same = run("diff", files[0], files[0], "--json")
    assert (same.exit_code, json.loads(same.stdout)["differs"]) == (0, False)


def test_rows_can_be_limited_and_pipes_get_all(tmp_path: Path) -> None:
    for number in (0, 1):
        saver.dump({"m": {f"field{n:03}": n + number for n in range(60)}}, tmp_path / f"{number}.saver")
    paths = tmp_path / "0.saver", tmp_path / "1.saver"
    assert run("diff", *paths).stdout.count("m/field") == 60
    limited = run("diff", *paths, "-n", "7").stdout
    assert limited.count("m/field") == 7
    assert "and 53 more: -n 60 lists them all" in limited
    shown = text_in_a_terminal("diff", *paths, exit_code=1)
    assert shown.count("m/field") == 40
    assert "and 20 more: -n 60 lists them all" in shown


@pytest.mark.parametrize("width", [60, 100])
def test_a_terminal_gets_tables_that_fit_it(files: Any, width: int) -> None:
    shown = text_in_a_terminal("diff", *files, width=width, exit_code=1)
    assert "weights/a" in shown
    assert "100%" in shown
    table = shown[shown.index("Tensors") :].splitlines()
    assert max(map(len, table)) <= width


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nowhere.saver", "nowhere.saver", "there is no such file"),
        ("iris@1", "iris@9", "iris@9"),
        ("iris@1", "nothing@1", "nothing"),
    ],
)
@pytest.mark.usefixtures("store")
def test_misuse_is_one_line(old: str, new: str, message: str) -> None:
    assert message in error_of(run("diff", old, new))


@pytest.mark.parametrize("name", ["one.saver", "one"])
@pytest.mark.usefixtures("store")
def test_a_file_is_compared_with_a_version(name: str) -> None:
    run("export", "iris@1", name)
    assert run("diff", "iris@1", name).exit_code == 0
    for sides in (("iris@2", name), (name, "iris@2")):
        found = run("diff", *sides)
        assert found.exit_code == 1
        assert "weights" in found.stdout


def test_a_store_of_a_newer_saver_is_refused(newer: Path) -> None:
    assert "quantum" in error_of(run("diff", "iris@1", "iris@2"))


def test_hostile_text_cannot_steer_a_terminal(hostile: Repository) -> None:
    saver.Saver("models").save("good", [1])
    for form in ((), ("--json",)):
        done = run("diff", "evil@1", "good@1", *form)
        assert done.exit_code == 1
        assert "owned" in done.stdout
        assert printable(done.stdout)
    shown = text_in_a_terminal("diff", "good@1", "evil@1", exit_code=1)
    assert "owned" in shown
    assert printable(shown)


def test_a_damaged_tensor_is_named(files: Any) -> None:
    raw = bytearray(files[1].read_bytes())
    raw[-1] ^= 1
    raw[-5000] ^= 1
    files[1].write_bytes(raw)
    result = run("diff", *files)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"error: {files[1]}: the bytes of weights/a are not those that were saved"
    )


def test_nothing_of_the_files_is_imported(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import Ridge

    paths = [str(tmp_path / f"{alpha}.saver") for alpha in (1, 2)]
    for alpha, path in enumerate(paths):
        saver.dump(Ridge(alpha=alpha), path)
    code = """
import sys
from saver.cli import program
program(["diff", *sys.argv[1:]], standalone_mode=False)
print("imported:", *sorted({name.partition(".")[0] for name in sys.modules} & {"sklearn", "rich", "scipy"}))
"""
    done = subprocess.run(
        (sys.executable, "-c", code, *paths), capture_output=True, text=True, check=True
    )  # fmt: skip
    assert "model/alpha  0    1" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported:"

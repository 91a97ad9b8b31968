"""`saver show`: facts of files and versions, on pipes, terminals and as JSON; damage by exit code."""

from __future__ import annotations

import json
import os
import pickle
import platform
import re
import subprocess
import sys
import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from running import (
    contents,
    error_of,
    printable,
    run,
    run_in_a_terminal,
    run_json,
    runner,
    text_in_a_terminal,
)

import saver
from saver import environment
from saver.cli import program
from saver.cli._screen import size
from saver.repo.manifest import manifest_key
from saver.repo.objects import pack_key
from saver.repo.repository import Repository

ESCAPE = "\x1b"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def show(*arguments: str | Path) -> Result:
    return runner().invoke(program, ["show", *map(str, arguments)])


def show_in_a_terminal(*arguments: str | Path, **options: Any) -> str:
    return run_in_a_terminal("show", *arguments, **options)


class Own:
    """A class that a default policy does not know."""


@pytest.fixture
def model(tmp_path) -> Path:
    """A file of two parts with tensors, one with plain values."""
    path = tmp_path / "model.saver"
    parts = {
        "weights": {"a": np.zeros((30, 40), np.float32), "b": np.arange(200)},
        "settings": {"rate": 0.01, "layers": (64, 10), "name": "small", "seed": 3},
    }
    saver.dump(parts, path)
    return path


def test_a_file_is_shown_by_parts_tensors_and_environment(model):
    result = show(model)
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    described = saver.describe(model)
    assert result.output.startswith(f"{model}\n")
    assert ["hash", described.hash] in lines
    weights = described.parts[0]
    assert ["weights", "dict", *size(weights.bytes).split(), "2", weights.hash[:12]] in lines
    assert ["weights/a", "F32", "30", "x", "40", "4.8", "kB"] in lines
    assert ["weights/b", "I64", "200", "1.6", "kB"] in lines
    assert "rate=0.01, layers=(64, 10), name='small', seed=3" in result.output
    assert ["python", sys.version.split()[0], f"({platform.python_implementation()})"] in lines
    assert f"numpy {np.__version__}, saver-ml {saver.__version__}" in result.output
    assert "$.settings.seed = 3" in result.output
    assert "it loads without trust=" in result.output


def test_the_time_is_local(model, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        saved = datetime.fromtimestamp(saver.describe(model).time)
        assert f"{saved:%Y-%m-%d %H:%M:%S} JST" in show(model).output
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_largest_tensors_come_first_and_the_rest_is_counted(tmp_path):
    arrays = {f"t{size}": np.zeros(size) for size in range(100, 400, 10)}
    saver.dump([arrays], tmp_path / "many.saver")
    output = show(tmp_path / "many.saver", "--tensors", "3").output
    names = re.findall(r"^  (model/\S+)", output, re.MULTILINE)
    assert names == ["model/0.t390", "model/0.t380", "model/0.t370"]
    assert "and 27 more: --tensors 30 lists them all" in output
    assert len(re.findall("F64", show(tmp_path / "many.saver").output)) == 20
    assert "more" not in show(tmp_path / "many.saver", "--tensors", "30").output


def test_a_tensor_that_two_parts_share_is_listed_once(tmp_path):
    shared = np.zeros(1000)
    saver.dump({"a": shared, "b": [shared]}, tmp_path / "shared.saver")
    assert "Tensors (1)" in show(tmp_path / "shared.saver").output


def test_json_is_one_document_with_everything(model):
    result = show(model, "--json")
    assert result.exit_code == 0
    document = json.loads(result.output)
    assert set(document) == {
        "schema", "path", "bytes", "hash", "time", "time_utc", "parts", "environment", "untrusted", "data",
        "version", "verified", "damage", "predictions",
    }  # fmt: skip
    assert document["bytes"] == model.stat().st_size
    moment = datetime.strptime(document["time_utc"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert moment.timestamp() == int(document["time"])
    assert [part["name"] for part in document["parts"]] == ["weights", "settings"]
    for part in document["parts"]:
        assert set(part) == {
            "name", "kind", "hash", "bytes", "tensors", "classes", "values", "defaults", "number", "packages",
        }  # fmt: skip
    first = document["parts"][0]["tensors"][0]
    assert set(first) == {"name", "dtype", "shape", "bytes", "hash"}
    assert (first["name"], first["dtype"], first["shape"]) == ("weights/a", "F32", [30, 40])
    assert document["parts"][1]["values"]["layers"] == "(64, 10)"
    assert document["environment"]["packages"]["numpy"] == np.__version__


def test_json_of_a_verified_file_says_so(model):
    assert json.loads(show(model, "--json", "--verify").output)["verified"] is True


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_damage_is_found_when_asked_for(model):
    flip_a_byte(model)
    assert show(model).exit_code == 0
    result = show(model, "--verify")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {model}: the bytes of weights/")
    assert "Parts" in result.stdout


def test_damage_is_reported_in_json_too(model):
    flip_a_byte(model)
    result = show(model, "--json", "--verify")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["verified"] is False
    assert "weights/" in document["damage"]


def test_a_large_file_is_verified_by_threads(tmp_path):
    path = tmp_path / "large.saver"
    saver.dump(np.arange(1 << 20), path)
    result = show(path, "--verify")
    assert result.exit_code == 0
    assert "match their hashes" in result.output


@pytest.mark.parametrize("length", [100, 4096, 6000])
def test_a_truncated_file_is_damaged(model, length):
    model.write_bytes(model.read_bytes()[:length])
    result = show(model)
    assert result.exit_code == 1
    assert_one_line(result)


def test_a_pickle_is_called_by_its_name(tmp_path):
    path = tmp_path / "model.saver"
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    result = show(path)
    assert result.exit_code == 0
    assert "imported from  a pickle" in result.output


def test_a_missing_file_is_exit_code_3(tmp_path):
    result = show(tmp_path / "nowhere.saver")
    assert result.exit_code == 3
    assert "there is no such file" in assert_one_line(result)


def test_a_folder_is_not_a_file(tmp_path):
    result = show(tmp_path)
    assert result.exit_code == 3
    assert "folder" in assert_one_line(result)


def test_what_the_system_refuses_is_reported(tmp_path):
    result = show(tmp_path / ("x" * 300))
    assert result.exit_code == 3
    assert "File name too long" in assert_one_line(result)


def assert_one_line(result: Result) -> str:
    """An error is one line on stderr, and nothing else."""
    assert result.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", result.stderr)
    return result.stderr


def test_classes_that_need_trust_are_named_with_the_line_to_write(tmp_path, monkeypatch):
    monkeypatch.setattr(saver.trust, "_registered", set())
    path = tmp_path / "own.saver"
    saver.register(Own)
    saver.dump(Own(), path)
    monkeypatch.setattr(saver.trust, "_registered", set())
    name = f"{Own.__module__}.Own"
    output = show(path).output
    assert f'saver.load("own.saver", trust=["{name}"])' in output
    assert json.loads(show(path, "--json").output)["untrusted"] == [name]
    monkeypatch.setattr(saver.trust, "_registered", set())
    assert isinstance(saver.load(path, trust=[name]), Own)


def hostile_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that tries to steer the terminal from wherever text may stand."""
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\r\n"
    recorded: dict[str, Any] = {
        "python": evil, "platform": {"x": evil}, "machine": 1, "implementation": [evil],
        "packages": {evil: evil}, "git": {"commit": evil, "dirty": evil},
        "random": {"seeds": {evil: evil}, "generators": [evil]}, evil: evil,
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(environment, "describe", lambda *_: recorded)
        path = folder / "hostile\x1b[31m.saver"
        saver.dump(OrderedDict({evil: np.zeros(100), "text": evil}), path)
    return path


def test_hostile_values_cannot_steer_a_terminal(tmp_path, monkeypatch):
    path = hostile_file(tmp_path, monkeypatch)
    shown = COLOURS.sub("", show_in_a_terminal(path))
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "\\x1b]0;owned" in shown


def test_hostile_values_are_escaped_on_pipes_and_in_json_and_in_errors(tmp_path, monkeypatch):
    path = hostile_file(tmp_path, monkeypatch)
    for result in (show(path), show(path, "--json"), show(f"{path}\x1b[2J")):
        assert all(char.isprintable() or char == "\n" for char in result.output)
    assert json.loads(show(path, "--json").output)["environment"]["git"]["commit"][0] == ESCAPE


@pytest.mark.parametrize("recorded", [{}, {"git": None, "x": [1]}, {"git": []}, {"random": {"seeds": 3}}])
def test_any_form_of_environment_can_be_shown(tmp_path, monkeypatch, recorded):
    with monkeypatch.context() as patch:
        patch.setattr(environment, "describe", lambda *_: recorded)
        saver.dump(1, tmp_path / "a.saver")
    assert show(tmp_path / "a.saver").exit_code == 0


def test_a_time_that_no_calendar_has_can_be_shown(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: 1e300)
        saver.dump(1, tmp_path / "a.saver")
    assert "at an unknown time" in show(tmp_path / "a.saver").output
    assert json.loads(show(tmp_path / "a.saver", "--json").output)["time_utc"] is None


def long_names(folder: Path) -> Path:
    arrays = {f"{'encoder.layer.' * 8}{n}.attention.weight": np.zeros(100 + n) for n in range(3)}
    saver.dump(arrays, folder / "long.saver")
    return folder / "long.saver"


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_gets_colour_and_tables_that_fit_it(tmp_path, width):
    path = long_names(tmp_path)
    shown = show_in_a_terminal(path, width=width)
    assert ESCAPE in shown
    lines = COLOURS.sub("", shown).splitlines()
    assert max(map(len, lines[1:])) <= width
    whole = f"{'encoder.layer.' * 8}2.attention.weight"
    assert any(whole in line for line in lines) == (width == 200)


def test_a_terminal_shows_progress_while_it_verifies(tmp_path):
    saver.dump(np.arange(3 << 20), tmp_path / "large.saver")
    shown = show_in_a_terminal(tmp_path / "large.saver", "--verify", width=100)
    assert "Verifying" in shown
    assert "25.2/25.2 MB" in shown
    assert shown.rstrip().endswith("match their hashes.")


def test_a_terminal_cuts_no_name(tmp_path):
    saver.dump({"w": {"n" * 150: np.zeros(100)}}, tmp_path / "a.saver")
    shown = COLOURS.sub("", show_in_a_terminal(tmp_path / "a.saver"))
    assert shown.count("n" * 20) >= 1
    assert "…" not in shown
    column = [line.split()[0] for line in shown.splitlines() if re.match(r"  (w/)?n{5}", line)]
    assert "".join(column).startswith("w/" + "n" * 150)


def test_no_colour_where_the_user_wants_none(model):
    assert "\x1b[3" not in show_in_a_terminal(model, NO_COLOR="1")


def test_a_dumb_terminal_gets_plain_text(model):
    assert ESCAPE not in show_in_a_terminal(model, TERM="dumb")


def test_a_pipe_gets_plain_whole_lines(tmp_path):
    path = long_names(tmp_path)
    done = subprocess.run(
        (sys.executable, "-m", "saver", "show", str(path), "--verify"),
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "40"},
    )  # fmt: skip
    assert done.stderr == ""
    assert ESCAPE not in done.stdout
    assert done.stdout.isascii()
    assert f"{'encoder.layer.' * 8}2.attention.weight" in done.stdout


def test_an_encoding_without_the_letters_gets_them_escaped(tmp_path):
    saver.dump({"größe": 1, "日": 2}, tmp_path / "a.saver")
    done = subprocess.run(
        (sys.executable, "-m", "saver", "show", str(tmp_path / "a.saver")),
        capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert "größe".encode("latin-1") in done.stdout
    assert b"\\u65e5" in done.stdout


def test_a_pipe_imports_neither_rich_nor_the_demo_nor_what_the_file_holds(tmp_path):
    pytest.importorskip("sklearn")
    from sklearn.preprocessing import MinMaxScaler

    saver.dump({"scaler": MinMaxScaler()}, tmp_path / "a.saver")
    code = """
import sys
from saver.cli import program
from saver.cli._screen import size
from saver.repo.manifest import manifest_key
from saver.repo.objects import pack_key
from saver.repo.repository import Repository
program(["show", sys.argv[1], "--verify"], standalone_mode=False)
found = {name.partition(".")[0] for name in sys.modules} & {"rich", "sklearn", "matplotlib"}
print("imported:", *sorted(found), *(name for name in sys.modules if name == "saver.cli.demo"))
"""
    done = subprocess.run(
        (sys.executable, "-c", code, str(tmp_path / "a.saver")),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "MinMaxScaler  sklearn" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported:"


# Versions


def facts(output: str) -> dict[str, str]:
    """What stands below the title, by its name."""
    lines = output.partition("\n\n")[0].splitlines()[1:]
    return dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in lines)


def test_a_version_is_shown_with_what_was_said_of_it(store: saver.Saver) -> None:
    version = store.version("iris@2")
    output = show("iris@2").stdout
    assert output.startswith("models: iris@2\n")
    told = facts(output)
    assert told["saved"].endswith(", by ada")
    assert (told["step"], told["metrics"], told["parent"]) == ("200", "f1 0.9, loss 0.25", "iris@1")
    assert told["size"] == f"{size(version.bytes)}; the store grew by {size(version.bytes_added)}"
    assert told["hash"] == version.manifest
    assert "\nNotes\n  with a\n  longer warm-up\n" in output
    assert re.search(r"\nData\n  train +array float64 \[30, 4\], 960 B, ", output)
    assert "  seeds given  seed = 7\n" in output


def test_notes_of_one_line_are_a_fact(store: saver.Saver) -> None:
    store.save("noted", 1, notes="as it was")
    output = show("noted").stdout
    assert facts(output)["notes"] == "as it was"
    assert "Notes" not in output


def test_the_parts_of_a_version_have_numbers_of_their_own(store: saver.Saver) -> None:
    rows = [line.split()[:2] for line in show("iris@3").stdout.splitlines()]
    assert ["part", "number"] in rows
    assert ["model", "2"] in rows
    assert ["log", "1"] in rows
    assert "number" not in show_file_of("iris@3", store)


def show_file_of(ref: str, store: saver.Saver) -> str:
    store.export(ref, "file.saver")
    return show("file.saver").stdout


def test_a_version_is_named_by_any_ref(store: saver.Saver) -> None:
    for ref in ("iris@1", "iris@first", "iris@step=100"):
        assert show(ref).stdout.startswith("models: iris@1\n")
        assert facts(show(ref).stdout)["tags"] == "first"
    assert show("iris").stdout.startswith("models: iris@3\n")
    assert show("iris", "--store", "nowhere").exit_code == 3


def test_a_file_goes_before_a_model_of_its_name(store: saver.Saver) -> None:
    saver.dump(1, "iris")
    assert show("iris").stdout.startswith("iris\n")
    os.remove("iris")
    os.mkdir("iris")
    assert show("iris").stdout.startswith("models: iris@3\n")


def test_what_is_neither_file_nor_version_is_said_to_be_neither(store: saver.Saver) -> None:
    for name in ("rose", "iris@9", "iris@best", "no name", "iris@!"):
        message = error_of(show(name))
        assert "there is no such file; nor is it a version: " in message
    assert "there is no model" not in error_of(show("rose.saver"))
    assert "there is no store here" in error_of(show("rose", "--store", "nowhere"))


def test_json_of_a_version_has_all(store: saver.Saver) -> None:
    document = run_json("show", "iris@2", "--verify")
    assert document["path"] == "models: iris@2"
    assert document["verified"] is True
    version = document["version"]
    assert (version["ref"], version["step"], version["parent"]) == ("iris@2", 200, 1)
    assert version["parts"]["model"]["number"] == 2
    assert document["data"]["train"]["shape"] == [30, 4]
    assert run_json("show", "iris@3")["version"]["metrics"] == {"loss": "nan"}


def test_a_version_is_verified_when_asked_for(store: saver.Saver) -> None:
    assert "match their hashes" in show("iris@3", "--verify").stdout
    for name in set(store.version("iris@3").packs) - set(store.version("iris@1").packs):
        flip_a_byte(Path("models", pack_key(name)))
    assert show("iris@3").exit_code == 0
    result = show("iris@3", "--verify")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: models: iris@3: the bytes of model/weights")
    assert show("iris@1", "--verify").exit_code == 0
    assert json.loads(show("iris@3", "--verify", "--json").stdout)["verified"] is False


def test_a_version_without_its_manifest_is_damaged(store: saver.Saver) -> None:
    os.remove(Path("models", manifest_key(store.version("iris@1").manifest)))
    assert "its manifest" in error_of(show("iris@1"), exit_code=1)


def test_the_line_that_loads_a_version_with_trust_works(store: saver.Saver, monkeypatch) -> None:
    monkeypatch.setattr(saver.trust, "_registered", set())
    saver.register(Own)
    store.save("own", Own())
    monkeypatch.setattr(saver.trust, "_registered", set())
    lines = [line[4:] for line in show("own").stdout.splitlines() if line.startswith("    ")]
    assert lines == [
        'store = saver.Saver("models")',
        f'store.load("own@1", trust=["{Own.__module__}.Own"])',
    ]
    found: dict[str, Any] = {"saver": saver}
    exec(f"{lines[0]}\nloaded = {lines[1]}", found)
    assert isinstance(found["loaded"], Own)


def test_hostile_texts_of_a_version_cannot_steer_a_terminal(hostile: Repository) -> None:
    for arguments in (["evil"], ["evil", "--json"]):
        result = show(*arguments)
        assert result.exit_code == 0, result.output
        assert printable(result.output)
    assert printable(text_in_a_terminal("show", "evil", width=200))


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_version_fits_the_terminal(store: saver.Saver, width: int) -> None:
    store.save("long", {"p" * 90: np.zeros(100)}, tags=["t" * 90], notes="note " * 100)
    shown = text_in_a_terminal("show", "long", width=width)
    assert max(map(len, shown.splitlines())) <= width


def test_a_store_of_a_newer_saver_is_refused_and_files_are_not(newer: Path) -> None:
    before = contents(newer)
    saver.dump(1, "a.saver")
    assert "quantum" in error_of(run("show", "iris"))
    assert run("show", "a.saver").exit_code == 0
    assert contents(newer) == before

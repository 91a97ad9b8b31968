"""`saver plot`: curves in the terminal, on pipes, as pictures and as JSON, of versions and files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import error_of, printable, run, run_in_a_terminal, run_json, text_in_a_terminal

import saver
from saver.training_log import TrainingLog

EVIL = "\x1b]0;owned\x07\x1b[2J\u202e"


def log_of(seed: int = 0, steps: int = 200) -> TrainingLog:
    """A log with validation every 10 steps, saved and resumed once."""
    log = TrainingLog()
    for step in range(steps):
        loss = 1 / (1 + step / 50) + seed / 10
        log.append(step, time=1.0, loss=loss, lr=0.001, val_loss=loss + 0.1 if step % 10 == 0 else None)
    log.mark("saved", 99, "run@1", time=2.0)
    log.mark("resumed", 150, "run@1", time=float("nan"))
    return log


@pytest.fixture
def runs() -> saver.Saver:
    """The store `models` of this folder: two runs with logs, and a model without one."""
    store = saver.Saver("models")
    store.save("run-1", {"model": np.arange(1000.0), "log": log_of()})
    store.save("run-2", {"model": np.arange(1000.0), "log": log_of(1)})
    store.save("bare", {"model": [1], "scaler": [2]})
    return store


@pytest.mark.usefixtures("runs")
def test_pipes_get_ascii_that_fits_80_columns() -> None:
    done = run("plot", "run-1")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.isascii()
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line and line[0] != " "] == ["loss", "lr"]
    assert "  * training   + validation   | saved   ^ resumed" in lines
    assert any(line.strip().startswith("0.001 +***") for line in lines)


@pytest.mark.usefixtures("runs")
def test_several_runs_are_drawn_together_and_distinguished() -> None:
    lines = run("plot", "run-1", "run-2@1", "-m", "loss").stdout.splitlines()
    legend = " ".join(" ".join(lines[-2:]).split())
    assert legend == (
        "* run-1 training + run-1 validation o run-2@1 training x run-2@1 validation | saved ^ resumed"
    )
    assert [line.split() for line in lines[14:16]] == [["*", "|", "^"], ["o", "|", "^"]]
    drawn = "".join(lines[:-2])
    assert all(sign in drawn for sign in "*+ox")
    assert lines[0] == "loss"
    assert "lr" not in lines


@pytest.mark.slow
@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("width", [50, 120])
def test_a_terminal_gets_braille_in_colour_that_fits_it(width: int) -> None:
    shown = text_in_a_terminal("plot", "run-1", width=width)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert max(map(len, lines)) > width - 8
    assert any("\u2800" < char <= "\u28ff" for char in shown)
    assert "━━ training   ━━ validation   ┴ saved" in shown
    assert "\x1b[38;5;" in run_in_a_terminal("plot", "run-1", width=width)


@pytest.mark.usefixtures("runs")
def test_without_colour_curves_are_distinguished_by_characters() -> None:
    shown = text_in_a_terminal("plot", "run-1", "-m", "loss", NO_COLOR="1")
    assert "* training   + validation" in shown
    assert not any("\u2800" < char <= "\u28ff" for char in shown)
    alone = text_in_a_terminal("plot", "run-1", "-m", "lr", NO_COLOR="1")
    assert any("\u2800" < char <= "\u28ff" for char in alone), "one curve needs no colour"


@pytest.mark.slow
@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_a_picture_is_written_and_reported(name: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib")
    done = run("plot", "run-1", "run-2", "-o", name)
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{name}: 2 panels of 2 runs\n", "")
    assert Path(name).read_bytes().startswith(begins)
    assert (
        run("plot", "run-1", "-o", name, "--smooth", "0.9", "-m", "lr").stdout
        == f"{name}: 1 panel of 1 run\n"
    )


@pytest.mark.usefixtures("runs")
def test_json_has_the_rows_and_the_events() -> None:
    (found,) = run_json("plot", "run-1")["runs"]
    assert (found["run"], found["metrics"]) == ("run-1", ["loss", "lr", "val_loss"])
    assert found["rows"] == log_of().rows()
    assert found["events"] == [
        {"kind": "saved", "step": 99, "time": 2.0, "ref": "run@1"},
        {"kind": "resumed", "step": 150, "time": "nan", "ref": "run@1"},
    ]
    both = run_json("plot", "run-1", "run-2", "-m", "val_loss")["runs"]
    assert [each["run"] for each in both] == ["run-1", "run-2"]
    assert both[0]["metrics"] == ["val_loss"]
    assert both[0]["rows"] == [
        {"step": row["step"], "time": 1.0, "val_loss": row["val_loss"]}
        for row in log_of().rows()
        if "val_loss" in row
    ]


def test_the_version_itself_has_its_mark(runs: saver.Saver) -> None:
    """Its log was written before anybody knew that it would be saved."""
    version = runs.save("run-1", {"log": log_of()}, step=180)
    (found,) = run_json("plot", "run-1")["runs"]
    assert found["events"][2:] == [{"kind": "saved", "step": 180, "time": version.time, "ref": "run-1@2"}]
    axis = next(line for line in run("plot", "run-1").stdout.splitlines() if "^" in line)
    assert axis.count("|") == 2
    for step in (99, 200, 10**12):  # marked already, and beyond the log
        runs.save("run-1", {"log": log_of()}, step=step)
        assert len(run_json("plot", "run-1")["runs"][0]["events"]) == 2


def test_files_are_drawn_whatever_the_part_is_called(tmp_path: Path) -> None:
    saver.dump(log_of(), tmp_path / "sole.saver")
    saver.dump({"history": log_of(), "log": ["text"]}, tmp_path / "one.saver")
    saver.dump({"first": log_of(), "second": log_of(1)}, tmp_path / "two.saver")
    assert run_json("plot", tmp_path / "sole.saver")["runs"][0]["rows"] == log_of().rows()
    (one,) = run_json("plot", tmp_path / "one.saver")["runs"]
    assert one["run"] == str(tmp_path / "one.saver")
    names = [each["run"].rpartition("/")[2] for each in run_json("plot", tmp_path / "two.saver")["runs"]]
    assert names == ["two.saver: first", "two.saver: second"]


def test_lists_of_numbers_are_a_log_too(tmp_path: Path) -> None:
    lists = {
        "epoch": [1, 2, 3],
        "loss": [0.5, float("nan"), 0.25],
        "held_out_loss": np.array([0.6, 0.5, 0.4]),
    }
    saver.dump({"log": lists, "model": [1]}, tmp_path / "demo.saver")
    (found,) = run_json("plot", tmp_path / "demo.saver")["runs"]
    assert found["rows"] == [
        {"step": 1, "epoch": 1, "loss": 0.5, "held_out_loss": 0.6},
        {"step": 2, "epoch": 2, "loss": "nan", "held_out_loss": 0.5},
        {"step": 3, "epoch": 3, "loss": 0.25, "held_out_loss": 0.4},
    ]
    shown = run("plot", tmp_path / "demo.saver").stdout
    assert "* training   + held out" in shown
    assert "epoch" in shown


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ({"loss": [1.0]}, "no list called step or epoch"),
        ({"step": [1, 2], "loss": [1.0]}, "shorter"),
        ({"step": [1], "loss": ["low"]}, "'loss': str is not one number"),
        ({"step": [1.5], "loss": [1.0]}, "step 1.5 is not a whole number"),
        ({"step": [2, 1], "loss": [1.0, 1.0]}, "1 comes before 2"),
        ({"step": [1], "loss": 1.0}, "'loss' is not a list"),
        ({"step": [None], "loss": [1.0]}, "is not a training log"),
        ({"step": [float("nan")], "loss": [1.0]}, "is not a training log"),
        ({"step": [float("inf")], "loss": [1.0]}, "is not a training log"),
    ],
)
def test_what_is_not_a_log_is_said(log: Any, reason: str, tmp_path: Path) -> None:
    saver.dump({"log": log}, tmp_path / "odd.saver")
    message = error_of(run("plot", tmp_path / "odd.saver"))
    assert reason in message
    assert "odd.saver: log is not a training log" in message


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bare"], "bare has no training log, only model, scaler; save a TrainingLog as its part 'log'"),
        (["nothing"], "nothing"),
        (["run-1@7"], "run-1@7"),
        (["run-1", "-m", "lossy"], "no run has a metric 'lossy'; choose from loss, val_loss, lr"),
        (["run-1", "-o", "a.gif"], "a.gif: pictures are .png, .svg or .pdf"),
        (["run-1", "-o", "nowhere/a.png"], "create the folder"),
    ],
)
def test_misuse_is_one_line(arguments: list[str], message: str) -> None:
    pytest.importorskip("matplotlib")
    assert message in error_of(run("plot", *arguments))


@pytest.mark.parametrize("arguments", [[], ["run-1", "--smooth", "1"], ["run-1", "--smooth", "-0.1"]])
def test_arguments_are_checked(arguments: list[str]) -> None:
    done = run("plot", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_log_without_metrics_is_nothing_to_draw() -> None:
    saver.dump(TrainingLog(), "empty.saver")
    assert run("plot", "empty.saver").stdout == "there is nothing to draw yet: no metric has been logged\n"
    assert run_json("plot", "empty.saver")["runs"][0]["rows"] == []
    assert "no metric has been logged" in error_of(run("plot", "empty.saver", "-o", "a.png"))


def test_more_panels_than_can_be_read_are_reported() -> None:
    log = TrainingLog()
    log.append(1, **{f"m{at:03}": 1.0 for at in range(30)})
    saver.dump(log, "many.saver")
    shown = run("plot", "many.saver").stdout
    assert "m023" in shown
    assert "m024" not in shown
    assert shown.endswith("  and 6 more panels: --metric NAME chooses\n")


def test_only_the_log_is_read(runs: saver.Saver) -> None:
    """Damage elsewhere is of no concern, and that of the log is named."""
    runs.export("run-1", "whole.saver")
    numbers = {"model": np.arange(1000.0), "log": log_of()["loss"][1]}
    for part, code in (("model", 0), ("log", 1)):
        raw = bytearray(Path("whole.saver").read_bytes())
        raw[raw.index(numbers[part].tobytes())] ^= 1
        Path("harmed.saver").write_bytes(raw)
        done = run("plot", "harmed.saver")
        assert done.exit_code == code, done.output
        assert ("the bytes of log/" in done.stderr) == (part == "log")


def test_nothing_that_needs_trust_is_built_and_nothing_is_imported(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import Ridge

    saver.dump({"model": Ridge(), "log": log_of()}, tmp_path / "a.saver")
    saver.dump({"model": Ridge(), "log": {"step": [1], "loss": [Ridge()]}}, tmp_path / "b.saver")
    code = """
import sys
from saver.cli import program
try:
    program(["plot", sys.argv[1]], standalone_mode=False)
except Exception as error:
    print(error)
there = {name.partition(".")[0] for name in sys.modules}
print("imported:", *sorted(there & {"sklearn", "matplotlib", "pandas"}))
"""
    for name, said in (("a.saver", "loss"), ("b.saver", "has no training log")):
        done = subprocess.run(
            (sys.executable, "-c", code, str(tmp_path / name)), capture_output=True, text=True, check=True
        )
        assert said in done.stdout
        assert done.stdout.splitlines()[-1] == "imported:"


def test_without_matplotlib_there_is_the_terminal(tmp_path: Path) -> None:
    saver.dump(log_of(), tmp_path / "log.saver")
    code = "import sys; sys.modules['matplotlib'] = None\nfrom saver.cli import main\nmain()"

    def plot(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-c", code, "plot", "log.saver", *more),
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    picture = plot("-o", "a.png")
    assert (picture.returncode, picture.stdout) == (4, "")
    assert 'pip install "saver-ml[plot]"' in picture.stderr
    assert plot().returncode == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["log.saver"]


def test_hostile_text_cannot_steer_a_terminal() -> None:
    lists = {"step": [1, 2], "loss": [1.0, 2.0]}
    Path(f"a{EVIL}b").mkdir()
    saver.dump({"log": lists}, f"a{EVIL}b/a.saver")
    done = run("plot", f"a{EVIL}b/a.saver")
    assert done.exit_code == 0
    assert printable(done.stdout)
    saver.dump({"log": lists | {EVIL: [1.0, 2.0]}}, "evil.saver")
    message = error_of(run("plot", "evil.saver"))
    assert printable(message)
    log = TrainingLog()
    log.append(1, loss=1.0)
    log.mark("saved", 1, EVIL)
    saver.dump(log, "marked.saver")
    for done in (run("plot", "marked.saver"), run("plot", "marked.saver", "--json")):
        assert done.exit_code == 0
        assert printable(done.stdout)
    assert json.loads(done.stdout)["runs"][0]["events"][0]["ref"] == EVIL
    assert printable(text_in_a_terminal("plot", f"a{EVIL}b/a.saver", "marked.saver"))

"""`saver demo`: the tour's facts, its files, and what is said where a package is missing."""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from running import runner

import saver
from saver.cli import program
from saver.rehearsal import prove

pytest.importorskip("sklearn")


WITHOUT = """
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {!r} else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from saver.cli import main
main()
"""


def demo(folder: Path, *arguments: str, blocked: str = "") -> subprocess.CompletedProcess[str]:
    """Run the demo as a process in `folder`; for it, the packages `blocked` are not installed."""
    return subprocess.run(
        (sys.executable, "-c", WITHOUT.format(blocked.split()), "demo", *arguments),
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


TOUR = pytest.mark.xdist_group("tour")
SMALL = pytest.mark.xdist_group("small tour")
"""Where several processes run the tests, one of them makes the tour, for all of these."""


@pytest.fixture(scope="module")
def tour(tmp_path_factory) -> tuple[Path, str]:
    """The folder in which the demo ran whole, and what it printed."""
    folder = tmp_path_factory.mktemp("tour")
    done = demo(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


@TOUR
@pytest.mark.slow
def test_the_files_lie_where_it_says_and_nowhere_else(tour):
    folder, output = tour
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert "saver-demo/digits.saver" in found
    runs = {name for name in found if name.startswith("saver-demo/runs/")}
    assert "saver-demo/runs/store.json" in runs
    pictures = {"saver-demo/training.png", "saver-demo/runs.png"}
    assert found - runs - pictures == {"saver-demo/digits.saver"}
    assert all(name in output for name in found - runs)


@TOUR
@pytest.mark.slow
def test_the_steps_are_numbered_in_order(tour):
    numbers = re.findall(r"^(\d+)\. ", tour[1], re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 11)]


@TOUR
@pytest.mark.slow
def test_every_epoch_has_its_line_and_the_loss_falls(tour):
    rows = re.findall(r"epoch +(\d+) +loss (\S+) +accuracy +(\S+)%  (#+)$", tour[1], re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 21))
    losses = [float(row[1]) for row in rows]
    assert losses[-1] < losses[0] / 10
    assert float(rows[-1][2]) > 96


@TOUR
@pytest.mark.slow
def test_the_fresh_process_predicts_the_same_to_the_bit(tour):
    assert "450 of 450 equal" in tour[1]
    assert "4,500 of 4,500 equal, to the last bit" in tour[1]


@TOUR
@pytest.mark.slow
def test_piped_output_is_plain(tour):
    assert tour[1].isascii()
    assert tour[1].replace("\n", "").isprintable()


@TOUR
@pytest.mark.slow
def test_the_file_holds_scaler_model_and_log(tour):
    parts = saver.load(tour[0] / "saver-demo" / "digits.saver")
    assert list(parts) == ["scaler", "model", "log"]
    assert type(parts["scaler"]).__name__ == "MinMaxScaler"
    assert parts["log"]["epoch"] == list(range(1, 21))
    assert len({len(column) for column in parts["log"].values()}) == 1


@TOUR
@pytest.mark.slow
def test_the_picture_is_a_png_of_sensible_size(tour):
    pytest.importorskip("matplotlib")
    for name in ("training.png", "runs.png"):
        data = (tour[0] / "saver-demo" / name).read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", data[16:24])
        assert 1000 <= width <= 3000
        assert 400 <= height <= 3000
        assert 20_000 < len(data) < 1_000_000


@TOUR
@pytest.mark.slow
def test_what_to_try_next_works(tour):
    folder, output = tour
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    commands = re.findall(r"^ +((?:saver|python) .+)$", output.partition("Try next")[2], re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(
            command, shell=True, cwd=folder, env=os.environ | {"PATH": path},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "MLPClassifier" in done.stdout


def test_training_goes_on_after_loading_as_it_would_have_without(tmp_path):
    from saver.cli._digits import Digits

    digits = Digits()
    assert len(list(digits.train(2))) == 2
    saver.dump(digits.model, tmp_path / "model.saver")
    loaded = saver.load(tmp_path / "model.saver")
    pixels = digits.scaler.transform(digits.images)
    for model in (digits.model, loaded):
        model.partial_fit(pixels, digits.labels)
    for ours, theirs in zip(digits.model.coefs_, loaded.coefs_, strict=True):
        np.testing.assert_array_equal(ours.view("u8"), theirs.view("u8"))


def test_two_runs_train_the_same_model():
    from saver.cli._digits import Digits

    first, second = Digits(), Digits()
    assert list(first.train(2)) == list(second.train(2))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, Path, str]:
    """Where scikit-learn alone is there: the folder in which the demo ran, the user's cache, the output."""
    folder, cache = tmp_path_factory.mktemp("small"), tmp_path_factory.mktemp("users-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAVER_CACHE", str(cache))
        done = demo(folder, "--folder", "a folder/b", "--epochs", "1", blocked="matplotlib torch")
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "a folder" / "b", cache, done.stdout


@SMALL
@pytest.mark.slow
def test_folder_and_epochs_are_the_user_s(small):
    folder, cache, output = small
    assert {path.name for path in folder.iterdir()} == {"digits.saver", "runs"}
    assert list(cache.iterdir()) == []
    assert "saver show 'a folder/b/digits.saver'" in output


@SMALL
@pytest.mark.slow
def test_without_matplotlib_there_is_no_picture_and_the_tour_says_why(small):
    assert "matplotlib is not installed" in small[2]
    assert 'pip install "saver-ml[demo]"' in small[2]


@SMALL
@pytest.mark.slow
def test_without_torch_the_network_is_one_of_numpy(small):
    assert "A small network in NumPy" in small[2]
    assert re.search(r"^  generator +(\w+)  \1$", small[2], re.MULTILINE)
    assert float(re.findall(r"accuracy +(\S+)%", small[2])[-1]) > 90


@SMALL
@pytest.mark.slow
def test_a_second_demo_in_the_same_folder_leaves_the_first_one_as_it_is(small):
    folder, _, _ = small
    before = saver.Saver(folder / "runs").versions("killed")
    again = demo(folder.parent, "--folder", "b", "--epochs", "1", blocked="matplotlib torch")
    assert (again.returncode, again.stderr) == (0, "")
    store = saver.Saver(folder / "runs")
    assert store.models() == ["killed", "killed-2", "whole", "whole-2"]
    assert store.versions("killed") == before
    assert "resumes from killed-2@" in again.stdout


def test_without_scikit_learn_it_says_what_to_install(tmp_path):
    done = demo(tmp_path, blocked="sklearn")
    assert done.returncode == 4
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*scikit-learn.*\n", done.stderr)
    assert 'pip install "saver-ml[demo]"' in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    result = runner().invoke(program, ["demo", "--folder", str(tmp_path / "file" / "below")])
    assert result.exit_code == 4
    assert result.stderr.startswith("error: ")


def test_a_difference_is_a_finding(tmp_path):
    from saver.cli import Finding
    from saver.cli._digits import Digits
    from saver.cli._screen import Plain
    from saver.cli.demo import Tour, _compare

    digits = Digits()
    assert list(digits.train(1))
    labels, probabilities = digits.predict()
    there = {"labels": labels, "probabilities": np.nextafter(probabilities, 1)}
    with pytest.raises(Finding, match="predicts differently"):
        _compare(digits, there, tmp_path / "digits.saver", Tour(Plain()))


@pytest.mark.slow
def test_drawing_leaves_no_state_of_pyplot(tmp_path):
    pytest.importorskip("matplotlib")
    code = """
import sys, numpy as np
from saver.cli._curves import draw
log = {"epoch": [1], "loss": [1.0], "accuracy": [0.5], "held_out_loss": [1.1], "held_out_accuracy": [0.4]}
draw("one.png", log, np.zeros((3, 64)), np.arange(3), np.arange(3))
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    assert (tmp_path / "one.png").stat().st_size > 5000


# The second half: killed and resumed


@TOUR
@pytest.mark.slow
def test_three_processes_train_and_one_of_them_is_killed(tour):
    trained, killed, resumed = (
        re.findall(pattern, tour[1])
        for pattern in (r"Process (\d+) trains", r"SIGKILL: process (\d+) is gone", r"Process (\d+) resumes")
    )
    assert trained == killed
    assert len({*killed, *resumed}) == 2
    rows = re.findall(r"^  step +(\d+) +loss \S+ +accuracy +\S+%  #+$", tour[1], re.MULTILINE)
    first, later = [int(row) for row in rows[:4]], [int(row) for row in rows[4:]]
    assert first == [50, 100, 150, 200]
    assert later in ([200, 250, 300, 350, 400], [250, 300, 350, 400], [300, 350, 400])


@TOUR
@pytest.mark.slow
def test_it_goes_on_after_the_step_that_was_saved_last(tour):
    number, step = map(int, re.findall(r"resumes from killed@(\d+), after step (\d+):", tour[1])[0])
    assert step == 25 * number
    assert 175 <= step <= 250  # what was being written when it was killed counts only if it was durable


@TOUR
@pytest.mark.slow
def test_both_runs_end_with_the_same_bits(tour):
    store = saver.Saver(tour[0] / "saver-demo" / "runs")
    whole, killed = store.version("whole"), store.version("killed")
    assert (whole.step, killed.step) == (399, 399)
    for part in ("model", "optimizer", "random"):
        assert whole.parts[part].hash == killed.parts[part].hash
        told = re.findall(rf"^  {part} +(\w+)  (\w+)$", tour[1], re.MULTILINE)
        assert told == [(whole.parts[part].hash[:16],) * 2]
    logs = [store.load(name, parts=["log"])["log"] for name in ("whole", "killed")]
    steps, losses = zip(*(log["loss"] for log in logs), strict=True)
    np.testing.assert_array_equal(steps[1], np.arange(400))
    np.testing.assert_array_equal(losses[0].view("u8"), losses[1].view("u8"))
    assert [event.kind for event in logs[1].events].count("resumed") == 1
    assert "resumed" not in {event.kind for event in logs[0].events}
    assert "400 of the 400 losses in the log are equal, to the last bit" in tour[1]


@TOUR
@pytest.mark.slow
def test_the_run_proves_that_it_can_be_resumed(tour):
    assert "rehearsal.prove: steps 0 to 2, trained twice from the same state: all bits agree." in tour[1]


@TOUR
@pytest.mark.slow
def test_what_is_there_is_shown_by_the_commands_themselves(tour):
    told = tour[1].partition("What is stored")[2]
    assert re.findall(r"^    saver (\w+)", told.partition("Try next")[0], re.MULTILINE)[:3] == [
        "ls",
        "diff",
        "plot",
    ]
    assert "killed: 5 versions" in told
    assert re.search(r"saver-demo/runs: killed@4 -> saver-demo/runs: killed@16\n", told)
    assert re.search(r"\* training +\+ held out +\| saved +\^ resumed", told)


@pytest.fixture
def data(tmp_path) -> Path:
    """What the processes learn from."""
    from saver.cli._digits import Digits

    digits = Digits()
    digits.scaler.fit(digits.images)
    saver.dump(digits.scaled(), tmp_path / "data.saver")
    return tmp_path / "data.saver"


def test_a_training_is_killed_by_a_signal_that_no_process_can_catch(tmp_path, data):
    from saver.cli._resuming import Training

    training = Training(tmp_path / "runs", "killed", data, "numpy", read_along=True)
    assert next(training.reports())["start"] == 0
    training.kill()
    assert training._process.returncode == -9
    training.kill()  # once more does no harm


def test_a_training_that_fails_says_why(tmp_path, data):
    from saver.cli import Failure
    from saver.cli._resuming import Training

    training = Training(tmp_path / "runs", "killed", data, "nonsense", read_along=True)
    with pytest.raises(Failure, match=r"ended with code 1: KeyError: 'nonsense'"):
        list(training.reports())


def test_runs_that_end_differently_are_a_finding(tmp_path):
    from saver.cli import Finding
    from saver.cli._resuming import _compare
    from saver.cli._screen import Plain
    from saver.cli.demo import Tour
    from saver.training_log import TrainingLog

    store = saver.Saver(tmp_path / "runs")
    log = TrainingLog()
    for step in range(400):
        log.append(step, loss=1.0)
    for name, weight in (("whole", 1.0), ("killed", np.nextafter(1.0, 2))):
        store.save(name, {"model": {"w": np.full(100, weight)}, "log": log})
    with pytest.raises(Finding, match="killed did not end with the bits of whole"):
        _compare(store, "whole", "killed", Tour(Plain()))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_the_networks_are_all_in_their_objects(kind, data):
    pytest.importorskip(kind)
    from saver.cli._killed import NETWORKS

    network = NETWORKS[kind](saver.load(data))
    run = saver.Saver("memory://networks").checkpoints(
        kind, network.objects, every=saver.Every(steps=1000), progress=False
    )
    assert prove(run, network.train_step, steps=5)
    losses = [network.train_step(step) for step in range(200)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 3
    before = random.getstate()
    network.logits(saver.load(data)["held_out_images"])
    assert random.getstate() == before

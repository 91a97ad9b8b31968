"""`saver demo`: the tour's facts, its files, and what is said where a package is missing."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import saver
from saver.cli import program

pytest.importorskip("sklearn")


def demo(folder: Path, *arguments: str, blocked: str = "") -> subprocess.CompletedProcess[str]:
    """Run the demo as a process in `folder`; the package `blocked` cannot be imported there."""
    code = (
        "import sys; from saver.cli import main\n"
        f"sys.modules.update(dict.fromkeys({blocked.split()!r}))\n"
        "main()"
    )
    return subprocess.run(
        (sys.executable, "-c", code, "demo", *arguments),
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tour(tmp_path_factory) -> tuple[Path, str]:
    """The folder in which the demo ran whole, and what it printed."""
    folder = tmp_path_factory.mktemp("tour")
    done = demo(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_the_files_lie_where_it_says_and_nowhere_else(tour):
    folder, output = tour
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert "saver-demo/digits.saver" in found
    assert found <= {"saver-demo/digits.saver", "saver-demo/training.png"}
    assert all(name in output for name in found)


def test_the_steps_are_numbered_in_order(tour):
    assert re.findall(r"^(\d)\. ", tour[1], re.MULTILINE) == list("123456")


def test_every_epoch_has_its_line_and_the_loss_falls(tour):
    rows = re.findall(r"epoch +(\d+) +loss (\S+) +accuracy +(\S+)%  (#+)$", tour[1], re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 21))
    losses = [float(row[1]) for row in rows]
    assert losses[-1] < losses[0] / 10
    assert float(rows[-1][2]) > 96


def test_the_fresh_process_predicts_the_same_to_the_bit(tour):
    assert "450 of 450 equal" in tour[1]
    assert "4,500 of 4,500 equal, to the last bit" in tour[1]


def test_piped_output_is_plain(tour):
    assert tour[1].isascii()
    assert tour[1].replace("\n", "").isprintable()


def test_the_file_holds_scaler_model_and_log(tour):
    parts = saver.load(tour[0] / "saver-demo" / "digits.saver")
    assert list(parts) == ["scaler", "model", "log"]
    assert type(parts["scaler"]).__name__ == "MinMaxScaler"
    assert parts["log"]["epoch"] == list(range(1, 21))
    assert len({len(column) for column in parts["log"].values()}) == 1


def test_the_picture_is_a_png_of_sensible_size(tour):
    pytest.importorskip("matplotlib")
    data = (tour[0] / "saver-demo" / "training.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert 1000 <= width <= 3000
    assert 600 <= height <= 3000
    assert 20_000 < len(data) < 1_000_000


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


def test_folder_and_epochs_are_the_user_s(tmp_path):
    done = demo(tmp_path, "--folder", "a folder/b", "--epochs", "1", blocked="matplotlib")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in (tmp_path / "a folder" / "b").iterdir()] == ["digits.saver"]
    assert "saver show 'a folder/b/digits.saver'" in done.stdout


def test_without_matplotlib_there_is_no_picture_and_the_tour_says_why(tmp_path):
    done = demo(tmp_path, "--epochs", "1", blocked="matplotlib")
    assert done.returncode == 0
    assert "matplotlib is not there" in done.stdout
    assert 'pip install "saver-ml[demo]"' in done.stdout
    assert not (tmp_path / "saver-demo" / "training.png").exists()


def test_without_scikit_learn_it_says_what_to_install(tmp_path):
    done = demo(tmp_path, blocked="sklearn")
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*scikit-learn.*\n", done.stderr)
    assert 'pip install "saver-ml[demo]"' in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_misuse(tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(program, ["demo", "--folder", str(tmp_path / "file" / "below")])
    assert result.exit_code == 2
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

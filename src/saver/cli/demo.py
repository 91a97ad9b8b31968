"""`saver demo`: a guided tour on real data."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from numpy.typing import NDArray

from saver import describe, dump, load
from saver.cli import Failure, Finding, _resuming
from saver.cli._screen import Screen, screen, size

if TYPE_CHECKING:
    from saver.cli._digits import Digits

INSTALL = 'pip install "saver-ml[demo]"'

FRESH = """\
import sys, saver

parts = saver.load(sys.argv[1])
images = saver.load(sys.argv[2])
scaled = parts["scaler"].transform(images)
saver.dump({
    "labels": parts["model"].predict(scaled),
    "probabilities": parts["model"].predict_proba(scaled),
}, sys.argv[3])
"""
"""The code of the new process: model, images and answers are single files."""


@click.command()
@click.option(
    "--folder", default="saver-demo", metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path), help="The folder for the files (saver-demo).",
)  # fmt: skip
@click.option(
    "--epochs", default=20, metavar="N", type=click.IntRange(1, 1000), help="Train for N epochs (20)."
)
def command(folder: Path, epochs: int) -> None:
    """Train a model on real digits, save it whole, load it elsewhere, and compare.

    Then kill a training run in the middle, resume it, and compare again. Takes seconds, needs no network,
    and writes to one folder only.
    """
    try:
        from saver.cli._digits import Digits
    except ImportError as error:
        raise Failure(
            f"the demo trains a scikit-learn model, but scikit-learn cannot be imported ({error}): {INSTALL}"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "digits.saver"
    tour = Tour(screen())
    digits = Digits()
    _meet(digits, tour)
    _train(digits, epochs, tour)
    _save(digits, file, tour)
    _load_elsewhere(digits, file, tour)
    _look_inside(file, tour)
    _draw(digits, folder / "training.png", tour)
    _resuming.show(digits, folder, tour)
    _say_what_next(file, tour)


class Tour:
    """The numbered steps of the tour."""

    def __init__(self, on: Screen) -> None:
        self.on = on
        self._number = 0

    def step(self, title: str, *sentences: str) -> None:
        """Begin the next step and explain it, one sentence per line."""
        self._number += 1
        self.on.heading(f"{self._number}. {title}")
        for sentence in sentences:
            self.on.say(sentence)


def _meet(digits: Digits, tour: Tour) -> None:
    known, held_out = len(digits.labels), len(digits.held_out_labels)
    tour.step(
        "Real data",
        f"{known + held_out:,} handwritten digits, 8 x 8 pixels each, that come with scikit-learn.",
        f"{known:,} are for training. {held_out:,} are held out, to measure what the model learned.",
    )


def _train(digits: Digits, epochs: int, tour: Tour) -> None:
    tour.step(
        "Train",
        "A MinMaxScaler scales the pixels to 0..1, then a small neural network learns.",
        "The loss is on the training digits; the accuracy, and the bar, on the held-out digits.",
    )
    for row in digits.train(epochs):
        tour.on.bar(
            f"epoch {row['epoch']:>{len(str(epochs))}}   loss {row['loss']:.4f}"
            f"   accuracy {row['held_out_accuracy']:6.1%}",
            row["held_out_accuracy"],
        )


def _save(digits: Digits, file: Path, tour: Tour) -> None:
    tour.step(
        "Save everything in one file",
        "A model is useless without its scaler, so the file holds both, and the training log.",
    )
    tour.on.code(
        [
            'saver.dump({"scaler": scaler, "model": model, "log": log},',
            f"           {_quoted(file)})",
        ]
    )
    written = dump({"scaler": digits.scaler, "model": digits.model, "log": digits.log}, file)
    tour.on.say(f"{size(written)}, and safe on the disk: from now on it survives a power cut.")


def _load_elsewhere(digits: Digits, file: Path, tour: Tour) -> None:
    tour.step(
        "Load it in a new process",
        "Another Python process, which never saw these objects, predicts the held-out digits.",
        "Loading checks every byte against its hash and runs no code from the file.",
    )
    tour.on.code(FRESH.splitlines())
    with tempfile.TemporaryDirectory(prefix="saver-demo-") as exchange:
        images, answers = Path(exchange, "images.saver"), Path(exchange, "answers.saver")
        dump(digits.held_out_images, images)
        number = _run_fresh(file, images, answers)
        there = load(answers)
    tour.on.say(f"Process {number} answered:")
    _compare(digits, there, file, tour)


def _compare(digits: Digits, there: Mapping[str, NDArray[Any]], file: Path, tour: Tour) -> None:
    """Predict in this process too. Raises Finding unless every prediction is equal, to the bit."""
    labels, probabilities = digits.predict()
    equal_labels = int((labels == there["labels"]).sum())
    equal_bits = int((probabilities.view("u8") == there["probabilities"].view("u8")).sum())
    right = there["labels"] == digits.held_out_labels
    tour.on.facts(
        {
            "predictions": f"{equal_labels:,} of {labels.size:,} equal to those before saving",
            "probabilities": f"{equal_bits:,} of {probabilities.size:,} equal, to the last bit",
            "accuracy": f"{right.mean():.1%} on digits the model never trained on",
        }
    )
    if equal_labels < labels.size or equal_bits < probabilities.size:
        raise Finding(
            f"{file}: the model predicts differently in another process; "
            "please report this with the output of `saver show`"
        )


def _run_fresh(file: Path, images: Path, answers: Path) -> int:
    """Run `FRESH` in a new Python that imports from the same places; returns its process id."""
    process = subprocess.Popen(
        (sys.executable, "-P", "-c", FRESH, str(file), str(images), str(answers)),
        env=_resuming.variables(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, errors = process.communicate()
    if process.returncode != 0:
        last = errors.strip().rpartition("\n")[2]
        raise Failure(f"the new process ended with code {process.returncode}: {last}")
    return process.pid


def _look_inside(file: Path, tour: Tour) -> None:
    found = describe(file)
    tensors = sum(len(part.tensors) for part in found.parts)
    tour.step(
        "Look into the file",
        f"{len(found.parts)} parts and {tensors} tensors. Those of the optimizer are among them,",
        "so training could continue. Library versions, git commit and seeds are recorded too.",
    )
    tour.on.table(
        ("part", "class", ">size", ">tensors"),
        [
            (part.name, part.kind.rpartition(".")[2], size(part.bytes), str(len(part.tensors)))
            for part in found.parts
        ],
    )


def _draw(digits: Digits, picture: Path, tour: Tour) -> None:
    try:
        from saver.cli._curves import draw
    except ImportError:
        tour.step("A picture", f"matplotlib is not installed, so there is no picture: {INSTALL}")
        return
    labels, _ = digits.predict()
    draw(picture, digits.log, digits.held_out_images, digits.held_out_labels, labels)
    tour.step("A picture", f"The curves, and the digits that were predicted wrong: {picture}")


def _say_what_next(file: Path, tour: Tour) -> None:
    tour.on.heading("Try next")
    tour.on.say(f"The files are in {file.parent}.")
    tour.on.code(
        [
            shlex.join(["saver", "show", str(file)]),
            shlex.join(["python", "-c", f"import saver; print(saver.load({_quoted(file)}))"]),
        ]
    )


def _quoted(file: Path) -> str:
    return json.dumps(str(file), ensure_ascii=False)

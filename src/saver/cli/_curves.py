"""The demo's picture: the curves of the training, and some of the digits with their predictions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

SHOWN = 24
TRAINING, HELD_OUT = "#9db4c8", "#1f6feb"
RIGHT, WRONG = "#57606a", "#d1242f"
INK = "#24292f"


def draw(
    path: str | os.PathLike[str],
    log: Mapping[str, Sequence[float]],
    images: NDArray[Any],
    labels: NDArray[Any],
    predicted: NDArray[Any],
) -> None:
    """Write a PNG: loss and accuracy by epoch; digits with predictions, the wrong ones first."""
    margins = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(10, 6.8), dpi=160, layout=margins, facecolor="white")
    panels: Any = figure.subfigures(2, 1, height_ratios=(3, 1.7))
    curves, digits = panels
    loss, accuracy = curves.subplots(1, 2)
    _curve(loss, log, "loss", "Loss")
    loss.set_ylim(bottom=0)
    _curve(accuracy, log, "accuracy", "Accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    accuracy.set_ylim(top=1.005)
    last = log["held_out_accuracy"][-1]
    accuracy.annotate(
        f"{last:.1%}",
        (log["epoch"][-1], last),
        xytext=(0, -16), textcoords="offset points",
        ha="right", color=HELD_OUT, fontweight="bold",
    )  # fmt: skip
    loss.legend(frameon=False, labelcolor=INK)
    _digits(digits.subplots(2, SHOWN // 2), images, labels, predicted)
    wrong = int((labels != predicted).sum())
    digits.suptitle(
        f"{wrong} of {len(labels)} held-out digits predicted wrong (in red, with the truth in brackets)",
        color=INK, fontsize=11,
    )  # fmt: skip
    figure.savefig(path)


def _curve(axes: Axes, log: Mapping[str, Sequence[float]], name: str, title: str) -> None:
    marker = "o" if len(log["epoch"]) == 1 else None
    line: dict[str, Any] = {"linewidth": 2.2, "marker": marker, "solid_capstyle": "round"}
    axes.plot(log["epoch"], log[name], color=TRAINING, label="training", **line)
    axes.plot(log["epoch"], log[f"held_out_{name}"], color=HELD_OUT, label="held out", **line)
    axes.set_title(title, loc="left", color=INK, fontweight="bold")
    axes.set_xlabel("epoch", color=RIGHT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.tick_params(colors=RIGHT, length=0)
    axes.grid(axis="y", color="#eaeef2")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#d0d7de")


def _digits(grid: NDArray[Any], images: NDArray[Any], labels: NDArray[Any], predicted: NDArray[Any]) -> None:
    order = np.argsort(labels == predicted, kind="stable")
    for axes, index in zip(grid.flat, order, strict=False):
        right = labels[index] == predicted[index]
        axes.imshow(images[index].reshape(8, 8), cmap="gray_r", interpolation="nearest")
        text = f"{predicted[index]}" if right else f"{predicted[index]} ({labels[index]})"
        axes.set_title(text, color=RIGHT if right else WRONG, fontsize=10, pad=3)
    for axes in grid.flat:
        axes.axis("off")

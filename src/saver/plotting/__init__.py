"""The curves of runs: as a picture (`plot`, which takes matplotlib), or as text (`charts`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from saver.errors import IncompatibleError, NotFoundError
from saver.plotting.lines import check_smooth
from saver.plotting.panels import PANELS, Curves, Panel, panels
from saver.plotting.text import Chart, Span, charts

__all__ = ["PANELS", "Chart", "Curves", "Panel", "Span", "charts", "panels", "plot"]

SUFFIXES = (".png", ".svg", ".pdf")


def plot(
    runs: Mapping[str, Curves],
    path: str | os.PathLike[str],
    metrics: Iterable[str] | None = None,
    smooth: float | None = None,
) -> None:
    """Draw runs, by name, into one picture: PNG, SVG or PDF by the path's suffix; durably, or nothing.

    A metric of training and the same of validation (`loss` and `val_loss`, `train/acc` and `valid/acc`,
    `held_out_loss`) share a panel; dots below it say where a run with a curve there was saved, and triangles
    where it was resumed; there are none for more than five runs, and one for saves that lie close together.
    Curves that lie on each other are drawn in turns, piece by piece. What is not finite leaves a gap. An axis
    is logarithmic where most of a positive curve would lie in the lowest tenth of it otherwise.

    `metrics` chooses some by name; `loss` alone stands for its whole panel. `smooth`, from 0 to below 1, is
    the weight of the past in an exponential moving average, as in TensorBoard; the values themselves stay as
    a shadow behind it. Without it, only what is too noisy to read gets an average, over about a hundredth of
    the picture; 0 draws the values alone. At most 24 panels are drawn.

    Raises IncompatibleError for other suffixes and where matplotlib is missing, NotFoundError where there is
    nothing to draw, and CannotWriteError.
    """
    target = os.fspath(path)
    suffix = os.path.splitext(target)[1].lower()
    if suffix not in SUFFIXES:
        raise IncompatibleError(
            f"{target}: a picture is {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}; name it so"
        )
    check_smooth(smooth)
    found = panels(runs, metrics)
    if not found:
        raise NotFoundError("there is nothing to draw: no metric has been logged; see TrainingLog.append")
    try:
        from saver.plotting.picture import draw
    except ImportError as error:
        raise IncompatibleError(
            f'{target}: drawing takes matplotlib, which is not there ({error}); pip install "saver-ml[plot]"'
        ) from error
    draw(runs, found, target, suffix[1:], smooth)

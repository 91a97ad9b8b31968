"""The curves of runs: as a picture (`plot`, which needs matplotlib), or as text (`charts`)."""

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
    """Draw runs, by name, into one picture: PNG, SVG or PDF by the path's suffix. It is written durably, or
    not at all.

    A metric of training and the same metric of validation (`loss` and `val_loss`, `train/acc` and
    `valid/acc`, `held_out_loss`) share a panel. Dots below it show where a run with a curve there was saved,
    and triangles where it was resumed; more than five runs have none, and saves close to each other share
    one. Curves that coincide are drawn in turns, piece by piece. Values that are not finite leave a gap. An
    axis is logarithmic if most of a positive curve would otherwise be in its lowest tenth.

    `metrics` chooses some by name; `loss` alone stands for its whole panel. `smooth`, from 0 to below 1, is
    the weight of the past in an exponential moving average, as in TensorBoard; the values themselves are
    drawn as a shadow behind it. Without it, only curves that are too noisy to read are averaged, over about
    a hundredth of the picture; 0 draws only the values. At most 24 panels are drawn.

    Raises IncompatibleError for other suffixes and if matplotlib is missing, NotFoundError if there is
    nothing to draw, and CannotWriteError.
    """
    target = os.fspath(path)
    suffix = os.path.splitext(target)[1].lower()
    if suffix not in SUFFIXES:
        raise IncompatibleError(
            f"{target}: pictures are {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}; use one of these suffixes"
        )
    check_smooth(smooth)
    found = panels(runs, metrics)
    if not found:
        raise NotFoundError("there is nothing to draw: no metric has been logged; see TrainingLog.append")
    try:
        from saver.plotting.picture import draw
    except ImportError as error:
        raise IncompatibleError(
            f'{target}: drawing needs matplotlib, which is missing ({error}); pip install "saver-ml[plot]"'
        ) from error
    draw(runs, found, target, suffix[1:], smooth)

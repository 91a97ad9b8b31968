"""Curves as pictures and as text: which share a panel, what is left of many points, what one sees."""

from __future__ import annotations

import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver.plotting import PANELS, Chart, charts, panels
from saver.plotting.lines import (
    averaged,
    axis_name,
    decades,
    isolated,
    smoothed,
    step_text,
    thinned,
    ticks,
    usual_gap,
    value_texts,
    wants_log,
)
from saver.plotting.marks import MARKED, spaced
from saver.plotting.panels import role_of
from saver.plotting.text import NARROWEST
from saver.plotting.turns import Turn, turns
from saver.training_log import TrainingLog

numbers = st.floats(allow_nan=True, allow_infinity=True)


def log_of(steps: int = 50, **metrics: Any) -> TrainingLog:
    """A log whose metrics are functions of the step."""
    log = TrainingLog()
    for step in range(steps):
        log.append(step, time=0.0, **{name: function(step) for name, function in metrics.items()})
    return log


def falling(step: int) -> float:
    return 1 - step / 100


# Panels


@pytest.mark.parametrize(
    ("name", "measured", "role"),
    [
        ("loss", "loss", ""),
        ("val_loss", "loss", "validation"),
        ("valid_loss", "loss", "validation"),
        ("validation.loss", "loss", "validation"),
        ("held_out_loss", "loss", "held out"),
        ("train/loss", "loss", "training"),
        ("Train/Acc", "Acc", "training"),
        ("loss/val", "loss", "validation"),
        ("test accuracy", "accuracy", "test"),
        ("eval_loss", "loss", "evaluation"),
        ("value_loss", "value_loss", ""),
        ("training", "training", ""),
        ("val_", "val_", ""),
        ("latest_loss", "latest_loss", ""),
    ],
)
def test_a_name_says_what_was_measured_on_which_data(name: str, measured: str, role: str) -> None:
    assert role_of(name) == (measured, role)


def roles(*names: str, metrics: Any = None) -> list[tuple[str, dict[str, str]]]:
    log = log_of(2, **dict.fromkeys(names, falling))
    found = panels({"": log}, metrics)
    return [(panel.title, {curve.metric: curve.role for curve in panel.curves}) for panel in found]


def test_training_and_validation_of_the_same_metric_share_a_panel() -> None:
    assert roles("loss", "lr", "val_loss", "held_out_acc", "train/acc") == [
        ("loss", {"loss": "training", "val_loss": "validation"}),
        ("lr", {"lr": ""}),
        ("acc", {"train/acc": "training", "held_out_acc": "held out"}),
    ]


def test_a_metric_without_a_partner_keeps_its_name() -> None:
    assert roles("val_loss") == [("val_loss", {"val_loss": ""})]


def test_training_is_what_others_are_compared_with() -> None:
    log = log_of(
        2, loss=falling, val_loss=falling, test_loss=falling, lr=falling, val_acc=falling, test_acc=falling
    )
    ranks = {curve.metric: curve.rank for panel in panels({"": log}) for curve in panel.curves}
    assert ranks == {"loss": 0, "val_loss": 1, "test_loss": 2, "lr": 1, "val_acc": 1, "test_acc": 2}


def test_where_roles_say_too_little_names_do() -> None:
    assert roles("loss", "train_loss", "val_loss") == [
        ("loss", {"train_loss": "training", "loss": "loss", "val_loss": "validation"})
    ]
    assert roles("val_loss", "valid_loss", "loss")[0][1] == {
        "loss": "training", "val_loss": "val_loss", "valid_loss": "valid_loss",
    }  # fmt: skip


def test_metrics_are_chosen_by_name_and_a_plain_name_is_a_whole_panel() -> None:
    names = ("loss", "val_loss", "lr", "val_acc")
    assert roles(*names, metrics=["lr", "loss"]) == [
        ("lr", {"lr": ""}),
        ("loss", {"loss": "training", "val_loss": "validation"}),
    ]
    assert roles(*names, metrics=["val_loss"]) == [("val_loss", {"val_loss": ""})]
    assert roles(*names, metrics="acc") == [("val_acc", {"val_acc": ""})]
    with pytest.raises(saver.NotFoundError, match="no run has a metric 'los'; choose from loss, val_loss"):
        roles(*names, metrics=["los"])


def test_several_runs_share_panels_whatever_each_of_them_has() -> None:
    runs = {"a": log_of(loss=falling), "b": log_of(loss=falling, val_loss=falling)}
    (panel,) = panels(runs)
    assert [(curve.run, curve.role) for curve in panel.curves] == [
        ("a", "training"), ("b", "training"), ("b", "validation"),
    ]  # fmt: skip


# Points


@given(st.lists(st.tuples(st.integers(0, 40), numbers), max_size=300).map(sorted), st.integers(1, 12))
def test_few_points_look_like_all_of_them(points: list[tuple[int, float]], columns: int) -> None:
    steps = np.array([step for step, _ in points], np.int64)
    values = np.array([value for _, value in points], np.float64)
    few, left = thinned(steps, values, 0, 40, columns)
    pairs = list(zip(steps.tolist(), values.view("u8").tolist(), strict=True))
    rest = iter(pairs)
    assert all(pair in rest for pair in zip(few.tolist(), left.view("u8").tolist(), strict=True)), "in order"
    assert len(few) <= 5 * (columns + 1) or len(few) == len(steps)
    for column in range(columns + 1):
        there = np.floor(steps * (columns / 40)) == column
        here = np.floor(few * (columns / 40)) == column
        known, kept = values[there], left[here]
        assert here.any() == there.any()
        known, kept = known[np.isfinite(known)], kept[np.isfinite(kept)]
        assert len(kept) > 0 or len(known) == 0
        if len(known):
            for of in (np.min, np.max, lambda some: some[0], lambda some: some[-1]):
                assert of(known) == of(kept)


def test_a_million_points_become_few_and_gaps_stay_gaps() -> None:
    steps = np.arange(1_000_000)
    values = np.sin(steps)
    values[400_000:500_000] = np.nan
    values[700_000] = np.inf
    few, left = thinned(steps, values, 0, 999_999, 1000)
    assert len(few) < 5000
    bare = ~np.isfinite(left)
    assert ((few[bare] >= 400_000) & (few[bare] < 500_000)).all()
    assert bare.sum() == 100


@given(st.lists(numbers, max_size=30))
def test_a_point_is_isolated_when_no_line_leads_to_it(values: list[float]) -> None:
    known = [False, *np.isfinite(values).tolist(), False] if values else [False, False]
    wanted = [known[at] and not known[at - 1] and not known[at + 1] for at in range(1, len(values) + 1)]
    assert isolated(np.array(values, np.float64)).tolist() == wanted


def test_an_average_follows_noise_and_leaves_gaps() -> None:
    steps = np.arange(2000)
    noise = np.random.default_rng(0).standard_normal(2000)
    noise[500:600] = np.nan
    found = smoothed(steps, 5 + noise, 0.99, 1.0)
    assert np.isnan(found[500:600]).all()
    assert np.nanmax(np.abs(found[200:] - 5)) < 0.5
    assert np.allclose(smoothed(steps, np.full(2000, 3.0), 0.99, 1.0), 3)
    assert found[0] == 5 + noise[0]
    assert np.array_equal(smoothed(steps, noise, 0.0, 1.0), noise, equal_nan=True)


def test_curves_of_few_points_are_averaged_over_the_same_steps() -> None:
    """Not over as many points: validation each 100 steps would be dragged far behind its training."""
    steps = np.arange(10_000)
    values = np.exp(-steps / 2000)
    assert usual_gap([steps, steps[::100]]) == 1
    dense, sparse = smoothed(steps, values, 0.99, 1.0), smoothed(steps[::100], values[::100], 0.99, 1.0)
    assert np.abs(dense[::100] - sparse)[5:].max() < 0.05
    assert np.abs(sparse - values[::100]).max() < 0.1


def test_noise_is_averaged_unasked_and_nothing_else() -> None:
    steps, ends = np.arange(5000), (0, 4999)
    smooth = np.exp(-steps / 1000)
    noisy = smooth * (1 + 0.2 * np.random.default_rng(0).standard_normal(5000))
    assert averaged(steps, smooth, None, 1.0, ends) is None
    average = averaged(steps, noisy, None, 1.0, ends)
    assert average is not None
    assert np.abs(average - smooth)[200:].max() < 0.1
    assert averaged(steps, noisy, 0.0, 1.0, ends) is None
    assert averaged(steps, smooth, 0.5, 1.0, ends) is not None
    assert averaged(steps[:20], noisy[:20], None, 1.0, (0, 19)) is None


def curve(values: Any, every: int = 1) -> tuple[Any, Any]:
    return np.arange(len(values)) * every, np.array(values, np.float64)


def test_curves_that_lie_on_each_other_take_turns() -> None:
    noise = np.random.default_rng(0).standard_normal(3000)
    forked = np.where(np.arange(3000) < 2000, noise, noise + 1)
    longer = np.concatenate([noise, noise])
    assert turns([curve(noise), curve(noise + 1), curve(noise)]) == [Turn(0, 2), Turn(0, 1), Turn(1, 2)]
    assert turns([curve(noise), curve(longer), curve(forked)]) == [Turn(1, 3), Turn(0, 3), Turn(2, 3)]
    early = np.where(np.arange(3000) < 1000, noise, noise + 1)
    assert turns([curve(noise), curve(early)]) == [Turn(0, 1)] * 2, "most of it can be seen"
    assert turns([curve(noise), curve(noise, 2)]) == [Turn(0, 1)] * 2, "at other steps"
    nothing = np.full(3000, np.nan)
    assert turns([curve(nothing), curve(nothing), curve([])]) == [Turn(0, 1)] * 3
    assert turns([]) == []


@given(st.lists(st.integers(0, 100)), st.integers(0, 30))
def test_marks_lie_apart_and_none_is_far_from_one(steps: list[int], gap: int) -> None:
    kept = spaced(steps, gap)
    assert set(kept) <= set(steps)
    assert kept[:1] == sorted(steps)[-1:]
    assert all(one - other >= gap for one, other in pairwise(kept))
    assert all(any(0 <= mark - step < max(gap, 1) for mark in kept) for step in steps)


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [
        (np.geomspace(1, 1e-4, 50), True),
        (np.linspace(1, 1e-4, 50), False),
        (np.geomspace(1, 0.1, 50), False),
        (1 - np.geomspace(1, 1e-4, 50) + 1e-3, False),
        (np.geomspace(1, 1e-4, 50) - 1e-3, False),
        (np.array([np.nan, np.inf]), False),
        (np.array([5e-324, 5e-324, 1.0]), False),
        (np.array([]), False),
    ],
)
def test_an_axis_is_logarithmic_where_most_would_be_squeezed_otherwise(
    values: Any, logarithmic: bool
) -> None:
    assert wants_log([values]) is logarithmic


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 10))
def test_ticks_are_few_round_numbers_within(low: float, extent: float, count: int) -> None:
    extent = max(extent, abs(low) * 1e-9)
    high = low + extent
    found = ticks(low, high, count)
    assert count / 2.6 - 1 <= len(found) <= count + 1
    slack = extent * 1e-5
    assert all(low - slack <= tick <= high + slack for tick in found)
    assert len(set(found)) == len(found)


def test_the_ticks_of_a_logarithmic_axis_are_powers_of_ten() -> None:
    assert decades(0.02, 500, 6) == [0.1, 1, 10, 100]
    assert decades(1e-9, 1e9, 4) == [1e-9, 1e-4, 10, 1e6]


def test_steps_and_values_are_written_shortly() -> None:
    assert list(map(step_text, (0, 750, 1500, 20_000, 2_500_000, 3e9))) == [
        "0",
        "750",
        "1.5k",
        "20k",
        "2.5M",
        "3G",
    ]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.25, -0.0, 1500, 0.1 + 0.2], ["0.25", "0", "1500", "0.3"]),
        ([1e-21, 1e-7, 1, 1e7, 1e14], ["1e-21", "1e-7", "1e0", "1e7", "1e14"]),
        ([1e-5, 1e-4, 0.001, 0.01], ["0.00001", "0.0001", "0.001", "0.01"]),
        ([1e-6, 0.001], ["1e-6", "1e-3"]),
        ([0, 2e28, 4e28], ["0", "2e28", "4e28"]),
        ([0, 1.5e-7, 3e-7], ["0", "1.5e-7", "3e-7"]),
        ([100000001, 100000002], ["100000001", "100000002"]),
        ([-1e20, 1e20], ["-1e20", "1e20"]),
        ([], []),
    ],
)
def test_the_ticks_of_an_axis_are_written_alike(values: list[float], texts: list[str]) -> None:
    assert value_texts(values) == texts


def test_the_axis_counts_epochs_where_steps_are_epochs() -> None:
    log, other = TrainingLog(), TrainingLog()
    for epoch in range(1, 4):
        log.append(epoch, epoch=epoch, loss=1.0)
        other.append(epoch * 10, epoch=epoch, loss=1.0)
    assert axis_name({"": log}) == "epoch"
    assert axis_name({"": other}) == "step"
    log.append(4, loss=1.0)
    assert axis_name({"": log}) == "step"


# Pictures


def training_log(seed: int = 0, steps: int = 300, noise: float = 0.0) -> TrainingLog:
    """A run with validation every 10 steps, saved every 100, and resumed once."""
    generator = np.random.default_rng(seed)
    log = TrainingLog()
    for step in range(steps):
        loss = float(np.exp(-step / 100) + seed / 10 + noise * generator.standard_normal())
        log.append(step, time=0.0, loss=loss, lr=1e-3, val_loss=loss + 0.1 if step % 10 == 0 else None)
        if step % 100 == 99:
            log.mark("saved", step, f"run@{step}", time=0.0)
    log.mark("resumed", 150, time=0.0)
    return log


@pytest.fixture
def matplotlib() -> Any:
    return pytest.importorskip("matplotlib")


@pytest.mark.slow
@pytest.mark.usefixtures("matplotlib")
@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_the_suffix_says_what_is_written_and_equal_logs_give_equal_pictures(
    suffix: str, begins: bytes, tmp_path: Path
) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    training_log(noise=0.1).plot(first)
    training_log(noise=0.1).plot(second)
    assert first.read_bytes().startswith(begins)
    if suffix != "svg":  # its ids are drawn by lot
        assert first.read_bytes() == second.read_bytes()
    training_log(1).plot(second)
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("matplotlib")
def test_a_picture_has_a_sensible_size_and_leaves_no_state_of_pyplot(tmp_path: Path) -> None:
    code = """
import sys
from saver.training_log import TrainingLog
log = TrainingLog()
log.append(1, loss=1.0)
log.plot("one.png")
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run(
        (sys.executable, "-W", "error", "-c", code), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    width, height = struct.unpack(">II", (tmp_path / "one.png").read_bytes()[16:24])
    assert (width, height) == (1200, 800)


def figure_of(runs: dict[str, TrainingLog], metrics: Any = None, smooth: float | None = None) -> Any:
    from saver.plotting.picture import _figure

    figure = _figure(runs, panels(runs, metrics), smooth)
    figure.draw_without_rendering()
    return figure


def marks_of(axes: Any) -> dict[tuple[str, str], list[int]]:
    """The steps of the marks below the axis, by colour and form."""
    lanes = (line for line in axes.lines if not line.get_clip_on())
    return {(line.get_color(), line.get_marker()): list(line.get_xdata()) for line in lanes}


def legend_of(figure: Any) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.usefixtures("matplotlib")
def test_one_run_has_a_panel_for_each_metric_and_a_legend_of_roles_and_marks() -> None:
    figure = figure_of({"": training_log()})
    assert [axes.get_title("left") for axes in figure.axes] == ["loss", "lr"]
    assert legend_of(figure) == ["training", "validation", "saved", "resumed"]
    assert figure.legends[0].get_title().get_text() == ""
    assert [axes.get_xlabel() for axes in figure.axes] == ["step", "step"]
    loss = figure.axes[0]
    assert marks_of(loss) == {("#0072b2", "o"): [299, 199, 99], ("#0072b2", "^"): [150]}
    curves = [line for line in loss.lines if len(line.get_xdata()) > 3]
    assert [len(line.get_xdata()) for line in curves] == [300, 30]


@pytest.mark.usefixtures("matplotlib")
def test_several_runs_are_distinguished_by_colour_and_named_as_they_are() -> None:
    names = ["_private", "$x^2$", "a/" + "b" * 60, "bell\a", "100%"]
    figure = figure_of({name: training_log(at) for at, name in enumerate(names)}, ["loss"])
    assert legend_of(figure) == [
        "_private", "$x^2$", f"a/{'b' * 17}…{'b' * 20}", "bell\\x07", "100%",
        "training", "validation", "saved", "resumed",
    ]  # fmt: skip
    handles = figure.legends[0].legend_handles
    assert len({handle.get_color() for handle in handles[:5]}) == 5
    (axes,) = figure.axes
    lanes = {color for color, marker in marks_of(axes) if marker == "o"}
    assert lanes == {handle.get_color() for handle in handles[:5]}
    assert figure.get_supxlabel() == ""


@pytest.mark.usefixtures("matplotlib")
def test_the_name_of_a_single_run_is_the_title() -> None:
    figure = figure_of({"run-7": training_log()})
    assert figure.legends[0].get_title().get_text() == "run-7"
    assert legend_of(figure)[0] == "training"


@pytest.mark.usefixtures("matplotlib")
def test_more_runs_than_colours_are_still_different() -> None:
    figure = figure_of({f"run-{at}": log_of(loss=lambda step, at=at: falling(step) + at) for at in range(20)})
    styles = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(styles) == 20


@pytest.mark.usefixtures("matplotlib")
def test_a_gap_is_drawn_as_one_and_a_lonely_point_as_a_dot() -> None:
    values = [1.0, 2.0, float("nan"), 3.0, float("inf"), 4.0, 5.0]
    figure = figure_of({"": log_of(7, loss=lambda step: values[step])})
    line, dots = figure.axes[0].lines
    assert np.isnan(line.get_ydata()[[2, 4]]).all()
    assert (list(dots.get_xdata()), dots.get_marker()) == ([3], "o")


@pytest.mark.usefixtures("matplotlib")
def test_decades_are_drawn_on_a_logarithmic_axis() -> None:
    figure = figure_of({"": log_of(loss=lambda step: 10 ** (-step / 10), acc=falling)})
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert {"1", "0.1", "0.01"} <= set(labels)
    assert [axes.get_title("right") for axes in figure.axes] == ["logarithmic", ""]


@pytest.mark.usefixtures("matplotlib")
def test_the_ticks_of_many_decades_are_powers_of_ten() -> None:
    (axes,) = figure_of({"": log_of(loss=lambda step: 10.0 ** (step - 20))}).axes
    labels = {text.get_text() for text in axes.get_yticklabels()}
    exponents = sorted(
        int(label.removeprefix("1e")) for label in labels if label
    )  # which, matplotlib decides
    assert len(exponents) >= 4
    assert exponents[0] < 0 < 15 < exponents[-1]


@pytest.mark.usefixtures("matplotlib")
def test_of_equal_runs_both_can_be_seen() -> None:
    (axes,) = figure_of({"whole": training_log(), "killed": training_log()}, ["loss"]).axes
    curves = [line for line in axes.lines if line.get_clip_on()]
    assert [line.get_linestyle() for line in curves] == ["-", "--", "-", "--"]
    assert [line.get_color() for line in curves[2:]] == ["#0072b2", "#d55e00"]
    assert all(line.get_alpha() is None for line in curves), "colours that mix are those of nobody"
    for below, above in (curves[:2], curves[2:]):
        assert below.get_zorder() < above.get_zorder()
    assert len({line.get_color() for line in curves}) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("matplotlib")
def test_the_pieces_of_equal_curves_are_all_there() -> None:
    """Drawn for real: each of five runs that are equal has its colour in the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb

    figure = figure_of({f"run-{at}": log_of(loss=falling) for at in range(5)})
    colors = {line.get_color() for line in figure.axes[0].lines}
    (legend,) = figure.legends
    legend.remove()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    seen = {tuple(color) for color in np.asarray(canvas.buffer_rgba())[..., :3].reshape(-1, 3).tolist()}
    assert len(colors) == 5
    assert {tuple(round(255 * part) for part in to_rgb(color)) for color in colors} <= seen


@pytest.mark.usefixtures("matplotlib")
def test_marks_stand_in_the_panels_where_their_run_has_a_curve() -> None:
    one, other, empty = log_of(loss=falling), log_of(lr=falling), log_of(loss=lambda step: float("nan"))
    for log in (one, other, empty):
        log.mark("saved", 20)
    empty.mark("resumed", 20)
    figure = figure_of({"one": one, "other": other, "empty": empty})
    assert [list(marks_of(axes)) for axes in figure.axes] == [[("#0072b2", "o")], [("#d55e00", "o")]]
    assert legend_of(figure) == ["one", "other", "empty", "saved"]


@pytest.mark.usefixtures("matplotlib")
def test_of_too_many_runs_no_marks_are_drawn_and_that_is_said() -> None:
    def runs(count: int) -> dict[str, TrainingLog]:
        return {f"run-{at}": training_log(at) for at in range(count)} | {"bare": log_of(loss=falling)}

    assert len(marks_of(figure_of(runs(MARKED)).axes[0])) == 2 * MARKED
    figure = figure_of(runs(MARKED + 1))
    assert all(marks_of(axes) == {} for axes in figure.axes)
    assert figure.get_supxlabel() == "6 runs are too many to mark where each was saved"
    assert "saved" not in legend_of(figure)


@pytest.mark.usefixtures("matplotlib")
def test_saves_in_close_succession_are_one_mark_and_that_is_said() -> None:
    log = log_of(2000, loss=falling)
    for step in (100, *range(1500, 1515), 1999):
        log.mark("saved", step)
    figure = figure_of({"": log})
    assert marks_of(figure.axes[0]) == {("#0072b2", "o"): [1999, 1514, 100]}
    assert figure.get_supxlabel() == "not every save is marked, because some are too close to each other"


@pytest.mark.usefixtures("matplotlib")
def test_what_was_never_finite_is_said_to_be() -> None:
    nothing = float("inf")
    (axes,) = figure_of({"": log_of(loss=lambda step: nothing)}).axes
    assert (axes.get_title("right"), list(axes.get_yticks())) == ("no finite values", [])
    log = log_of(loss=falling, val_loss=lambda step: nothing)
    (axes,) = figure_of({"": log}).axes
    assert axes.get_title("right") == "no finite values: validation"
    (axes,) = figure_of({"a": log, "b": log_of(loss=falling)}).axes
    assert axes.get_title("right") == "no finite values: a validation"
    many = {f"run-{at}": log_of(loss=lambda step: nothing) for at in range(3)}
    (axes,) = figure_of({"a": log_of(loss=falling)} | many).axes
    assert axes.get_title("right") == "no finite values: 3 of 4 curves"


@pytest.mark.usefixtures("matplotlib")
def test_the_last_panel_of_each_column_names_the_axis() -> None:
    figure = figure_of({"": log_of(3, **dict.fromkeys("abcde", falling))})
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "step", "step", "step", ""]


@pytest.mark.usefixtures("matplotlib")
def test_a_legend_lies_within_the_picture() -> None:
    for count in (4, 13):
        names = [f"a-rather-long-run-name-with-lr-0.00{at}" if at % 3 else f"run-{at}" for at in range(count)]
        figure = figure_of({name: training_log(at) for at, name in enumerate(names)})
        box = figure.legends[0].get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert all(axes.get_window_extent().height > 200 for axes in figure.axes)


@pytest.mark.usefixtures("matplotlib")
def test_noise_is_a_shadow_behind_its_average() -> None:
    figure = figure_of({"": training_log(noise=0.1, steps=3000)}, ["loss"])
    shadow, average = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 1000]
    assert shadow.get_alpha() < 1
    assert average.get_alpha() is None
    assert np.std(np.diff(average.get_ydata())) < np.std(np.diff(shadow.get_ydata())) / 5


@pytest.mark.slow
@pytest.mark.usefixtures("matplotlib")
def test_no_more_panels_are_drawn_than_can_be_read() -> None:
    names = [f"m{at:03}" for at in range(200)]
    figure = figure_of({"": log_of(3, **dict.fromkeys(names, falling))})
    assert sum(bool(axes.get_title("left")) for axes in figure.axes) == PANELS
    assert "and 176 more panels" in figure.get_supxlabel()


@pytest.mark.slow
@pytest.mark.usefixtures("matplotlib")
@pytest.mark.parametrize(
    "values",
    [
        [1.7e308, -1.7e308, 5e-324], [5e-324, 1.7e308], [float("nan")] * 3, [0.0], [1e-300, 1e-299],
        [float("inf"), 1.0], [-0.0, 0.0], [1e150, 1e-150, 1e-150],
    ],
)  # fmt: skip
def test_whatever_was_logged_can_be_drawn(values: list[float], tmp_path: Path) -> None:
    log = TrainingLog()
    for at, value in enumerate(values):
        log.append(at * 10**14, loss=value)
    for smooth in (None, 0.9):
        log.plot(tmp_path / "odd.png", smooth=smooth)
        assert charts({"": log}, panels({"": log}), 40, False, smooth)


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    log = training_log()
    with pytest.raises(saver.IncompatibleError, match=r"a\.gif: pictures are \.png, \.svg or \.pdf"):
        log.plot(tmp_path / "a.gif")
    with pytest.raises(saver.NotFoundError, match="no run has a metric 'lossy'"):
        log.plot(tmp_path / "a.png", ["lossy"])
    with pytest.raises(saver.NotFoundError, match="no metric has been logged"):
        TrainingLog().plot(tmp_path / "a.png")
    with pytest.raises(ValueError, match="smooth=1 is not a weight; pass a number from 0"):
        log.plot(tmp_path / "a.png", smooth=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("matplotlib")
def test_where_it_cannot_be_written_the_old_picture_stays(tmp_path: Path) -> None:
    with pytest.raises(saver.CannotWriteError, match="create the folder"):
        training_log().plot(tmp_path / "nowhere" / "a.png")


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys, saver
from saver.training_log import TrainingLog
sys.modules["matplotlib"] = None
log = TrainingLog()
log.append(1, loss=1.0)
try:
    log.plot("a.png")
except saver.IncompatibleError as error:
    print(error)
"""
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert 'pip install "saver-ml[plot]"' in done.stdout
    assert list(tmp_path.iterdir()) == []


# Text


def lines_of(chart: Chart) -> list[str]:
    return ["".join(piece.text for piece in line) for line in chart.lines]


def drawn(log: TrainingLog, width: int = 60, fine: bool = False) -> list[str]:
    (chart,) = charts({"": log}, panels({"": log}), width, fine)
    return lines_of(chart)


def test_a_falling_line_falls_from_the_upper_left_to_the_lower_right() -> None:
    rows = [line.partition("|")[2] or line.partition("+")[2] for line in drawn(log_of(loss=falling))[:12]]
    places = [row.index("*") for row in rows]
    assert places == sorted(places)
    assert (places[0], len(rows[-1])) == (0, max(map(len, rows)))
    assert rows[0].strip("*") == ""
    assert not rows[-1][: places[-1]].strip()


def test_the_text_has_axes_marks_and_a_legend() -> None:
    log = training_log()
    first, second = charts({"": log}, panels({"": log}), 70, False)
    assert (first.title, second.title) == ("loss", "lr")
    lines = lines_of(first)
    assert len(lines) == 15
    assert any(line.startswith("  1 +") for line in lines)
    axis, labels, legend = lines[-3:]
    assert (axis.count("|"), axis.count("^")) == (3, 1)
    assert labels.split() == ["0", "50", "100", "150", "200", "250", "step"]
    assert legend == "* training   + validation   | saved   ^ resumed"
    assert axis.index("^") == pytest.approx(labels.index("150") + 1, abs=1)


def test_a_logarithmic_axis_says_so_and_has_powers_of_ten() -> None:
    log = log_of(loss=lambda step: 10 ** (-step / 10))
    (chart,) = charts({"": log}, panels({"": log}), 60, False)
    assert chart.title == "loss, logarithmic"
    labels = {line.partition("+")[0].strip() for line in lines_of(chart)[:12]}
    assert {"1", "0.1", "0.01", "0.001"} <= labels


def test_gaps_are_gaps_in_text_too() -> None:
    rows = drawn(log_of(100, loss=lambda step: 1.0 if not 40 <= step < 60 else float("nan")))[:12]
    (row,) = [line.partition("+")[2] or line.partition("|")[2] for line in rows if "*" in line]
    left, middle, right = row.partition(row.strip("*"))
    assert 8 < len(middle) < 14
    assert abs(len(left) - len(right)) <= 2


@given(
    st.lists(st.lists(numbers, min_size=1, max_size=60), min_size=1, max_size=4),
    st.integers(1, 150), st.booleans(), st.sampled_from([None, 0.0, 0.9]),
)  # fmt: skip
def test_text_fits_and_steers_nothing(curves: Any, width: int, fine: bool, smooth: float | None) -> None:
    runs = {}
    for at, values in enumerate(curves):
        log = TrainingLog()
        for step, value in enumerate(values):
            log.append(step * 7, **{"loss": value, "\u202e"[:0] + "val_loss": -value if at % 2 else None})
        log.mark("sa ved", 3)
        runs[f"run\x1b{at}"] = log
    for chart in charts(runs, panels(runs), width, fine, smooth):
        lines = lines_of(chart)
        labels = max(line.index(side) for line in lines[:12] for side in "│┤|+" if side in line)
        longest = max(width, labels + 1 + NARROWEST, len("% run\\x1b0 validation") + 1)
        assert all(len(line) <= longest for line in lines)
        assert all(line.isprintable() for line in lines)
        assert fine or all(line.isascii() for line in lines)


def test_each_curve_has_a_colour_and_a_character_of_its_own() -> None:
    runs = {"a": log_of(loss=falling), "b": log_of(loss=lambda step: 2 - falling(step))}
    (fine,) = charts(runs, panels(runs), 60, True)
    inks = {
        piece.ink
        for line in fine.lines[:12]
        for piece in line
        if piece.text.strip() and piece.ink is not None
    }
    assert inks == {0, 1}
    assert lines_of(fine)[-1] == "━━ a   ━━ b"
    (plain,) = charts(runs, panels(runs), 60, False)
    assert lines_of(plain)[-1] == "* a   + b"
    assert {"*", "+"} <= set("".join(lines_of(plain)[:12]))


def test_of_equal_runs_both_can_be_seen_in_text_too() -> None:
    runs = {"whole": training_log(), "killed": training_log()}
    (plain,) = charts(runs, panels(runs, ["lr"]), 60, False)
    (row,) = [line for line in lines_of(plain)[:12] if "*" in line]
    assert "**++**++**" in row
    (fine,) = charts(runs, panels(runs, ["lr"]), 60, True)
    inks = [piece.ink for line in fine.lines[:12] for piece in line if piece.ink is not None]
    assert inks[:4] == [0, 1, 0, 1]


def test_of_several_runs_each_has_a_line_for_its_marks() -> None:
    runs = {"a": training_log(), "b": training_log(1), "bare": log_of(loss=falling)}
    runs["b"].mark("best", 0, time=0.0)
    (chart,) = charts(runs, panels(runs, ["val_loss"]), 60, False)
    axis, one, other, labels, legend = lines_of(chart)[12:]
    assert set(axis.strip()) == {"+", "-"}
    assert (one.split()[0], "".join(one.split()[1:])) == ("*", "|^|")
    assert (other.split()[0], "".join(other.split()[1:])) == ("+", "!|^|")
    assert one.index("^") == other.index("^")
    assert one.index("|") == pytest.approx(labels.index("100") + 1, abs=1)
    assert legend == "* a   + b   | saved   ^ resumed   ! best"
    many = {f"run-{at}": training_log(at) for at in range(MARKED + 1)}
    (chart,) = charts(many, panels(many, ["lr"]), 60, False)
    lines = lines_of(chart)
    assert lines[13].split()[-1] == "step"
    assert lines[-1].endswith("6 runs are too many to mark where each was saved")


def test_what_was_never_finite_is_said_in_text_too() -> None:
    runs = {"": log_of(loss=lambda step: float("nan"))}
    (chart,) = charts(runs, panels(runs), 60, False)
    assert chart.title == "loss, no finite values"
    assert "1" not in "".join(lines_of(chart)[:12])

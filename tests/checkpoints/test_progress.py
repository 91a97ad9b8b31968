"""The line for a person: what it tells, and that it never gets in the way of what others print."""

from __future__ import annotations

import io
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver.checkpoints import Progress
from saver.checkpoints.progress import SMOOTHING, Cost, Pace, ago, rate_text, status
from saver.line import INTERVAL, Line, columns, fitting, line
from saver.repo.version import Version
from saver.storages.memory import MemoryStorage


class Terminal(io.StringIO):
    """A terminal that remembers what was written to it. `screen` is what a person sees."""

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        rows, at = [[]], 0
        for char in self.getvalue():
            if char == "\n":
                rows.append([])
                at = 0
            elif char == "\r":
                at = 0
            else:
                rows[-1][at : at + 1] = char
                at += 1
        return ["".join(row).rstrip() for row in rows]


@contextmanager
def at(stream: Any) -> Iterator[None]:
    """While standard output and standard error go there; a fixture cannot do it, as pytest captures anew."""
    with redirect_stdout(stream), redirect_stderr(stream):
        yield


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def train(steps: int, **options: Any) -> Any:
    """A run of so many steps, with a `print` now and then."""
    store = saver.Saver(MemoryStorage("progress"))
    every, keep = saver.Every(steps=2), saver.Keep(last=1)
    run = store.checkpoints("run-7", {"w": {"a": np.zeros(3)}}, every=every, keep=keep, **options)
    with run:
        for step in range(run.resume(), steps):
            run.step(step, loss=1.0)
            run.flush()
    return run


# What it tells


def version(number: int, when: float) -> Version:
    store = saver.Saver(MemoryStorage("progress"))
    found = [store.save("run-7", {"w": at}) for at in range(number)][-1]
    return msgspec.structs.replace(found, time=when)


def test_it_tells_step_rate_last_save_what_is_kept_and_what_is_due():
    progress = Progress(step=1339, steps_per_second=12.34, saved=version(2, 1000.0))
    pieces = status("run-7", progress, 100_000, "in 160 steps", 3, 1008.5)
    text = fitting(pieces, 79)
    assert text == "run-7: step 1,340/100,000  12.3/s  saved @2 8 s ago, 3 kept  next in 160 steps"


def test_at_the_end_no_save_is_due_any_more():
    done = Progress(step=399, steps_per_second=12.34, saved=version(2, 1000.0))
    for total, due in ((400, False), (399, False), (401, True), (None, True)):
        text = fitting(status("run-7", done, total, "in 25 steps", 3, 1008.5), 79)
        assert text.endswith("next in 25 steps" if due else "3 kept")


def test_before_the_first_save_and_without_a_total_it_tells_less():
    assert (
        fitting(status("run-7", Progress(step=0), None, None, 0, 0.0), 79) == "run-7: step 1  not saved yet"
    )


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, ""),
        (0.25, "4 s/step"),
        (1.0, "1/s"),
        (12.345, "12.3/s"),
        (999.4, "999/s"),
        (56789.0, "56,789/s"),
    ],
)
def test_a_rate_is_shown_the_way_round_that_is_readable(rate, text):
    assert rate_text(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3.0, "0 s ago"), (59.9, "59 s ago"), (61.0, "1 min ago"), (7300.0, "2 h ago"), (1e6, "11 d ago")],
)
def test_how_long_ago_is_rounded_down(seconds, text):
    assert ago(seconds) == text


def test_the_rate_is_that_of_the_last_seconds():
    pace = Pace()
    rates = [pace(step, step / 10) for step in range(300)]
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(10)
    slower = [pace(300 + step, 30 + step / 2) for step in range(60)]
    assert 2 < slower[2] < 10
    assert slower[-1] == pytest.approx(2, rel=0.1)


def test_steps_that_are_not_reported_count():
    pace = Pace()
    for step in range(0, 1000, 100):
        rate = pace(step, step / 50)
    assert rate == pytest.approx(50)


# Where there is how much room


@pytest.mark.slow
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5), st.integers(1, 120))
def test_it_fits_the_terminal_and_steers_nothing(pieces, width):
    text = fitting(pieces, width)
    assert text.isprintable()
    assert sum(1 if char.isascii() else 2 for char in text) <= width


def test_what_matters_less_goes_first_and_no_piece_is_torn():
    pieces = ("run-7: step 3", "10/s", "saved @1 0 s ago, 1 kept", "next in 1 step")
    assert fitting(pieces, 45) == "run-7: step 3  10/s  saved @1 0 s ago, 1 kept"
    assert fitting(pieces, 44) == "run-7: step 3  10/s"
    assert fitting(pieces, 6) == "run-7:"


def test_where_nobody_knows_the_width_it_is_80():
    assert columns(io.StringIO()) == 80


# When it is shown


def test_it_is_shown_on_a_terminal_and_stays_as_it_was_at_the_end(terminal):
    with at(terminal):
        train(5, total=5)
    assert re.fullmatch(r"run-7: step 5/5  .*saved @2 0 s ago, 1 kept", terminal.screen[0])
    assert terminal.screen[1:] == [""]
    assert terminal.getvalue().endswith("\n")


def test_a_run_that_does_nothing_shows_nothing(terminal):
    with at(terminal):
        train(0)
    assert terminal.getvalue() == ""


def test_it_is_silent_when_piped_or_unwanted(terminal):
    with at(terminal):
        train(5, progress=False)
    assert terminal.getvalue() == ""
    pipe = io.StringIO()
    with at(pipe):
        train(5)
        assert pipe.getvalue() == ""
        train(5, progress=True)  # a notebook is not a terminal, and shows it all the same
    assert "run-7: step 5" in pipe.getvalue()


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_go_back_is_left_alone(terminal, monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    with at(terminal):
        train(5)
    assert terminal.getvalue() == ""


def test_without_a_standard_error_there_is_none(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert line(True) is None
    assert line(None) is None


def test_it_is_updated_five_times_a_second_at_most(terminal):
    shown = Line(terminal)
    shown.show(("one",))
    now = time.monotonic()
    assert not shown.is_due(now)
    assert shown.is_due(now + INTERVAL)
    assert INTERVAL >= 0.2


def test_a_shorter_line_leaves_nothing_of_a_longer_one(terminal):
    shown = Line(terminal)
    for text in ("a long line", "short"):
        shown.show((text,))
    shown.close()
    assert terminal.screen == ["short", ""]


def test_an_error_in_the_loop_ends_the_line_and_gives_the_streams_back(terminal):
    def fail() -> None:
        with run:
            run.step(0)
            raise ZeroDivisionError

    objects = {"w": {"a": np.zeros(3)}}
    run = saver.Saver(MemoryStorage("p")).checkpoints("run-7", objects, every=saver.Every(steps=9))
    with at(terminal), pytest.raises(ZeroDivisionError):
        fail()
    assert terminal.screen == ["run-7: step 1  not saved yet  next in 8 steps", ""]
    assert "write" not in vars(terminal)


def test_a_terminal_that_is_gone_stops_no_training(terminal):
    with at(terminal):
        shown = Line(terminal)
        shown.open()
        shown.show(("one",))
        terminal.close()
        shown.show(("two",))
        shown.close()


# What others print


def test_what_others_print_goes_above_it(terminal):
    with at(terminal):
        shown = Line(terminal)
        shown.open()
        shown.show(("step 1",))
        print("hello")
        shown.show(("step 2",))
        print("on standard error", file=sys.stderr)
        shown.show(("step 3",))
        shown.close()
        print("afterwards")
        assert terminal.screen == ["hello", "on standard error", "step 3", "afterwards", ""]


def test_a_line_of_others_that_is_not_whole_is_not_written_over(terminal):
    with at(terminal):
        shown = Line(terminal)
        shown.open()
        shown.show(("step 1",))
        print("loading", end="")
        shown.show(("step 2",))
        print(" ... done")
        shown.show(("step 3",))
        shown.close()
        assert terminal.screen == ["loading ... done", "step 3", ""]


def test_the_streams_are_given_back_unless_somebody_else_took_them(terminal):
    with at(terminal):
        shown = Line(terminal)
        shown.open()
        between = terminal.write
        assert between is not None
        shown.close()
        assert "write" not in vars(terminal)
        shown.open()
        ours = terminal.write
        terminal.write = lambda text: ours(text)
        theirs = terminal.write
        shown.close()
        assert terminal.write is theirs
        print("still works")
        assert terminal.screen[-2:] == ["still works", ""]


PROGRAM = """
import numpy as np, saver, sys, time
from saver.storages.memory import MemoryStorage
run = saver.Saver(MemoryStorage("p")).checkpoints(
    "run-7", {"w": {"a": np.zeros(3)}}, every=saver.Every(steps=2), total=6)
with run:
    for step in range(6):
        run.step(step, loss=1.0)
        if step == 3:
            print("validated", flush=True)
        time.sleep(0.11)
"""


def test_a_real_terminal_shows_it(tmp_path: Path):
    written = _in_a_terminal(PROGRAM, tmp_path)
    whole = [text.rpartition("\r")[2].rstrip() for text in written.replace("\r\n", "\n").split("\n")]
    assert whole[0] == "validated"
    assert re.fullmatch(r"run-7: step 6/6  \S+  saved @3 \d s ago, 3 kept", whole[1])
    assert whole[2:] == [""]
    shown = re.findall(r"\rrun-7: step (\d)", written)
    assert shown[0] == "1"
    assert len(shown) <= 6


def test_a_real_pipe_gets_nothing_of_it(tmp_path: Path):
    done = subprocess.run(
        (sys.executable, "-c", PROGRAM), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("validated\n", "")


def _in_a_terminal(program: str, folder: Path) -> str:
    pty = pytest.importorskip("pty")
    main, side = pty.openpty()
    with subprocess.Popen(
        (sys.executable, "-c", program), cwd=folder, stdin=side, stdout=side, stderr=side,
        env=os.environ | {"TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(side)
        written = b""
        while select.select([main], [], [], 60)[0]:
            try:
                block = os.read(main, 65536)
            except OSError:  # Linux says so when the other side is closed
                break
            written += block
        assert process.wait() == 0
    os.close(main)
    return written.decode()


def test_what_a_save_costs_is_an_average_of_saves_with_all_that_each_made_training_wait() -> None:
    cost = Cost()
    assert cost() is None
    cost.begin()
    assert cost() is None, "nothing was measured yet"
    cost.add(1.0)
    cost.add(3.0)  # in the optimizer's next step
    assert cost() == 4.0
    cost.begin()
    assert cost() == 4.0
    cost.add(2.0)
    assert cost() == pytest.approx((1 - SMOOTHING) * 4.0 + SMOOTHING * 2.0)
    for _ in range(50):
        cost.begin()
        cost.add(1.0)
    assert cost() == pytest.approx(1.0)

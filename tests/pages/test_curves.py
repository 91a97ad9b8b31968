"""Training logs read piece by piece: the same curves as from whole columns, whatever the log."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver.errors import IncompatibleError, NotFoundError
from saver.pages.curves import live as module
from saver.pages.curves.collecting import Asked, collected, runs_of
from saver.pages.curves.live import Live, live_of
from saver.pages.curves.logs import Log, logs_of
from saver.pages.curves.thinning import WITHIN, Thinner
from saver.pages.curves.watching import Watch
from saver.plotting import PANELS
from saver.plotting.lines import thinned
from saver.training_log import Column, Content, TrainingLog


def saved(log: TrainingLog, **parts: Any) -> Log:
    """The log, saved and read again."""
    store = saver.Saver("memory://curves-" + str(time.monotonic_ns()))
    store.save("run", {"log": log, **parts})
    (found,) = logs_of(store._open("run"))
    return found


def made(rows: int, gap: int = 7, seed: int = 0) -> TrainingLog:
    """A log with a metric in all rows, one in every `gap`-th, and one that begins late."""
    random = np.random.default_rng(seed)
    steps = np.cumsum(random.integers(0, 4, rows))
    values = random.standard_normal(rows).cumsum()
    values[random.random(rows) < 0.01] = np.nan
    some = np.arange(gap - 1, rows, gap)
    columns = {"loss": Column(0, values)}
    if len(some):
        columns["val_loss"] = Column(some if len(some) > 1 else int(some[0]), values[some].copy())
    if rows > 5:
        columns["late"] = Column(5, values[5:].copy())
    return TrainingLog.of(Content(steps, steps.astype(np.float64), columns, []))


@pytest.mark.parametrize("rows", [1, 6, 100, 1500, 70_000, 200_001])
def test_a_log_is_read_as_it_was_saved(rows: int) -> None:
    log = made(rows)
    found = saved(log)
    assert (found.metrics, found.rows) == (log.metrics, len(log))
    for name in log.metrics:
        for mine, theirs in zip(found[name], log[name], strict=True):
            assert np.array_equal(mine, theirs, equal_nan=True)


@given(st.integers(1, 5000), st.integers(0, 4000), st.integers(0, 4000), st.integers(0, 5))
def test_points_of_a_picture_are_those_of_the_whole_curve(rows: int, low: int, width: int, seed: int) -> None:
    log = made(rows, seed=seed)
    found, thinner = saved(log), Thinner()
    for name in log.metrics:
        steps, values = log[name]
        picture = thinner.picture(found.blocks(name), 100, low, low + width)
        first = max(int(steps.searchsorted(low)) - 1, 0)
        last = int(steps.searchsorted(low + width, "right")) + 1
        expected = thinned(steps[first:last], values[first:last], low, low + width, 100)
        assert np.array_equal(picture.steps, expected[0])
        assert np.array_equal(picture.values, expected[1], equal_nan=True)
        finite = np.isfinite(values)
        assert (picture.rows, picture.not_finite) == (len(values), (~finite).sum())
        if finite.any():
            assert picture.low is not None
            assert picture.high is not None
            assert (picture.low[1], picture.high[1]) == (np.nanmin(values), np.nanmax(values))
            assert picture.low[0] == steps[np.nanargmin(values)]


def test_a_long_curve_keeps_its_extremes_and_is_small() -> None:
    rows = 400_000
    values = np.sin(np.arange(rows) / 1000)
    values[123_456], values[300_000] = 50.0, -50.0
    values[200_000:200_010] = np.inf
    log = TrainingLog.of(Content(np.arange(rows), np.zeros(rows), {"x": Column(0, values)}, []))
    found, thinner = saved(log), Thinner()
    picture = thinner.picture(found.blocks("x"), 200)
    assert len(picture.steps) <= 4 * 200 + 200
    assert {(123_456, 50.0), (300_000, -50.0)} <= set(
        zip(picture.steps.tolist(), picture.values, strict=True)
    )
    assert picture.not_finite == 10
    assert picture.low == (300_000, -50.0)
    assert picture.high == (123_456, 50.0)
    near = thinner.picture(found.blocks("x"), 200, 123_400, 123_500)
    assert near.steps.tolist() == list(range(123_399, 123_502))
    assert np.array_equal(near.values, values[123_399:123_502])


def test_blocks_are_known_by_what_is_in_them() -> None:
    log = made(140_000)
    before = saved(log)
    for step in range(500):
        log.append(10**6 + step, loss=1.0, val_loss=2.0)
    after = saved(log)
    for name in ("loss", "val_loss"):
        same = [
            one.key == other.key for one, other in zip(before.blocks(name), after.blocks(name), strict=False)
        ]
        assert same[0]
        assert not all(same)
        assert len({block.key for block in after.blocks(name)}) == len(after.blocks(name))
    other = TrainingLog.of(log.content()._replace(steps=log.content().steps + 1))
    assert not {b.key for b in saved(other).blocks("loss")} & {b.key for b in after.blocks("loss")}


def test_what_was_thinned_is_kept_up_to_a_size() -> None:
    found, thinner = saved(made(300_000)), Thinner(most=1 << 15)
    reads: list[int] = []
    values = found.values
    found.values = lambda *which: reads.append(1) or values(*which)  # type: ignore[method-assign, func-returns-value]
    thinner.picture(found.blocks("loss"), 100)
    assert thinner._size <= 1 << 15
    roomy, reads[:] = Thinner(), []
    for _ in range(3):
        roomy.picture(found.blocks("loss"), 100)
    assert len(reads) == len(found.blocks("loss"))


@pytest.mark.slow
def test_ten_million_rows_take_little_memory(tmp_path: Path) -> None:
    rows = 10_000_000
    store = saver.Saver(tmp_path)
    values = np.random.default_rng(0).standard_normal(rows).cumsum()
    log = TrainingLog.of(Content(np.arange(rows), np.arange(rows, dtype=float), {"x": Column(0, values)}, []))
    store.save("run", {"log": log})
    tracemalloc.start()
    try:
        (run,) = runs_of(store, "run")
        picture = Thinner().picture(run.log.blocks("x"), 800)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20
    assert len(picture.steps) < 5 * 800
    assert picture.high == (int(values.argmax()), float(values.max()))
    assert WITHIN * 153 * 4 * 16 < 40 << 20  # what is kept of it


def test_many_events_are_read_as_they_were_noted() -> None:
    log = made(10)
    for step in range(200):
        log.mark(
            "saved" if step % 2 else "resumed",
            step % 10,
            f"run@{step}\u202e",
            float("nan") if step == 7 else 1.0,
        )
    few = made(10)
    few.mark("odd", 3, time=float("inf"))
    for each in (log, few):
        assert [str(event) for event in saved(each).events] == [str(event) for event in each.events]


def ask(*runs: str, metrics: tuple[str, ...] | None = None) -> Asked:
    return Asked(runs, metrics, None, None, 100)


def test_a_document_has_runs_panels_and_marks(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    log = TrainingLog()
    for step in range(10):
        log.append(step, loss=float("nan") if step == 4 else 1 / (step + 1), val_loss=float("inf"))
    log.mark("resumed", 3)
    store.save("a", {"log": log}, step=9)
    store.save("b", {"train": log, "other": log.snapshot(), "w": [1]})
    found = collected(store, ask("a", "b", "missing"), Thinner())
    assert [run.run for run in found.runs] == ["a", "b: train", "b: other", "missing"]
    assert "no model 'missing'" in found.runs[3].trouble
    assert [(e.kind, e.step, e.ref) for e in found.runs[0].events] == [
        ("resumed", 3, ""),
        ("saved", 9, "a@1"),
    ]
    (panel,) = found.panels
    assert [(c.run, c.metric, c.role) for c in panel.curves][:2] == [
        ("a", "loss", "training"), ("a", "val_loss", "validation"),
    ]  # fmt: skip
    loss, validation = panel.curves[:2]
    assert loss.values[4] == "nan"
    assert loss.not_finite == 1
    assert loss.last is not None
    assert (loss.last.step, loss.last.value) == (9, 0.1)
    assert set(validation.values) == {"inf"}
    assert validation.lowest is None
    json.loads(saver.pages.curves.live.encode(found))  # type: ignore[attr-defined]


def test_a_run_that_is_damaged_leaves_the_others(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    store.save("well", {"log": made(5000)})
    store.save("ill", {"log": made(5000, seed=1)})
    pack = max((tmp_path / "packs").iterdir(), key=lambda each: each.stat().st_mtime_ns)
    data = bytearray(pack.read_bytes())
    data[-8] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    found = collected(saver.Saver(tmp_path), ask("well", "ill"), Thinner())
    assert [bool(run.trouble) for run in found.runs] == [False, True]
    assert "not those that were saved" in found.runs[1].trouble
    assert {curve.run for panel in found.panels for curve in panel.curves} >= {"well"}


def test_what_is_new_in_a_log_of_very_many_metrics_is_bounded() -> None:
    store = saver.Saver("memory://many-" + str(time.monotonic_ns()))
    log = TrainingLog()
    log.append(0, **{f"m{n}": 1.0 for n in range(300)})
    store.save("run", {"log": log})
    assert len(json.loads(Live(store)._made("run", "", "run@1", ()))["curves"]) == PANELS
    assert len(json.loads(Live(store)._made("run", "", "run@1", ("m7",)))["curves"]) == 1


def test_no_log_and_no_metric_are_said(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    store.save("plain", {"w": [1]})
    with pytest.raises(NotFoundError, match="no training log"):
        collected(store, ask("plain"), Thinner())
    log = TrainingLog()
    log.append(0, loss=1.0)
    store.save("run", {"log": log})
    with pytest.raises(NotFoundError, match="no run has a metric"):
        collected(store, ask("run", metrics=("other",)), Thinner())


@pytest.mark.parametrize(
    "harm",
    [
        lambda state: state.update(steps="AAA"),
        lambda state: state["columns"].update(x=[5, state["columns"]["loss"][1]]),
        lambda state: state["columns"].update(x=[-1, state["columns"]["loss"][1]]),
        lambda state: state["columns"].update(x=["", state["columns"]["loss"][1]]),
        lambda state: state["columns"].update({"\u202e": state["columns"]["loss"]}),
        lambda state: state.update(events=[[1], [2], [3], [4]]),
        lambda state: state.update(columns=7),
        lambda state: state["steps"].append(state["steps"][0]),
    ],
)
def test_a_log_that_no_saver_wrote_is_refused(harm: Callable[[Any], None]) -> None:
    log = made(70_000)
    store = saver.Saver("memory://harm-" + str(time.monotonic_ns()))
    store.save("run", {"log": log})
    view = store._open("run")
    harm(view.trees["log"].root.state)  # type: ignore[union-attr]
    with pytest.raises(IncompatibleError):
        draw_all(view)


def draw_all(view: Any) -> None:
    for found in logs_of(view):
        for name in found.metrics:
            Thinner().picture(found.blocks(name), 100)


# Live


def news(found: bytes) -> tuple[str, Any]:
    """The name and the data of an event."""
    lines = found.decode().splitlines()
    assert lines[0].startswith("event: ")
    assert lines[1].startswith("data: ")
    return lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))


async def next_event(events: AsyncIterator[bytes]) -> tuple[str, Any]:
    while True:
        found = await asyncio.wait_for(anext(events), 20)
        if found.startswith(b"event"):
            return news(found)


def points_of(curve: Any, start: int | None, added: Any) -> list[tuple[int, float]]:
    """What a page has after an update."""
    held = list(zip(curve.steps, curve.values, strict=True))
    if start is None:
        return held
    new = zip(added["steps"], added["values"], strict=True)
    return [point for point in held if point[0] < start] + [(step, value) for step, value in new]


def grown(log: TrainingLog, count: int) -> None:
    first = log.last.get("step", -1) + 1
    for step in range(first, first + count):
        log.append(step, loss=step * 1.5)


def test_a_page_follows_a_run_that_grows_and_resumes(tmp_path: Path) -> None:
    store, writer = saver.Saver(tmp_path), saver.Saver(tmp_path)
    log = TrainingLog()
    grown(log, 2100)
    writer.save("run", {"log": log})

    async def follow() -> None:
        live = Live(store)
        (panel,) = collected(store, Asked(("run",), None, None, None, 4000), live.thinner).panels
        (curve,) = panel.curves
        async with aclosing(live.events(["run"], ["run@1"], [])) as events:
            assert await anext(events) == b"retry: 1000\n: open\n\n"
            grown(log, 200)
            writer.save("run", {"log": log})
            name, data = await next_event(events)
            ((start, added),) = data["curves"]
            assert (name, data["since"], data["runs"][0]["ref"]) == ("update", "run@1", "run@2")
            assert start >= 2048
            assert len(added["steps"]) < 1300
            assert points_of(curve, start, added) == [(step, step * 1.5) for step in range(2300)]
            assert added["last"] == {"step": 2299, "value": 2299 * 1.5}
            assert added["points"] == 2300
            log.truncate(1000)
            log.append(1500, loss=0.5)
            writer.save("run", {"log": log})
            name, data = await next_event(events)
            ((start, added),) = data["curves"]
            expected = [(step, step * 1.5) for step in range(1001)] + [(1500, 0.5)]
            assert points_of(curve, start, added) == expected
            writer.delete("run@1", "run@2", "run@3")
            name, data = await next_event(events)
            assert name == "trouble"
            assert "run" in data["trouble"]

    asyncio.run(follow())


def test_rows_that_a_resume_dropped_leave_the_page(tmp_path: Path) -> None:
    store, writer = saver.Saver(tmp_path), saver.Saver(tmp_path)
    log = TrainingLog()
    grown(log, 2300)
    writer.save("run", {"log": log})
    (panel,) = collected(store, Asked(("run",), None, None, None, 4000), Thinner()).panels
    log.truncate(2047)  # what is left is a whole block
    writer.save("run", {"log": log})
    log.append(3000, loss=0.5)
    writer.save("run", {"log": log})
    for version, more in ((2, []), (3, [(3000, 0.5)])):
        ((start, added),) = json.loads(Live(store)._made("run", "run@1", f"run@{version}", ()))["curves"]
        points = points_of(panel.curves[0], start, added)
        assert points == [(step, step * 1.5) for step in range(2048)] + more


def test_a_page_that_was_loaded_before_catches_up(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    log = TrainingLog()
    for _ in range(2):
        grown(log, 10)
        store.save("run", {"log": log})
    store.delete("run@1")

    async def follow(have: str) -> list[int]:
        async with aclosing(Live(store).events(["run"], [have], [])) as events:
            name, data = await next_event(events)
            assert name == "update"
            return [start for start, _ in data["curves"]]

    for have in ("run@1", ""):  # what cannot be read any more is all new
        assert asyncio.run(follow(have)) == [0]


def test_pages_share_one_watcher_and_what_is_new(tmp_path: Path) -> None:
    store, writer = saver.Saver(tmp_path), saver.Saver(tmp_path)
    log = TrainingLog()
    grown(log, 5)
    writer.save("run", {"log": log})

    async def follow() -> None:
        live = Live(store)
        many = [live.events(["run"], ["run@1"], []) for _ in range(20)]
        for events in many:
            await anext(events)
        waiting = [asyncio.ensure_future(next_event(events)) for events in many]
        await asyncio.sleep(0)
        grown(log, 5)
        writer.save("run", {"log": log})
        found = await asyncio.gather(*waiting)
        assert len({json.dumps(each) for each in found}) == 1
        assert live.made == 1
        assert live.looked <= live.watch.turn, "not once for each stream"
        assert len([task for task in asyncio.all_tasks() if "Watch._watch" in repr(task)]) == 1
        for events in many:
            await events.aclose()  # type: ignore[attr-defined]
        assert live.watch._task is None
        assert not live.watch._joined
        looks = live.watch.looks
        await asyncio.sleep(2.5 * module.Watch.__init__.__defaults__[0])  # type: ignore[index, misc]
        assert live.watch.looks == looks  # nobody looks, so nothing is asked of the store

    asyncio.run(follow())


def test_a_store_that_cannot_be_read_for_a_while_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = saver.Saver(tmp_path)
    log = TrainingLog()
    grown(log, 5)
    store.save("run", {"log": log})
    broken = False

    def version(ref: str) -> Any:
        if broken:
            raise saver.CannotReadError("the disk is away")
        return find(ref)

    find = store.version
    monkeypatch.setattr(store, "version", version, raising=False)

    async def follow() -> None:
        nonlocal broken
        live = Live(store)
        live.watch = Watch(store._repo, 0.01)
        async with aclosing(live.events(["run"], ["run@1"], [])) as events:
            await anext(events)
            broken = True
            waiting = asyncio.ensure_future(next_event(events))
            await asyncio.sleep(0.05)
            for event in live.watch._joined:
                event.set()
            assert await waiting == ("trouble", {"run": "run", "trouble": "the disk is away"})
            waiting = asyncio.ensure_future(next_event(events))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            broken = False
            grown(log, 5)
            saver.Saver(tmp_path).save("run", {"log": log})
            assert (await waiting)[0] == "update"

    asyncio.run(follow())


TRAINING = """
import sys, time, saver
from saver.policy import Every
run = saver.Saver(sys.argv[1]).checkpoints("run", {"w": [0.0]}, every=Every(steps=5), progress=False)
with run:
    for step in range(run.resume(), int(sys.argv[2])):
        time.sleep(0.01)
        run.step(step, loss=1 / (step + 1))
        if step == 4:
            run.flush()
            print("saved", flush=True)
"""


@contextmanager
def training(path: Path, steps: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", TRAINING, str(path), str(steps)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_curve_of_a_real_run_arrives_while_it_trains(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)

    async def follow(process: subprocess.Popen[str]) -> tuple[list[tuple[int, float]], int]:
        points: list[tuple[int, float]] = []
        updates = 0
        async with aclosing(live_of(store).events(["run"], [""], [])) as events:
            while not points or points[-1][0] < 59:
                name, data = await next_event(events)
                assert name == "update"
                updates += 1
                ((start, added),) = data["curves"]
                new = zip(added["steps"], added["values"], strict=True)
                points = [point for point in points if point[0] < start] + list(new)
        return points, updates

    with training(tmp_path, 60) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saved\n"
        points, updates = asyncio.run(follow(process))
    assert points == [(step, 1 / (step + 1)) for step in range(60)]
    assert updates >= 2

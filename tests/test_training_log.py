"""Metrics by step: what was appended comes back, over resumes, snapshots, files and interruptions."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from equality import assert_same
from saver.codec import Decoder, Encoder
from saver.errors import quoted
from saver.families.saver.codecs import LARGEST, cuts
from saver.tensors import MemoryTensors
from saver.training_log import Column, Content, TrainingLog
from saver.training_log.content import Growing
from saver.tree import Node

Rows = list[dict[str, Any]]

NAMES = ("loss", "val/loss", "acc", "$cost", "\\", "__array_interface__", "ü")

values = st.dictionaries(st.sampled_from(NAMES), st.floats(), max_size=4)
epochs = st.none() | st.integers(0, 9) | st.floats(0, 9)
gaps = st.sampled_from([0, 1, 1, 1, 100, 10**9])


@st.composite
def histories(draw: Any, most: int = 40) -> tuple[Rows, list[tuple[str, int, str]]]:
    """The rows of a run in order, and its events."""
    step, rows = 0, []
    kinds = draw(st.lists(values, min_size=1, max_size=3))
    for _ in range(draw(st.integers(0, most))):
        step += draw(gaps)
        metrics = draw(st.sampled_from(kinds) | values)
        epoch = draw(epochs)
        rows.append(
            {
                "step": step,
                **({} if epoch is None else {"epoch": epoch}),
                "time": draw(st.floats()),
                **metrics,
            }
        )
    events = st.tuples(
        st.sampled_from(["saved", "resumed", "lr drop"]), st.integers(0, step), st.text(max_size=9)
    )
    return rows, draw(st.lists(events, max_size=5))


def told(rows: Rows, events: Sequence[tuple[str, int, str]] = ()) -> TrainingLog:
    log = TrainingLog()
    for row in rows:
        log.append(**row)
    for kind, step, ref in events:
        log.mark(kind, step, ref, time=1.5)
    return log


def expected(rows: Rows) -> Rows:
    """As iteration gives them: epochs that are whole as integers, metrics in the order of the columns."""
    order = dict.fromkeys(name for row in rows for name in row)
    found = []
    for row in rows:
        own = {name: row[name] for name in ("step", "epoch", "time") if name in row}
        if "epoch" in own:
            own["epoch"] = int(own["epoch"]) if float(own["epoch"]).is_integer() else own["epoch"]
        found.append(own | {name: float(row[name]) for name in order if name in row and name not in own})
    return found


@pytest.mark.slow
@given(histories())
def test_rows_come_back_as_they_were_appended(history: Any) -> None:
    rows, events = history
    log = told(rows, events)
    assert_same(log.rows(), expected(rows))
    assert len(log) == len(rows)
    assert_same(log.last, expected(rows)[-1] if rows else {})
    assert [(event.kind, event.step, event.ref) for event in log.events] == events


@pytest.mark.slow
@given(histories())
def test_a_metric_is_two_arrays_with_a_place_for_each_row_that_has_it(history: Any) -> None:
    rows, _ = history
    log = told(rows)
    names = dict.fromkeys(name for row in rows for name in row if name in NAMES)
    assert log.metrics == tuple(names)
    for name in (*names, "time"):
        steps, found = log[name]
        assert_same(steps.tolist(), [row["step"] for row in rows if name in row])
        assert_same(found.tolist(), [row[name] for row in rows if name in row])
        assert not steps.flags.writeable
        assert not found.flags.writeable
        assert name in log
    assert "step" not in log
    with pytest.raises(saver.NotFoundError, match="no metric 'nothing'; it has"):
        log["nothing"]


@pytest.mark.slow
@given(histories(), histories(), st.data())
def test_a_truncated_log_is_as_if_the_run_had_never_come_further(first: Any, more: Any, data: Any) -> None:
    rows, events = first
    last = rows[-1]["step"] if rows else 0
    step = data.draw(st.integers(0, last + 1))
    log = told(rows, events)
    log.truncate(step)
    kept = [row for row in rows if row["step"] <= step]
    fresh = told(kept, [event for event in events if event[1] <= step])
    assert log == fresh
    resumed = [{**row, "step": row["step"] + step} for row in more[0]]
    for row in resumed:
        log.append(**row)
        fresh.append(**row)
    assert log == fresh
    assert_same(log.rows(), expected(kept + resumed))


@pytest.mark.slow
@given(histories(), histories(), st.data())
def test_a_snapshot_and_its_log_never_change_each_other(first: Any, more: Any, data: Any) -> None:
    rows, events = first
    log = told(rows, events)
    logs = [(log, log.rows())]
    step = rows[-1]["step"] if rows else 0
    for row in more[0]:
        if data.draw(st.booleans()):
            logs.append((logs[0][0].snapshot(), logs[0][0].rows()))
        at = data.draw(st.sampled_from(range(len(logs))))
        changed = logs[at][0]
        if data.draw(st.booleans()):
            changed.append(**{**row, "step": row["step"] + step})
        else:
            changed.truncate(data.draw(st.integers(0, step)))
            changed.append(**{**row, "step": row["step"] + step})
        logs[at] = (changed, changed.rows())
        for log, known in logs:
            assert_same(log.rows(), known)


def test_a_snapshot_looks_at_the_same_memory() -> None:
    log = told([{"step": step, "loss": 0.5} for step in range(1000)])
    snapshot = log.snapshot()
    assert np.shares_memory(log["loss"][1], snapshot["loss"][1])
    log.append(1000, loss=0.25)
    assert np.shares_memory(log["loss"][1], snapshot["loss"][1]), "there was room beyond"
    snapshot.append(2000, loss=0.125)
    assert log["loss"][1][-1] == 0.25
    assert snapshot["loss"][1][-1] == 0.125


def parts(log: TrainingLog, path: Path) -> Any:
    saver.dump({"log": log}, path)
    return saver.describe(path).parts[0]


@pytest.mark.slow
@settings(max_examples=40)
@given(histories(150))
def test_a_log_comes_back_from_a_file_and_goes_on_there(roundtrip: Callable[..., Any], history: Any) -> None:
    rows, events = history
    log = told(rows, events)
    found = roundtrip({"log": log})["log"]
    assert type(found) is TrainingLog
    assert found == log
    assert_same(found.rows(), log.rows())
    found.append(10**14, loss=1.0)
    log.append(10**14, time=found.last["time"], loss=1.0)
    assert found == log


@pytest.mark.slow
@settings(max_examples=20)
@given(histories(150), histories())
def test_equal_logs_have_equal_bytes(tmp_path_factory: Any, history: Any, more: Any) -> None:
    folder = tmp_path_factory.mktemp("equal")
    rows, events = history
    step = rows[-1]["step"] if rows else 0
    log = told(rows, events)
    other = told(rows, events)
    for row in more[0]:
        other.append(**{**row, "step": row["step"] + step + 1})
    other.truncate(step)
    assert parts(log, folder / "a.saver").hash == parts(other, folder / "b.saver").hash
    log.append(step, time=0.0, loss=1.0)
    assert log != other
    assert parts(log, folder / "a.saver").hash != parts(other, folder / "b.saver").hash


def test_columns_are_plain_tensors_by_the_names_of_their_metrics(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    log = TrainingLog()
    for step in range(1000):
        log.append(step, loss=step / 2, val_loss=step / 3 if step % 10 == 0 else None)
    part = parts(log, tmp_path / "log.saver")
    assert (part.kind, part.classes) == ("saver.TrainingLog", ())
    found = safetensors.load_file(tmp_path / "log.saver")
    assert set(found) == {"log/step", "log/time", "log/loss", "log/val_loss", "log/val_loss.rows"}
    assert_same(found["log/loss"], np.arange(1000) / 2)
    assert_same(found["log/val_loss"], np.arange(0, 1000, 10) / 3)


def test_a_log_is_restored_in_place_and_goes_on_there() -> None:
    store = saver.Saver("memory://log-in-place")
    log = told([{"step": step, "time": 0.0, "loss": 1 / (step + 1)} for step in range(200)])
    store.save("run", {"log": log})
    target = told([{"step": 900, "other": 1.0}])
    assert store.restore("run", into={"log": target})
    assert target == log
    target.append(200, loss=0.0)
    assert len(target) == 201
    store.save("run", {"log": [1]})
    with pytest.raises(saver.SaverError, match="a list was saved, not a TrainingLog"):
        store.restore("run", into={"log": target})
    assert len(target) == 201


def decoded(change: Callable[[Any], None]) -> TrainingLog:
    """A log of 5 rows, encoded, changed by an enemy, and decoded."""
    log = TrainingLog()
    for step in (1, 2, 3, 4, 5):
        log.append(step, time=0.0, loss=0.5, odd=1.0 if step % 2 else None)
    log.mark("saved", 2, "run@1", time=0.0)
    encoder = Encoder()
    node = encoder.part("log", log)
    assert isinstance(node, Node)
    change(node.state)
    found: TrainingLog = Decoder([node], {}, MemoryTensors(encoder.tensors))(node)
    return found


def base64(values: list[Any], dtype: str = "<i8") -> str:
    from base64 import b64encode

    return b64encode(np.array(values, dtype).tobytes()).decode()


def set_to(*path: Any) -> Callable[[Any], None]:
    *steps, last, value = path

    def change(state: Any) -> None:
        for step in steps:
            state = state[step]
        state[last] = value

    return change


def test_what_was_encoded_is_decoded() -> None:
    assert [row["step"] for row in decoded(lambda state: None)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "change",
    [
        set_to("steps", base64([1, 2, 4, 3, 5])),
        set_to("steps", base64([-1, 2, 3, 4, 5])),
        set_to("steps", base64([1, 2, 3, 4, 2**62])),
        set_to("steps", base64([1, 2, 3, 4])),
        set_to("steps", "not base64"),
        set_to("steps", "AAAA"),
        set_to("steps", None),
        set_to("times", base64([0.0], "<f8")),
        set_to("columns", []),
        set_to("columns", "loss", 0),
        set_to("columns", "loss", [0]),
        set_to("columns", "loss", 0, 1),
        set_to("columns", "loss", 0, -1),
        set_to("columns", "loss", 0, True),
        set_to("columns", "loss", 0, 2**70),
        set_to("columns", "loss", 1, base64([], "<f8")),
        set_to("columns", "loss", 1, base64([0.0] * 6, "<f8")),
        set_to("columns", "odd", 0, base64([0, 2, 5])),
        set_to("columns", "odd", 0, base64([-1, 2, 4])),
        set_to("columns", "odd", 0, base64([4, 2, 0])),
        set_to("columns", "odd", 0, base64([0, 0, 4])),
        set_to("columns", "odd", 0, base64([1, 2, 3])),
        set_to("columns", "odd", 0, base64([0, 2])),
        set_to("columns", "odd", 0, base64([-(2**63), 0, 2**63 - 1])),
        set_to("columns", "step", [0, base64([0.0], "<f8")]),
        set_to("columns", "\x1b[2J", [0, base64([0.0], "<f8")]),
        set_to("columns", "x" * 201, [0, base64([0.0], "<f8")]),
        set_to("columns", "", [0, base64([0.0], "<f8")]),
        set_to("events", []),
        set_to("events", 0, []),
        set_to("events", 0, [""]),
        set_to("events", 0, ["\n"]),
        set_to("events", 0, [1]),
        set_to("events", 1, [-1]),
        set_to("events", 1, [1.0]),
        set_to("events", 1, [True]),
        set_to("events", 2, [None]),
        set_to("events", 3, [[]]),
        set_to("events", 3, ["x" * 1001]),
    ],
)
def test_a_forged_log_is_refused(change: Callable[[Any], None]) -> None:
    with pytest.raises(saver.IncompatibleError):
        decoded(change)


class Interrupted(BaseException):
    """Raised in the middle, as Ctrl-C is."""


def interrupted_after(lines: int, function: Callable[[], None]) -> bool:
    """Run a function; whether it was interrupted after so many lines of the log's own code."""
    left = lines
    inside = {TrainingLog._add.__code__, Growing.append.__code__}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code not in inside:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Interrupted
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except Interrupted:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("size", [0, 1, 15, 16, 32])
def test_an_interrupted_append_adds_a_whole_row_or_none(size: int) -> None:
    """Ctrl-C may come anywhere; what is logged and saved afterwards is sound."""
    start = [
        {"step": step, "time": 0.0, "loss": 1.0, **({"odd": 2.0} if step % 3 else {})} for step in range(size)
    ]
    row = {"step": size, "time": 0.0, "odd": 3.0, "new": 4.0, "loss": 5.0}
    later = {"step": size + 1, "time": 0.0, "loss": 6.0}
    lines = 0
    while True:
        log = told(start)
        before, snapshot = log.rows(), log.snapshot()
        interrupted = interrupted_after(lines, lambda log=log: log.append(**row))  # type: ignore[misc]
        whole = len(log) > size
        assert log == told([*start, row] if whole else start)
        log.append(**later)
        assert log == told([*start, row, later] if whole else [*start, later])
        assert snapshot.rows() == before
        if not interrupted:
            break
        lines += 1
    assert lines > 10


@pytest.mark.parametrize(
    "value", [1, True, np.float32(0.5), np.int64(3), np.array(2.5), np.array([[2.5]]), Fraction(1, 3)]
)
def test_what_is_one_number_is_logged_as_a_float(value: Any) -> None:
    log = TrainingLog()
    log.append(np.int64(1), loss=value)
    assert_same(log.last["loss"], float(value.item() if isinstance(value, np.ndarray) else value))
    assert type(log.last["step"]) is int


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 2048, 3000, 65_535, 65_536, 65_537, 200_000])
def test_a_long_log_is_cut_into_pieces_and_whole_again(count: int, roundtrip: Callable[..., Any]) -> None:
    pieces = list(cuts(count))
    assert [start for start, _ in pieces] == [0, *(end for _, end in pieces)][: len(pieces)]
    assert (pieces[-1][1] if pieces else 0) == count
    assert len(pieces) <= count // LARGEST + 7
    steps = np.arange(count)
    column = Column(0, np.sqrt(steps)) if count else None
    columns = {} if column is None else {"loss": column}
    if count > 3:
        columns["rare"] = Column(steps[::3], steps[::3] * 0.5)
    log = TrainingLog.of(Content(steps, steps * 0.1, columns, ()))
    assert roundtrip(log) == log


@pytest.mark.slow
def test_a_version_of_a_run_adds_the_rows_that_are_new(tmp_path: Path) -> None:
    """In total over a long run, too: rows move to larger pieces a few times, and then rest."""
    store = saver.Saver(tmp_path / "models")
    log, saves, rows, bytes_of_row = TrainingLog(), 100, 1000, 24
    for step in range(saves * rows):
        log.append(step, time=float(step), loss=step**0.5)
        if step % rows == rows - 1:
            store.save("run", {"log": log})
    added = [version.bytes_added for version in store.versions("run")]
    assert added[0] > rows * bytes_of_row
    assert np.median(added) < 3 * added[0]
    assert sum(added) < 6 * saves * added[0], "the whole log each time would be 50 times"


def test_a_loss_of_pytorch_is_logged_as_it_is() -> None:
    torch = pytest.importorskip("torch")
    log = TrainingLog()
    weight = torch.ones(1, requires_grad=True)
    log.append(torch.tensor(7), loss=(weight * 0.25).sum(), low=torch.tensor(0.5, dtype=torch.bfloat16))
    assert {name: log.last[name] for name in ("step", "loss", "low")} == {"step": 7, "loss": 0.25, "low": 0.5}
    with pytest.raises(saver.CannotSaveError, match=r"'grad': Tensor is not one number"):
        log.append(8, grad=torch.ones(2))


def test_none_means_that_there_is_no_value() -> None:
    log = TrainingLog()
    log.append(1, loss=1.0, val_loss=None)
    assert log.metrics == ("loss",)
    assert "val_loss" not in log.last


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"step": 5, "loss": "0.5"}, "'loss': str is not one number"),
        ({"step": 5, "loss": [1.0]}, "'loss': list"),
        ({"step": 5, "loss": np.ones(2)}, "'loss': ndarray"),
        ({"step": 5, "loss": 1j}, "'loss': complex"),
        ({"step": 5, "epoch": "one", "loss": 1.0}, "'epoch': str"),
        ({"step": 5, "time": "now", "loss": 1.0}, "'time': str"),
        ({"step": 5, "": 1.0}, "'' is not a name"),
        ({"step": 5, "a\n": 1.0}, "is not a name of 1 to 200 printable"),
        ({"step": 5, "x" * 201: 1.0}, "is not a name"),
        ({"step": 3, "loss": 1.0}, "3 comes before 4, the last of the log; call `truncate`"),
        ({"step": 5.0, "loss": 1.0}, "float is not a whole number"),
    ],
)
def test_what_cannot_be_logged_is_refused_and_leaves_the_log_as_it_was(row: Any, message: str) -> None:
    log = told([{"step": 4, "time": 0.0, "loss": 1.0}])
    before = log.snapshot()
    with pytest.raises(saver.CannotSaveError, match=message):
        log.append(**{"fine": 1.0, **row})
    assert log == before
    log.append(4, fine=2.0)
    assert log["fine"][1].tolist() == [2.0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"step": 5, "loss": 10**400}, "'loss': the number is too large for a float"),
        ({"step": 5, "epoch": 10**400}, "'epoch': the number is too large"),
        ({"step": 5, "time": -(10**400)}, "'time': the number is too large"),
        ({"step": -1}, "step: -1 is out of range; count steps from 0 to 999,999,999,999,999"),
        ({"step": 10**15}, "step: 1000000000000000 is out of range"),
        ({"step": np.uint64(2**64 - 1)}, "is out of range"),
        ({"step": 10**5000}, "step: a number of 16,610 bits is out of range"),
    ],
)
def test_a_number_that_is_out_of_range_is_a_wrong_value_and_leaves_the_log_as_it_was(
    row: Any, message: str
) -> None:
    log = told([{"step": 4, "time": 0.0, "loss": 1.0}])
    before = log.snapshot()
    with pytest.raises(ValueError, match=message):
        log.append(**{"fine": 1.0, **row})
    if "loss" not in row and "epoch" not in row:
        with pytest.raises(ValueError, match=message):
            log.mark("saved", **row)
    assert log == before


ODD: list[Any] = [
    None, True, -1, 10**15, 10**5000, 1.5, float("nan"), 1j, "a", b"a", [1], {}, object(), np.ones(2),
    np.float64(1), np.array(3), np.int8(3), int, "a\ud800", "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{type(odd).__name__} {quoted(odd, 10)!a}")
def test_whatever_is_passed_a_log_takes_it_or_says_what_is_wrong(
    odd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = [{"step": 4, "time": 0.0, "loss": 1.0}]
    calls: list[Callable[[TrainingLog], Any]] = [
        lambda log: log.append(odd, loss=1.0),
        lambda log: log.append(5, odd),
        lambda log: log.append(5, time=odd),
        lambda log: log.append(5, loss=odd),
        lambda log: log.append(5, **{odd: 1.0}),
        lambda log: log.mark(odd, 5),
        lambda log: log.mark("saved", odd),
        lambda log: log.mark("saved", 5, odd),
        lambda log: log.mark("saved", 5, time=odd),
        lambda log: log.truncate(odd),
        lambda log: log.replace(odd),
        lambda log: log[odd],
        lambda log: log.best(odd, "min"),
        lambda log: log.best("loss", odd),
        lambda log: log.to_csv(odd),
        lambda log: log.plot(tmp_path / "a.svg", metrics=odd),
        lambda log: log.plot(tmp_path / "a.svg", smooth=odd),
    ]
    for number, call in enumerate(calls):
        log = told(made)
        try:
            call(log)
        except (TypeError, ValueError, LookupError, saver.SaverError) as error:
            words = str(error)
            assert len(words) > 10, (number, words)
            assert len(words) < 1000, (number, words[:1000])
        assert saver.loads(saver.dumps(log)) == log, number


@pytest.mark.parametrize("arguments", [("", 1), ("a\n", 1), ("saved", 1.5), ("saved", 1, "x" * 1001)])
def test_what_cannot_be_marked_is_refused(arguments: Any) -> None:
    log = TrainingLog()
    with pytest.raises(saver.CannotSaveError):
        log.mark(*arguments)
    assert log.events == ()


def test_a_version_can_be_marked_as_it_is() -> None:
    log = TrainingLog()
    version = saver.Saver("memory://marks").save("run", [1])
    log.mark("saved", 3, version)
    assert (log.events[0].ref, log.events[0].step) == ("run@1", 3)


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_the_best_is_the_first_of_the_lowest_or_highest(found: list[float]) -> None:
    log = told([{"step": step, "loss": value} for step, value in enumerate(found)])
    known = [value for value in found if value == value]
    if not known:
        with pytest.raises(saver.NotFoundError, match="loss was nan in all"):
            log.best("loss", "min")
        return
    assert log.best("loss", "min") == (found.index(min(known)), min(known))
    assert log.best("loss", "max") == (found.index(max(known)), max(known))


def test_the_best_must_be_known_to_be_low_or_high() -> None:
    log = told([{"step": 1, "loss": 1.0}])
    with pytest.raises(ValueError, match="pass 'min' or 'max'"):
        log.best("loss", "lowest")  # type: ignore[arg-type]


@settings(max_examples=30)
@given(histories())
def test_a_frame_has_a_column_for_each_metric(history: Any) -> None:
    pandas = pytest.importorskip("pandas")
    rows, _ = history
    frame = told(rows).frame()
    order = dict.fromkeys(["step", *(["epoch"] if any("epoch" in row for row in rows) else []), "time"])
    order |= dict.fromkeys(name for row in rows for name in row)
    wanted = pandas.DataFrame(rows, columns=list(order)).astype(
        {"step": "int64"} | dict.fromkeys(list(order)[1:], float)
    )
    pandas.testing.assert_frame_equal(frame, wanted)


def test_without_pandas_it_says_what_to_install() -> None:
    code = """
import sys, saver
from saver.training_log import TrainingLog
sys.modules["pandas"] = None
try:
    TrainingLog().frame()
except saver.IncompatibleError as error:
    print(error)
"""
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert 'pip install "saver-ml[pandas]"' in done.stdout


@pytest.mark.slow
@settings(max_examples=30)
@given(histories())
def test_csv_and_jsonl_hold_the_rows_to_the_bit_but_for_the_bits_of_nan(
    tmp_path_factory: Any, history: Any
) -> None:
    folder = tmp_path_factory.mktemp("text")
    rows, _ = history
    log = told(rows)
    log.to_csv(folder / "log.csv")
    with open(folder / "log.csv", newline="", encoding="utf-8") as file:
        read = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    wanted = [{name: float(str(value)) for name, value in row.items()} for row in expected(rows)]
    assert_same([dict(sorted(row.items())) for row in read], [dict(sorted(row.items())) for row in wanted])
    log.to_jsonl(folder / "log.jsonl")
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    documents = [json.loads(line, parse_constant=refuse) for line in lines]
    found = [{name: float(value) for name, value in row.items()} for row in documents]
    assert_same(found, wanted)


def test_long_logs_are_written_and_read_block_by_block(tmp_path: Path) -> None:
    log = told(
        [
            {"step": step, "time": 0.0, "loss": float(step), **({"v": 1.0} if step % 7 == 0 else {})}
            for step in range(10_000)
        ]
    )
    log.to_jsonl(tmp_path / "log.jsonl")
    with open(tmp_path / "log.jsonl", encoding="utf-8") as file:
        assert [json.loads(line) for line in file] == log.rows()
    assert log.rows()[9996] == {"step": 9996, "time": 0.0, "loss": 9996.0, "v": 1.0}
    log.to_csv(tmp_path / "log.csv")
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 10_001


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    log = told([{"step": 1, "loss": 1.0}])
    with pytest.raises(saver.CannotWriteError, match="create the folder"):
        log.to_csv(tmp_path / "nowhere" / "log.csv")
    log.to_csv(tmp_path / "log.csv")
    log.append(2, loss=0.5)
    log.to_csv(tmp_path / "log.csv")
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_a_log_is_not_a_key_and_equals_only_logs() -> None:
    log = TrainingLog()
    assert log == TrainingLog()
    assert log != []
    with pytest.raises(TypeError):
        hash(log)
    assert repr(told([{"step": 1, "loss": 1.0, "acc": 1.0}])) == "<TrainingLog: 1 row of loss, acc>"
    assert repr(log) == "<TrainingLog: 0 rows>"


def test_arrays_that_fit_no_log_make_none() -> None:
    steps = np.array([2, 1])
    with pytest.raises(ValueError, match="fall"):
        TrainingLog.of(Content(steps, np.zeros(2), {}, ()))
    with pytest.raises(ValueError, match="columns"):
        TrainingLog.of(Content(steps.astype(np.int32), np.zeros(2), {}, ()))


def test_a_log_needs_neither_pandas_nor_matplotlib(tmp_path: Path) -> None:
    program = """
import sys
from saver.training_log import TrainingLog
log = TrainingLog()
log.append(1, loss=2.0)
log.rows(), log.to_csv("log.csv"), log.to_jsonl("log.jsonl")
print(sorted({name.partition(".")[0] for name in sys.modules} & {"pandas", "matplotlib", "click", "torch"}))
"""
    done = subprocess.run(
        (sys.executable, "-c", program), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"

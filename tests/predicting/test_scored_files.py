"""The rows of a file are answered in order, in bounded memory, and after a kill with the same bytes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import BadInputError, CannotReadError, CannotWriteError, IncompatibleError, NotFoundError
from saver.predicting import Predictor, open_predictor, scoring

X = np.random.default_rng(0).normal(size=(2500, 3)).round(6)


def model(parts: Any, batch: Any) -> Any:
    return {"sum": batch.sum(axis=1), "both": batch[:, :2] * parts["factor"]}


TRUST = [f"{__name__}.model"]


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    saver.dump({"factor": 2}, tmp_path / "a.saver", example=X[:20], pipeline=model)
    return open_predictor(tmp_path / "a.saver", trust=TRUST)


def write(folder: Path, ending: str, rows: Any = X) -> Path:
    path = folder / f"data.{ending}"
    if ending == "npy":
        np.save(path, rows)
    elif ending == "csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["a", "b", "c"], *rows.tolist()])
    elif ending == "json":
        path.write_text(json.dumps(rows.tolist(), indent=1))
    elif ending == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows.tolist())))
    else:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        table = pa.table({f"c{at}": rows[:, at] for at in range(3)})
        parquet.write_table(table, path, row_group_size=333)
    return path


ENDINGS = ["csv", "npy", "json", "jsonl", "parquet"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("rows", [1000, 7, 2500, 9999])
def test_a_row_is_written_for_each_row_in_order(
    ending: str, rows: int, predictor: Predictor, tmp_path: Path
) -> None:
    found = predictor.score(write(tmp_path, ending), tmp_path / "out.csv", rows=rows)
    assert (found.rows, found.resumed) == (2500, 0)
    with (tmp_path / "out.csv").open() as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["sum", "both_0", "both_1"]
    numbers = np.array(lines[1:], float)
    assert np.array_equal(numbers[:, 0], X.sum(axis=1))
    assert np.array_equal(numbers[:, 1:], X[:, :2] * 2)
    assert not list(tmp_path.glob("out.csv.*"))


def test_lines_of_json_have_the_outputs_by_name(predictor: Predictor, tmp_path: Path) -> None:
    predictor.score(write(tmp_path, "npy"), tmp_path / "out.jsonl", only=["both"])
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines == [{"both": row} for row in (X[:, :2] * 2).tolist()]


class Stop(Exception):
    pass


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_scoring_goes_on_and_has_the_same_bytes(
    ending: str, stop: int, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "SECONDS", 0.0)
    data, out = write(tmp_path, ending), tmp_path / "out.csv"
    predictor.score(data, tmp_path / "whole.csv", rows=500)
    calls = []

    def interrupt(done: int, total: int) -> None:
        calls.append(done)
        assert 0 < done <= total
        if len(calls) == stop:
            raise Stop

    with pytest.raises(Stop):
        predictor.score(data, out, rows=500, progress=interrupt)
    assert not out.exists()
    with (tmp_path / "out.csv.partial").open("ab") as file:
        file.write(b"a torn line that no note speaks of" * 10_000)
    found = predictor.score(data, out, rows=500)
    assert (found.rows, found.resumed) == (2500, 500 * stop)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob("out.csv.*"))


@pytest.mark.slow
def test_a_killed_process_is_continued(tmp_path: Path, predictor: Predictor) -> None:
    data, out = write(tmp_path, "npy"), tmp_path / "out.csv"
    code = f"""
import os, signal
from saver.predicting import open_predictor, scoring
scoring.SECONDS = 0.0
def kill(done, total):
    if done > total / 2: os.kill(os.getpid(), signal.SIGKILL)
model = open_predictor({str(tmp_path / "a.saver")!r}, trust={TRUST!r})
model.score({str(data)!r}, {str(out)!r}, rows=100, progress=kill)
"""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    found = predictor.score(data, out, rows=100)
    assert 1000 <= found.resumed < 1500
    predictor.score(data, tmp_path / "whole.csv", rows=100)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def half(predictor: Predictor, data: Path, out: Path, **arguments: Any) -> None:
    def interrupt(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        predictor.score(data, out, rows=500, progress=interrupt, **arguments)
    assert (out.parent / f"{out.name}.progress").exists()


@pytest.mark.parametrize("change", ["data", "settings", "model", "notes", "partial"])
def test_what_is_of_another_scoring_is_not_continued(
    change: str, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "SECONDS", 0.0)
    data, out, rows = write(tmp_path, "csv"), tmp_path / "out.csv", 500
    half(predictor, data, out)
    if change == "data":
        data = write(tmp_path, "csv", X[::-1])
    elif change == "settings":
        rows = 501
    elif change == "model":
        saver.dump({"factor": 3}, tmp_path / "a.saver", example=X[:20], pipeline=model)
        predictor = open_predictor(tmp_path / "a.saver", trust=TRUST)
    elif change == "notes":
        (tmp_path / "out.csv.progress").write_text('{"identity": 5')
    else:
        (tmp_path / "out.csv.partial").write_bytes(b"")
    found = predictor.score(data, out, rows=rows)
    assert (found.rows, found.resumed) == (2500, 0)
    predictor.score(data, tmp_path / "whole.csv", rows=rows)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_data_that_changed_anywhere_is_answered_anew(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it has as many bytes as before, and says that it was written then."""
    monkeypatch.setattr(scoring, "SECONDS", 0.0)
    rows = np.full((40_000, 3), 1.0)
    data, out = write(tmp_path, "csv", rows), tmp_path / "out.csv"
    before = data.stat()
    half(predictor, data, out)
    text = data.read_bytes()
    data.write_bytes(text[:200_000] + text[200_000:300_000].replace(b"1.0", b"7.0") + text[300_000:])
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert data.stat().st_size == before.st_size
    found = predictor.score(data, out, rows=500)
    assert (found.rows, found.resumed) == (40_000, 0)


def test_data_that_is_the_same_is_not_answered_anew(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "SECONDS", 0.0)
    data, out = write(tmp_path, "csv"), tmp_path / "out.csv"
    half(predictor, data, out)
    os.utime(data, (1, 1))
    assert predictor.score(data, out, rows=500).resumed == 500


def test_data_that_changes_while_it_is_read_has_no_answers(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = write(tmp_path, "csv"), tmp_path / "out.csv"
    monkeypatch.setattr(scoring, "SECONDS", 0.0)
    with pytest.raises(CannotReadError, match="changed while it was read"):
        predictor.score(data, out, rows=500, progress=lambda done, total: os.utime(data, (1, done)))
    assert not out.exists()
    assert predictor.score(data, out, rows=500).resumed == 500  # what was read before it changed


BAD = {
    "csv": (lambda path: path.write_text("a,b,c\n" + "1,2,3\n" * 1200 + "1,x,3\n"), "row 1,200"),
    "jsonl": (lambda path: path.write_text("[1,2,3]\n" * 1200 + "[1,2]\n"), "row 1,200"),
    "json": (lambda path: path.write_text("[" + "[1,2,3]," * 1200 + "[1,null,3]]"), "row 1,200"),
    "npy": (lambda path: np.save(path, np.r_[np.zeros((1200, 3)), np.full((1, 3), np.nan)]), "row 1,200"),
}


@pytest.mark.parametrize("ending", BAD)
def test_a_bad_row_is_named_as_it_is_counted_in_the_file(
    ending: str, predictor: Predictor, tmp_path: Path
) -> None:
    make, message = BAD[ending]
    make(tmp_path / f"data.{ending}")
    with pytest.raises(BadInputError, match=message):
        predictor.score(tmp_path / f"data.{ending}", tmp_path / "out.csv", rows=500)
    assert not list(tmp_path.glob("out.csv*"))


def archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=X)
    return file.getvalue()


UNREADABLE = {
    "no rows.csv": b"a,b,c\n", "empty.csv": b"", "empty.jsonl": b"", "bytes.csv": b"\xff\xfe\x00",
    "empty.npy": b"", "quote.csv": b'a,b,c\n1,2,"3', "object.json": b'{"a": 1}', "open.json": b"[[1,2,3]",
    "deep.json": b"[" * 100_000,
    "twice.jsonl": b'{"input": [1,2,3], "input": [1,2,3]}', "text.jsonl": b"a\n", "table.parquet": b"PAR1",
    "columns.csv": b"a,a,b\n1,2,3\n", "shape.npy": None, "digits.json": b"[[1,2," + b"9" * 5000 + b"]]",
    "digits.jsonl": b"[1,2," + b"9" * 5000 + b"]", "comma.json": b"[[1,2,3],]",
    "none.json": b"[[1,2,3] [1,2,3]]",
    "more.json": b"[[1,2,3]] garbage {", "archive.npy": archive(),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_is_not_rows_is_refused_and_nothing_is_left(
    name: str, predictor: Predictor, tmp_path: Path
) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path, data = tmp_path / name, UNREADABLE[name]
    path.write_bytes(data) if data is not None else np.save(path, X[:, :2])
    with pytest.raises((BadInputError, IncompatibleError)):
        predictor.score(path, tmp_path / "out.csv")
    assert not list(tmp_path.glob("out.csv*"))


@pytest.mark.parametrize("replace", [True, False])
def test_what_is_not_a_file_is_said(replace: bool, predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nothing.csv")
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "pipe.csv")
    wanted = {"folder": CannotReadError, "pipe": CannotReadError, "nothing": NotFoundError}
    for name, kind in {**wanted, "dangling": NotFoundError}.items():
        with pytest.raises(kind, match=f"{name}.csv"):
            predictor.score(tmp_path / f"{name}.csv", tmp_path / "out.csv", replace=replace)
    assert not list(tmp_path.glob("out.csv*"))


def test_a_folder_is_not_a_target(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(CannotWriteError, match=r"out\.csv"):
        predictor.score(write(tmp_path, "csv"), tmp_path / "out.csv", replace=True)


LISTS = [
    "[[1,2,3]]", "[]", "[ [1.5,-2e+3,3E-1] , [1,2,3]\n]\n ", "[NaN, -Infinity, 1.25e-10, 1e5]",
    '[{"a": "é]"}]', "[1,2", "[1 2]", "[1,,2]", "[,1]", "[1,]", "[1] 2", "[1]]", "[1.]", "[1e]", "[1.5.2]",
    "[-]", "[1-2]", "[tru]", "[true false]", '["a" "b"]', "[[1,2,3] [4,5,6]]", "[1]garbage {", "", "  ", "{}",
    "[", "]", "[1:2]",
]  # fmt: skip


@pytest.mark.parametrize("text", LISTS)
def test_a_list_of_json_is_read_as_python_reads_it_however_it_is_cut(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saver.predicting import reading

    try:
        wanted = json.loads(text)
    except json.JSONDecodeError:
        wanted = None
    for piece in range(1, len(text) + 2):
        monkeypatch.setattr(reading, "PIECE", piece)
        if isinstance(wanted, list):
            assert repr(list(reading._items(io.StringIO(text)))) == repr(wanted)
        else:
            with pytest.raises((BadInputError, json.JSONDecodeError)):
                list(reading._items(io.StringIO(text)))


def test_a_number_that_goes_on_in_the_next_piece_is_whole(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saver.predicting import reading

    data = write(tmp_path, "json")
    predictor.score(data, tmp_path / "whole.csv")
    monkeypatch.setattr(reading, "PIECE", 11)
    predictor.score(data, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_pickle_in_an_array_does_not_run(predictor: Predictor, tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(IncompatibleError):
        predictor.score(tmp_path / "data.npy", tmp_path / "out.csv")


def test_files_of_other_kinds_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    data = write(tmp_path, "csv")
    for source, target in ((data, "out.xlsx"), (tmp_path / "a.saver", "out.csv")):
        with pytest.raises(ValueError, match=r"\.csv"):
            predictor.score(source, tmp_path / target)


def test_a_target_that_exists_is_replaced_only_if_the_caller_says_so(
    predictor: Predictor, tmp_path: Path
) -> None:
    data, out = write(tmp_path, "csv"), tmp_path / "out.csv"
    out.write_text("mine")
    with pytest.raises(CannotWriteError, match="exists"):
        predictor.score(data, out)
    assert out.read_text() == "mine"
    predictor.score(data, out, replace=True)
    assert out.read_text().startswith("sum,")


@pytest.mark.parametrize("links", [True, False])
def test_a_target_that_appears_meanwhile_stays_and_the_answers_are_kept(
    links: bool, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saver.disk.files import Files

    def refuse(*args: Any) -> None:
        raise OSError(95, "Operation not supported")

    data, out = write(tmp_path, "csv"), tmp_path / "out.csv"
    if not links:
        monkeypatch.setattr(Files, "link", refuse)
        monkeypatch.setattr(Files, "create_unnamed", refuse)
    with pytest.raises(CannotWriteError, match="--force"):
        predictor.score(data, out, progress=lambda done, total: None if out.exists() else out.write_text("x"))
    assert out.read_text() == "x"
    assert predictor.score(data, out, replace=True).resumed == 2500
    predictor.score(data, tmp_path / "whole.csv")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob("*out.csv.*"))


def test_two_processes_do_not_write_one_file(predictor: Predictor, tmp_path: Path) -> None:
    data, out = write(tmp_path, "csv"), tmp_path / "out.csv"

    def again(done: int, total: int) -> None:
        with pytest.raises(CannotWriteError, match="another process"):
            predictor.score(data, out)

    assert predictor.score(data, out, progress=again).rows == 2500


@pytest.mark.parametrize("call", ["write", "sync", "link", "replace", "sync_folder", "create", "truncate"])
def test_a_disk_that_fails_is_said_and_no_result_appears(
    call: str, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saver.disk.files import Files

    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    data, out = write(tmp_path, "csv"), tmp_path / "out.csv"
    monkeypatch.setattr(Files, call, fail)
    with pytest.raises(CannotWriteError, match="No space"):
        predictor.score(data, out, replace=call == "replace")
    monkeypatch.undo()
    if call != "sync_folder":
        assert not out.exists()
    assert predictor.score(data, out, replace=True).rows == 2500


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "npy"])
def test_memory_is_that_of_a_batch(ending: str, predictor: Predictor, tmp_path: Path) -> None:
    small, large = write(tmp_path, ending, X[:500]), tmp_path / f"large.{ending}"
    peaks = []
    write(tmp_path, ending, np.tile(X, (20, 1))).rename(large)
    write(tmp_path, ending, X[:500])
    for path in (small, large):
        tracemalloc.start()
        predictor.score(path, tmp_path / "out.csv", rows=500, replace=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (5 << 20)


def test_a_model_that_loses_rows_is_not_written_row_by_row(predictor: Predictor, tmp_path: Path) -> None:
    fewer = Predictor(predictor.schema, lambda batch, only=(): {"sum": batch[:-1, 0]}, "fewer")
    with pytest.raises(IncompatibleError, match="row by row"):
        fewer.score(write(tmp_path, "csv"), tmp_path / "out.csv")
    assert not list(tmp_path.glob("out.csv*"))

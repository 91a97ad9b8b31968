"""Pickles of pandas, of all versions since 0.20, hold what they did, without pandas being run."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

from formats.pickles import make_frames  # noqa: E402

HERE = Path(__file__).parent / "pickles"
VERSIONS = (
    "0.20.3", "0.24.2", "0.25.3", "1.0.5", "1.1.5", "1.3.5", "1.5.3", "2.0.3", "2.1.4", "2.2.3", "2.3.3",
    "3.0.0", "3.1.1",
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore")


@cache
def golden() -> dict[str, bytes]:
    """The files of old environments, by version and name."""
    with tarfile.open(HERE / "frames.tar.xz") as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def _knows_dateutil() -> bool:
    """Whether the installed dateutil is one that pandas knows."""
    try:
        pd.DatetimeIndex(["2014-01-01"], tz="dateutil/Europe/Rome").tz_convert("UTC")
    except (AttributeError, ImportError, TypeError):
        return False
    return True


def _told(value: Any) -> Any:
    return json.loads(json.dumps(make_frames.told(value)))


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_value_of_an_old_version_is_what_it_was(version: str) -> None:
    names = [name for name in golden() if name.startswith(f"{version}/") and name.endswith(".pkl")]
    wrong = {}
    for name in names:
        if "dateutil" in name and not _knows_dateutil():
            continue
        value = name.partition("/")[2].partition(".")[0]
        expected = json.loads(golden()[f"{version}/{value}.json"])
        found = _told(saver.loads(golden()[name]))
        if found != expected:
            wrong[name] = found
    assert wrong == {}
    assert len(names) > 65


def _makers() -> list[str]:
    return [name for name in make_frames.makers() if _make(name) is not None]


@cache
def _make(name: str) -> Any:
    """A value under the installed version; None if it cannot make it."""
    if name == "series_in_dateutil_zone" and not _knows_dateutil():
        return None
    try:
        return make_frames.makers()[name]()
    except Exception:
        return None


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", _makers())
def test_a_pickle_is_read_as_what_a_save_would_write(name: str, protocol: int, tmp_path: Path) -> None:
    """The same tree and the same bytes, as the hashes say, whatever the pickle was."""
    path, same, value = tmp_path / "value.pkl", tmp_path / "value.saver", _make(name)
    try:
        path.write_bytes(pickle.dumps(value, protocol))
    except TypeError:
        pytest.skip("pandas itself cannot pickle it this way")
    saver.dump(value, same)
    hashes = [[part.hash for part in saver.describe(each).parts] for each in (path, same)]
    assert hashes[0] == hashes[1] or name == "frame_without_rows"  # of which Arrow writes more than its rows
    assert _told(saver.load(path)) == _told(value)


COMPRESSIONS: dict[str, str | None] = {
    "none": None, "gzip": "gzip", "bzip2": "bz2", "xz": "xz", "zip": "zip",
}  # fmt: skip


@pytest.mark.parametrize("method", COMPRESSIONS)
def test_what_to_pickle_compressed_is_read(method: str, tmp_path: Path) -> None:
    path, frame = tmp_path / "frame.pkl", _make("frame")
    frame.to_pickle(path, compression=COMPRESSIONS[method])
    pd.testing.assert_frame_equal(saver.load(path), frame)


def test_frames_lie_beside_models_in_files_of_joblib(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    linear = pytest.importorskip("sklearn.linear_model")
    frame = pd.DataFrame({"a": [1.0, 2, 3], "b": [0.5, 1, 0]})
    model = linear.LinearRegression().fit(frame, frame["a"])
    path = tmp_path / "model.joblib"
    for compress in (0, 3):
        joblib.dump({"model": model, "data": frame, "target": frame["a"]}, path, compress=compress)
        found = saver.load(path)
        pd.testing.assert_frame_equal(found["data"], frame)
        pd.testing.assert_series_equal(found["target"], frame["a"])
        assert np.array_equal(found["model"].predict(found["data"]), model.predict(frame))


def test_a_frame_becomes_a_version(tmp_path: Path) -> None:
    path, frame = tmp_path / "frame.pkl", _make("frame_of_zones")
    frame.to_pickle(path)
    store = saver.Saver(tmp_path / "models")
    version = store.import_(path, "data")
    pd.testing.assert_frame_equal(store.load(str(version)), frame)


def test_pandas_and_arrow_are_not_imported_to_show_one(tmp_path: Path) -> None:
    path = tmp_path / "frame.pkl"
    _make("frame_of_extensions").to_pickle(path)
    program = (
        "import sys, saver; print(saver.describe(sys.argv[1]).parts[0].kind); "
        "print(sorted({'pandas', 'pyarrow', 'dateutil', 'pytz'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["pandas.DataFrame", "[]"]


def test_a_frame_of_a_derived_class_is_refused_by_what_it_adds(tmp_path: Path) -> None:
    frame = _make("frame")
    data = bytearray(pickle.dumps(frame, 4))
    at = data.index(b"_typ")
    data[at : at + 4] = b"mine"
    with pytest.raises(saver.IncompatibleError, match="an attribute 'mine' of its own"):
        saver.loads(bytes(data))


ZONES: dict[str, Callable[[], Any]] = {
    "zoneinfo": lambda: __import__("zoneinfo").ZoneInfo("Europe/Rome"),
    "dateutil": lambda: pytest.importorskip("dateutil.tz").gettz("Europe/Rome"),
    "dateutil, UTC": lambda: pytest.importorskip("dateutil.tz").UTC,
    "dateutil, an offset": lambda: pytest.importorskip("dateutil.tz").tzoffset("x", 3600),
    "dateutil, of the machine": lambda: pytest.importorskip("dateutil.tz").tzlocal(),
    "pytz": lambda: pytest.importorskip("pytz").timezone("Europe/Rome"),
    "pytz, UTC": lambda: pytest.importorskip("pytz").UTC,
    "pytz, an offset": lambda: pytest.importorskip("pytz").FixedOffset(90),
}


@pytest.mark.parametrize("name", ZONES)
def test_a_time_zone_is_read_by_its_name(name: str) -> None:
    zone = ZONES[name]()
    for protocol in range(2, 6):
        assert saver.loads(pickle.dumps([zone], protocol)) == [zone]

"""A file larger than the memory converts: every format is written, and read, in the same little memory,
however large its tensors are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dcp_folders import saved

import saver
from saver.format import Reads, Writes, WritesObjects, formats

pytestmark = [
    pytest.mark.xdist_group("formats memory"),  # the large files are written once
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux what it took"),
]

ROOM = 150 << 20
"""What a conversion may take on top of what its process has. Of the file, 300 MB, a third is one tensor."""

OBJECTS = {each.name for each in formats(WritesObjects)}  # type: ignore[type-abstract]
ELSEWHERE = {
    "json": "holds 16 MiB of tensors",
    "keras": "holds a model of Keras",
    "keras_json": "holds a model of Keras",
    "tfjs": "holds a model of Keras",
    "huggingface": "holds a model with its configuration",
    "npy": "holds one array",
}
"""Formats that hold something else than arrays by name, and why."""

WRITTEN = sorted(each.name for each in formats(Writes))  # type: ignore[type-abstract]

CONVERT = """
import sys, threading, time, warnings
import saver
from saver.exporting import export
source, target, format, *tools = sys.argv[1:]
for tool in tools:
    __import__(tool)
warnings.simplefilter("ignore")

def own():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))

def watch():
    while not done.wait(0.002):
        seen.append(own())

seen, done = [own()], threading.Event()
watching = threading.Thread(target=watch)
watching.start()
try:
    if format == "ones":
        import numpy
        held = numpy.ones(200 << 20, numpy.uint8)
    else:
        export(source, target, format=format)
finally:
    done.set()
    watching.join()
print(max(seen) - seen[0])
"""
"""Says how much memory of its own, without that of mapped files, the process took at most."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.saver"
    some = np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)
    arrays = {f"w.{at}": np.roll(some, at).repeat(4) for at in range(12)}
    saver.dump({"arrays": {**arrays, "large": some.repeat(25)}}, path)
    return path


def taken(source: Path, target: Path, format: str) -> int:
    """Convert in a process of its own. Returns the bytes that it took."""
    tools = {"hdf5": ["h5py"]}.get(format, [])
    command = [sys.executable, "-c", CONVERT, source, target, format, *tools]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


@pytest.mark.parametrize("format", [name for name in WRITTEN if name not in {*OBJECTS, *ELSEWHERE}])
def test_it_is_written_and_read_in_little_memory(large: Path, tmp_path: Path, format: str) -> None:
    if format == "hdf5":
        pytest.importorskip("h5py")
    target = tmp_path / f"a.{format}"
    assert taken(large, target, format) < ROOM
    first = Path(f"{target}.index") if format == "tensorflow" else target
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) > 300_000_000
    assert taken(first, tmp_path / "back.saver", "saver") < ROOM


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch.distributed.checkpoint")
    path = tmp_path_factory.mktemp("cut") / "a"
    saved("large", 2, path)
    return path


@pytest.mark.parametrize("format", ["saver", "safetensors", "dcp"])
def test_what_several_processes_wrote_is_converted_in_little_memory(
    cut: Path, tmp_path: Path, format: str
) -> None:
    assert taken(cut, tmp_path / "a", format) < ROOM
    assert taken(tmp_path / "a", tmp_path / "b", "saver") < ROOM


@pytest.mark.parametrize("format", sorted(ELSEWHERE))
def test_formats_that_hold_something_else_are_there(format: str) -> None:
    assert format in WRITTEN
    assert format not in OBJECTS


def test_memory_that_is_taken_is_seen(tmp_path: Path) -> None:
    assert taken(tmp_path, tmp_path, "ones") > ROOM


def test_every_format_that_is_read_is_written_or_named_here() -> None:
    read = {each.name for each in formats(Reads)}  # type: ignore[type-abstract]
    assert read - {*WRITTEN} == {"pickle"}, "a joblib file is a pickle: it is read as one above"

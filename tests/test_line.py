"""`progress=True` shows in a line how far a call is, wherever a call takes `progress`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver import file, line
from saver.handle import Handle

LARGE = {"w": np.arange(400_000.0)}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What a person sees on standard error, however fast it goes."""
    monkeypatch.setattr(line, "INTERVAL", 0.0)
    return lambda: capsys.readouterr().err


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    made = saver.Saver(tmp_path / "models")
    made.save("iris", LARGE)
    made.save("iris", {"w": LARGE["w"] + 1})
    saver.dump(LARGE, tmp_path / "a.saver"), saver.dump({"w": LARGE["w"] * 2}, tmp_path / "b.saver")
    return made


def _of_a_file(act: Callable[..., object]) -> Callable[[saver.Saver], object]:
    return lambda store: act(str(Path(str(store.storage)).parent / "a.saver"))


def sealed_beside(store: saver.Saver) -> saver.Saver:
    """A sealed store with a version."""
    pytest.importorskip("pyrage")
    from saver.keys.files import new_key_file

    new_key_file(f"{store.storage}.key")
    found = saver.Saver(f"{store.storage}-sealed", key=f"{store.storage}.key")
    found.save("iris", LARGE)
    return found


CALLS: dict[str, Callable[[saver.Saver], object]] = {
    "Saver.save": lambda s: s.save("iris", {"w": LARGE["w"] * 3}, progress=True),
    "Saver.load": lambda s: s.load("iris@1", progress=True),
    "Saver.restore": lambda s: s.restore("iris@1", {"w": LARGE["w"] * 0}, progress=True),
    "Saver.diff": lambda s: s.diff("iris@1", "iris@2", progress=True),
    "Saver.prune": lambda s: s.prune("iris", saver.Keep(last=1), progress=True),
    "Saver.gc": lambda s: [s.delete("iris@1"), s.gc(grace=0, progress=True)],
    "Saver.check": lambda s: s.check(progress=True),
    "Saver.verify": lambda s: s.verify("iris@1", progress=True),
    "Saver.backup": lambda s: s.backup(f"{s.storage}-copy", progress=True),
    "Saver.push": lambda s: s.push("iris", f"{s.storage}-other", progress=True),
    "Saver.pull": lambda s: s.pull("iris@1", str(s.storage), model="rose", progress=True),
    "Saver.rotate": lambda s: sealed_beside(s).rotate(everything=True, progress=True),
    "Saver.export": lambda s: s.export("iris@1", f"{s.storage}.saver", progress=True),
    "Saver.import_": lambda s: s.import_(Path(str(s.storage)).parent / "b.saver", "rose", progress=True),
    "dump": _of_a_file(lambda path: saver.dump(LARGE, path, progress=True)),
    "load": _of_a_file(lambda path: saver.load(path, progress=True)),
    "restore": _of_a_file(lambda path: saver.restore(path, {"w": LARGE["w"] * 0}, progress=True)),
    "diff": _of_a_file(lambda path: saver.diff(path, path.replace("a.", "b."), progress=True)),
    "verify": _of_a_file(lambda path: saver.verify(path, progress=True)),
    "migrate": lambda s: saver.migrate(Path(str(s.storage)).parent, f"{s.storage}-copy", progress=True),
}


def test_every_call_that_takes_progress_is_tried() -> None:
    methods = {f"Saver.{name}": each for name, each in inspect.getmembers(saver.Saver, inspect.isfunction)}
    functions = {name: getattr(saver, name) for name in saver.__all__ if hasattr(file, name)}
    functions["migrate"] = saver.migrate
    taking = {
        name
        for name, each in (methods | functions).items()
        if name.rpartition(".")[2][0] != "_" and "progress" in inspect.signature(each).parameters
    }
    assert taking - {"Saver.checkpoints"} == CALLS.keys(), "a run has a line of its own"


@pytest.mark.parametrize("name", CALLS)
def test_a_call_says_how_far_it_is_and_ends_its_line(
    name: str, store: saver.Saver, shown: Callable[[], str]
) -> None:
    CALLS[name](store)
    text = shown()
    assert re.search(r"\w+ing[^\n]*: (100|99)%  [\d.]+ [kM]?B of [\d.]+ [kM]?B", text), text
    assert text.endswith("\n")
    assert "\r" in text


@pytest.mark.parametrize("wanted", [None, False])
def test_nothing_is_shown_unless_it_is_wanted(
    wanted: Any, store: saver.Saver, shown: Callable[[], str]
) -> None:
    store.save("iris", {"w": LARGE["w"] * 3}, progress=wanted)
    assert shown() == ""


def test_a_program_without_standard_error_goes_on_without_a_line(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert store.save("iris", 1, progress=True).number == 3


def test_a_failure_ends_the_line_too(store: saver.Saver, shown: Callable[[], str]) -> None:
    """The traceback begins on a line of its own, and later output is left alone."""
    pack = next(Path(str(store.storage)).glob("packs/*"))
    pack.write_bytes(pack.read_bytes()[:-1] + b"?")
    write = sys.stderr.write
    with pytest.raises(saver.DamagedError):
        store.verify("iris@1", progress=True), store.verify("iris@2", progress=True)
    text = shown()
    assert not text or text.endswith("\n")
    assert sys.stderr.write == write


def test_a_save_in_the_background_takes_a_function(store: saver.Saver) -> None:
    with pytest.raises(ValueError, match=r"progress: .*pass a function, or wait=True"):
        store.save("iris", LARGE, wait=False, progress=True)
    calls: list[tuple[int, int]] = []
    handle = store.save("iris", {"w": LARGE["w"] * 3}, wait=False, progress=lambda *done: calls.append(done))
    assert isinstance(handle, Handle)
    handle.result()
    assert calls[-1][0] == calls[-1][1] > 0

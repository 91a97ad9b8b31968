"""Tensors are read from wherever they lie, and handed out only as they were verified."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import ARRAYS, draft, opened

import saver
from descriptors import listed, open_files
from saver.pack import PackedTensors, opening
from saver.repo.gc import moving
from saver.repo.save import save_version
from saver.storages.memory import MemoryStorage


def test_what_was_verified_is_not_taken_from_elsewhere_once_it_was_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moving, "DEAD_BYTES", 1000)
    store = MemoryStorage()
    own = opened(store, "1")
    for each in (draft("abc"), draft("def"), draft("ad", bases=("m@1",))):
        save_version(own._repo, each)
    tensors = opened(store, "2")._open("m@3").tensors
    assert isinstance(tensors, PackedTensors)
    assert tensors.read("a/x").tobytes() == ARRAYS["a"].tobytes()
    own.delete("m@1")
    own.delete("m@2")
    assert len(own.gc(grace=0).moved) == 2
    tensors._packs.close()  # as happens when many other packs are opened
    _damage(store, own._repo.known(own.version("m@3"))["a/x"].extents[0])
    assert tensors.read("d/x").tobytes() == ARRAYS["d"].tobytes(), "it is read from where it was moved to"
    assert tensors.read("a/x").tobytes() == ARRAYS["a"].tobytes()


def _damage(store: MemoryStorage, place: tuple[str, int, int]) -> None:
    key = f"packs/{place[0]}.safetensors"
    data = bytearray(store.read(key))
    data[place[1]] ^= 1
    store.delete(key)
    store.create(key, bytes(data))


def test_tensors_that_share_bytes_are_loaded_as_arrays_of_their_own() -> None:
    own = saver.Saver(MemoryStorage())
    own.save("m", {"a": np.arange(500.0)})
    own.save("m", {"a": np.arange(500.0), "b": np.arange(500.0)})
    assert len(own.version("m").packs) == 1
    found = own.load("m")
    found["a"][:] = 7
    assert (found["b"] == np.arange(500.0)).all()


@pytest.mark.slow
@listed
def test_a_version_in_many_packs_is_loaded_with_few_files_open(tmp_path: Path) -> None:
    """What was loaded keeps none of them open."""
    assert 4 * opening.TOGETHER <= 1024, "which is how many files a process may usually have open"
    store = saver.Saver(tmp_path / "models")
    parts: dict[str, Any] = {}
    for number in range(60):
        parts[f"p{number}"] = np.full(2000, float(number))
        store.save("m", parts)
    assert len(store.version("m").packs) == 60
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "TOGETHER", 7)
        found = saver.Saver(tmp_path / "models").load(
            "m", progress=lambda *_: seen.append(len(open_files(tmp_path)))
        )
        assert max(seen) <= 7 + 2
    assert {name: array[0] for name, array in found.items()} == {f"p{n}": float(n) for n in range(60)}
    assert len(open_files(tmp_path)) <= 1
    limited = subprocess.run(
        [sys.executable, "-c", MANY_PACKS, str(tmp_path / "models")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.stdout == "60\n", limited.stderr


MANY_PACKS = """
import resource, sys, saver
from saver.pack import opening
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
opening.TOGETHER = 16
loaded = [saver.Saver(sys.argv[1]).load("m") for _ in range(5)]
print(len(loaded[-1]))
"""


def test_a_forked_child_loads_whatever_threads_of_its_parent_held(tmp_path: Path) -> None:
    """Workers of a data loader are forked while a run saves in the background."""
    store = saver.Saver(tmp_path / "models")
    store.save("m", {"x": np.arange(5000.0)})
    index = store._repo.index
    assert index is not None
    locks = [store._repo.state._lock, index._lock]
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        done.wait(60)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        signal.alarm(30)
        same = (store.load("m")["x"] == np.arange(5000.0)).all()
        os._exit(0 if same and store.save("m", {"x": np.arange(5.0)}).number == 2 else 1)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert status == 0

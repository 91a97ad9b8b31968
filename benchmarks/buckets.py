"""How fast Saver uses a bucket, against plain puts and gets of the same bytes by the same client.

`SAVER_BENCHMARK_BUCKET` names the bucket, as an address that `Saver` takes; without it, there is no table.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.measure import rounds
from benchmarks.tables import Row, Table
from saver import Saver

VARIABLE = "SAVER_BENCHMARK_BUCKET"
OURS, PLAIN = "Saver", "limit: plain requests"
TENSORS, SHAPE = 16, (2048, 2048)
PART = 8 << 20
TOGETHER = 12
"""Requests at the same time: as many as Saver makes."""


class Plain:
    """Each tensor is an object: put in parts of 8 MiB that are sent at the same time, and got in ranges."""

    def __init__(self, address: str, folder: str) -> None:
        from saver.addresses import open_storage
        from saver.storages.object.storage import ObjectStorage

        storage = open_storage(address)
        assert isinstance(storage, ObjectStorage)
        self._store, self._folder, self._number = storage._store, folder, 0

    def save(self, state: dict[str, Any]) -> None:
        import obstore

        self._number += 1

        def put(name: str) -> None:
            data = state[name].reshape(-1).view(np.uint8).data
            obstore.put(self._store, self._key(name), data, use_multipart=True, chunk_size=PART)

        _at_once(4, [partial(put, name) for name in state])

    def load(self, names: Sequence[str]) -> dict[str, Any]:
        import obstore

        found = {name: np.empty(SHAPE, np.float32) for name in names}

        def get(name: str, start: int) -> None:
            memory = found[name].reshape(-1).view(np.uint8)
            stop = min(start + PART, memory.size)
            data = obstore.get_range(self._store, self._key(name), start=start, end=stop)
            memory[start:stop] = np.frombuffer(data, np.uint8)

        size = 4 * SHAPE[0] * SHAPE[1]
        _at_once(TOGETHER, [partial(get, name, at) for name in names for at in range(0, size, PART)])
        return found

    def tidy(self, names: Sequence[str]) -> None:
        import obstore

        obstore.delete(self._store, [self._key(name) for name in names])

    def _key(self, name: str) -> str:
        return f"{self._folder}/{self._number}/{name}"


def run(repeat: int, factor: int = 1) -> list[Table]:
    """Tables of a save, and of a load; none if no bucket is named."""
    address = os.environ.get(VARIABLE, "")
    if not address:
        return []
    where, _, options = address.partition("?")
    name = f"{where}/benchmark-{os.urandom(4).hex()}"
    store = f"{name}?{options}" if options else name
    plain, names = Plain(store, "plain"), [f"t{number:02}" for number in range(max(2, TENSORS // factor))]
    seconds: dict[str, list[float]] = defaultdict(list)
    generator = np.random.default_rng(0)

    def turn(tool: str) -> None:
        state = {each: generator.random(SHAPE, np.float32) for each in names}
        if tool == OURS:
            ours = Saver(store)
            _timed(seconds["save " + tool], lambda: ours.save("m", state))
            found = _timed(seconds["load " + tool], lambda: Saver(store).load("m"))
            for version in ours.versions("m"):
                ours.delete(str(version))
            ours.gc(grace=0)
        else:
            _timed(seconds["save " + tool], lambda: plain.save(state))
            found = _timed(seconds["load " + tool], lambda: plain.load(names))
            plain.tidy(names)
        if any(not np.array_equal(found[each], state[each]) for each in names):
            raise AssertionError(f"{tool}: what was loaded differs from what was saved")

    turns = [partial(turn, tool) for tool in (OURS, PLAIN)]
    with patch.dict(os.environ, SAVER_CACHE_BYTES="0"):
        for count in (1, repeat):
            seconds.clear()
            rounds(count, turns)
    size = 4 * SHAPE[0] * SHAPE[1] * len(names)
    return [
        Table(
            f"bucket-{kind}", f"A bucket, {size / 1e9:.2f} GB: {kind}", about,
            tuple(Row(each, tuple(seconds[f"{kind} {each}"])) for each in (OURS, PLAIN)),
            limit=PLAIN, size=size,
        )
        for kind, about in (("save", _SAVE), ("load", _LOAD))
    ]  # fmt: skip


def _timed(found: list[float], act: Callable[[], Any]) -> Any:
    begin = time.perf_counter()
    result = act()
    found.append(time.perf_counter() - begin)
    return result


def _at_once(threads: int, acts: Sequence[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for each in [pool.submit(act) for act in acts]:
            each.result()


_SAVE = (
    "Tensors of 16 MiB into a bucket, by one process. Saver hashes them and makes a version; plain requests "
    "put each as an object of its own with the same client, obstore, in parts of 8 MiB, four at a time."
)
_LOAD = (
    "The same into memory: Saver has a new store object, keeps nothing on this machine, and verifies all "
    "bytes; plain requests get ranges of 8 MiB, twelve at a time, and verify none."
)

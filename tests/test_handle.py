"""A save that goes on after `save` has returned: what was saved is what the objects were then."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import CannotWriteError
from saver.handle import Handle
from saver.storages.memory import MemoryStorage


class Slow(MemoryStorage):
    """Creates nothing while `gate` is shut, and nothing at all when it is `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def create(self, key: str, data: bytes) -> bool:
        if key.startswith("log/"):
            assert self.gate.wait(60)
            if self.broken:
                raise CannotWriteError("the disk is broken")
        return super().create(key, data)

    @contextmanager
    def shut(self) -> Iterator[None]:
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()


@pytest.fixture
def storage() -> Slow:
    return Slow()


@pytest.fixture
def store(storage: Slow) -> saver.Saver:
    found = saver.Saver(storage)
    found.save("first", 1)
    return found


def begun(store: saver.Saver, obj: Any, **options: Any) -> Handle:
    return store.save("m", obj, wait=False, **options)


def test_the_result_is_the_version(store: saver.Saver) -> None:
    handle = begun(store, {"x": np.arange(5.0)}, step=7, tags=["best"], metrics={"loss": 0.5})
    version = handle.result()
    assert version == store.version("m@best")
    assert (version.step, version.metrics) == (7, {"loss": 0.5})
    assert handle.done()
    assert handle.result(0) == version, "it may be asked again"


@pytest.mark.parametrize("size", [0, 3, 1000, 3_000_000])
def test_objects_may_change_as_soon_as_it_returned(store: saver.Saver, storage: Slow, size: int) -> None:
    array, items, inner = np.arange(float(size)), [1, 2], {"k": "v"}
    with storage.shut():
        handle = begun(store, {"array": array, "view": array[: size // 2], "items": items, "inner": inner})
        assert not handle.done()
        array[:] = -1
        items.append(3)
        inner["k"] = "changed"
    found = store.load(handle.result())
    assert (found["array"] == np.arange(float(size))).all()
    assert (found["view"] == np.arange(float(size))[: size // 2]).all()
    assert (found["items"], found["inner"]) == ([1, 2], {"k": "v"})


def test_tensors_may_change_as_soon_as_it_returned(store: saver.Saver, storage: Slow) -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(300, 300)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with storage.shut():
        handle = begun(store, net)
        with torch.no_grad():
            for value in net.parameters():
                value.zero_()
    found = store.load(handle.result(), trust=["torch.*"]).state_dict()
    assert all(torch.equal(found[name], value) for name, value in before.items())


def test_a_time_limit_changes_nothing(store: saver.Saver, storage: Slow) -> None:
    with storage.shut():
        handle = begun(store, [1])
        with pytest.raises(TimeoutError, match="m: the save is still running after 0 s"):
            handle.result(0)
        assert not handle.done()
        assert store.models() == ["first"]
    assert str(handle.result()) == "m@1"


def test_an_interrupt_before_the_save_began_stops_no_later_save(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.save("m", [1], wait=False)
    found: list[saver.Version] = []
    later = threading.Thread(target=lambda: found.append(store.save("m", [2])), daemon=True)
    later.start()
    later.join(60)
    assert [version.number for version in found] == [1]


def test_saves_have_numbers_in_the_order_of_the_calls(store: saver.Saver) -> None:
    handles = [begun(store, number) for number in range(8)]
    last = store.save("m", 8)
    assert [handle.done() for handle in handles] == [True] * 8, "a save waits for those before it"
    assert [handle.result().number for handle in handles] == [*range(1, 9)]
    assert [store.load(f"m@{number}") for number in range(1, 10)] == [*range(9)]
    assert last.number == 9


def test_what_goes_wrong_is_raised_by_the_result(store: saver.Saver, storage: Slow) -> None:
    storage.broken = True
    handle = begun(store, [1])
    for _ in range(2):
        with pytest.raises(CannotWriteError, match="the disk is broken"):
            handle.result()
    assert handle.done()
    storage.broken = False
    assert store.save("m", [2]).number == 1, "the next save is not concerned"


def test_what_cannot_be_saved_is_reported_at_once(store: saver.Saver) -> None:
    with pytest.raises(saver.CannotSaveError):
        begun(store, threading.Lock())
    with pytest.raises(ValueError, match="step"):
        begun(store, [1], step=-1)
    assert begun(store, [1]).result().number == 1


@pytest.mark.slow
@pytest.mark.parametrize("early", [True, False], ids=["dropped before", "dropped after"])
def test_a_failure_that_nobody_asks_for_is_warned_of(store: saver.Saver, storage: Slow, early: bool) -> None:
    storage.broken = True
    with pytest.warns(RuntimeWarning, match=r"m: a save that nobody waited for failed.*disk is broken"):
        _save_and_drop(store, storage, early)


def _save_and_drop(store: saver.Saver, storage: Slow, early: bool) -> None:
    """Drop the handle of a save before or after it is over."""
    with storage.shut():
        handle = begun(store, [1])
        if early:
            del handle
            gc.collect()
    store._background.wait()
    for thread in threading.enumerate():
        if thread.name == "saver-save":
            thread.join()
    if not early:
        del handle
        gc.collect()


def test_nothing_is_warned_of_where_it_went_well_or_was_reported(store: saver.Saver, storage: Slow) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begun(store, [1])
        store._background.wait()
        storage.broken = True
        handle = begun(store, [1])
        with pytest.raises(CannotWriteError):
            handle.result()
        del handle
        gc.collect()


def test_it_can_be_awaited(store: saver.Saver, storage: Slow) -> None:
    async def both() -> tuple[saver.Version, list[int]]:
        ticks: list[int] = []
        with storage.shut():
            handle = begun(store, [1])
            for _ in range(3):
                await asyncio.sleep(0)
                ticks.append(1)
        return await handle, ticks

    version, ticks = asyncio.run(both())
    assert str(version) == "m@1"
    assert len(ticks) == 3, "the loop went on"


def test_who_awaits_gets_what_went_wrong(store: saver.Saver, storage: Slow) -> None:
    async def wait() -> None:
        await begun(store, [1])

    storage.broken = True
    with pytest.raises(CannotWriteError):
        asyncio.run(wait())


def test_who_gives_up_waiting_does_not_end_the_save(store: saver.Saver, storage: Slow) -> None:
    async def wait() -> Handle:
        with storage.shut():
            handle = begun(store, [1])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.ensure_future(_waited(handle)), 0.01)
        return handle

    assert str(asyncio.run(wait()).result()) == "m@1"


async def _waited(handle: Handle) -> saver.Version:
    return await handle


@pytest.mark.parametrize("lack", ["memory", "threads"])
def test_where_memory_or_threads_are_missing_it_is_over_when_it_returns(
    store: saver.Saver, lack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lack == "memory":
        monkeypatch.setattr("saver.staging.Staging.room", lambda self, tensors: -1)
    else:

        def start(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr("threading.Thread.start", start)
    array = np.arange(1000.0)
    handle = begun(store, array)
    assert handle.done()
    array[:] = 0
    assert (store.load(handle.result()) == np.arange(1000.0)).all()


SCRIPT = """
import sys, time
import numpy as np
import saver

store = saver.Saver(sys.argv[1])
create = type(store.storage).create
def late(self, key, data):
    if key.startswith("log/"):
        time.sleep(0.5)
        if sys.argv[2] == "fails":
            raise saver.CannotWriteError("the disk is broken")
    return create(self, key, data)
type(store.storage).create = late
handle = store.save("m", np.arange(100_000.0), wait=False)
"""


@pytest.mark.parametrize("how", ["works", "fails"])
def test_the_interpreter_waits_for_it_and_tells_of_a_failure(tmp_path: Path, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "models"), how],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    if how == "works":
        assert (done.returncode, done.stderr) == (0, "")
        assert (saver.Saver(tmp_path / "models").load("m") == np.arange(100_000.0)).all()
    else:
        assert "m: a save that nobody waited for failed: CannotWriteError: the disk is broken" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_saves_on_its_own_and_cannot_ask_for_its_parents_save(
    tmp_path: Path,
) -> None:
    store = saver.Saver(tmp_path / "models")
    store.save("m", 0)
    hold, reached = threading.Event(), threading.Event()
    create = store.storage.create

    def late(key: str, data: bytes) -> bool:
        if threading.current_thread().name == "saver-save" and key.startswith("log/"):
            reached.set()
            assert hold.wait(60)
        return create(key, data)

    store.storage.create = late  # type: ignore[method-assign]
    handle = store.save("m", 1, wait=False)
    assert reached.wait(60)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.save("child", 2)
            try:
                handle.result()
            except RuntimeError as error:
                code = 0 if "in the process that started it" in str(error) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    hold.set()
    assert os.waitstatus_to_exitcode(status) == 0
    assert handle.result().number == 2
    assert store.load("child") == 2


VERSIONED = {
    "load": lambda store, v: store.load(v),
    "restore": lambda store, v: store.restore(v, {"x": np.zeros(3)}),
    "version": lambda store, v: store.version(v),
    "describe": lambda store, v: store.describe(v),
    "diff": lambda store, v: store.diff(v, v),
    "tag": lambda store, v: store.tag(v, "best"),
    "verify": lambda store, v: store.verify(v),
    "save": lambda store, v: store.save("other", {"x": np.ones(3)}, base=v),
    "save with several": lambda store, v: store.save("other", {"x": np.ones(3)}, base=[v, "m"]),
    "delete": lambda store, v: store.delete(v),
}


@pytest.mark.parametrize("use", VERSIONED.values(), ids=VERSIONED)
def test_a_version_is_taken_wherever_a_ref_is(use: Any) -> None:
    by_version, by_ref = (saver.Saver(MemoryStorage()) for _ in range(2))
    for store in (by_version, by_ref):
        for value in (1.0, 2.0):
            store.save("m", {"x": np.full(3, value)})
    assert _shape(use(by_version, by_version.version("m@1"))) == _shape(use(by_ref, "m@1"))


def _shape(found: Any) -> str:
    if isinstance(found, saver.Version):
        return f"{found} {found.tags}"
    return str(type(found)) + (str(found) if isinstance(found, dict) else "")


def test_an_export_takes_a_version(tmp_path: Path) -> None:
    store = saver.Saver(MemoryStorage())
    version = store.save("m", [1])
    store.save("m", [2])
    store.export(version, tmp_path / "a.saver")
    assert saver.load(tmp_path / "a.saver") == [1]


@pytest.mark.parametrize("use", VERSIONED.values(), ids=VERSIONED)
def test_a_version_of_another_store_is_not_taken_for_one_of_this(use: Any) -> None:
    here, there = (saver.Saver(MemoryStorage()) for _ in range(2))
    here.save("m", {"x": np.zeros(3)})
    foreign = there.save("m", {"x": np.ones(3)})
    with pytest.raises(saver.NotFoundError, match=r"m@1 is another version here"):
        use(here, foreign)
    assert [str(version) for version in here.versions("m")] == ["m@1"]
    assert here.models() == ["m"]


def test_a_version_that_was_deleted_is_not_there(store: saver.Saver) -> None:
    version = store.save("m", 1)
    store.save("m", 2)
    store.delete(version)
    with pytest.raises(saver.NotFoundError, match="m@1"):
        store.load(version)


def test_a_version_keeps_meaning_itself_when_its_tags_change(store: saver.Saver) -> None:
    version = store.save("m", 1, tags=["best"])
    store.untag("m", "best")
    assert store.load(version) == 1
    assert store.version(version).tags == ()


@pytest.mark.parametrize("name", ["a.saver", "a.saver/models", "a.saver/deep/er"])
def test_a_store_in_the_place_of_a_file_is_refused_when_it_is_opened(tmp_path: Path, name: str) -> None:
    saver.dump(1, tmp_path / "a.saver")
    where = "it" if name == "a.saver" else str(tmp_path / "a.saver")
    with pytest.raises(saver.NotFoundError, match=r"; name a folder, or read .* with saver\.load") as caught:
        saver.Saver(tmp_path / name)
    assert f"there is no store here, because {where} is a file" in str(caught.value)
    assert not saver.Saver(tmp_path / "none/of/these").exists()
